"""Figures of a selection function: completeness, mass limits, false candidates, purity, positions."""

from collections.abc import Mapping, Sequence

import numpy as np
from astropy.table import Table
from matplotlib.figure import Figure
from scipy import stats

from clusterjax.report.theme import Theme, plain_log_ticks, themed
from clusterjax.search.recovery import LIMITS
from clusterjax.search.selection import SelectionFunction

_UNIT = 1e14  # solar masses, of the axes
_MOST_REDSHIFTS = 5
_STYLES = ("-", "--", ":")


def _finder_colours(names: Sequence[str], theme: Theme) -> dict[str, str]:
    return dict(zip(names, (theme.network, theme.classical, *theme.cycle[2:]), strict=False))


def shown_redshifts(binned: Table) -> np.ndarray:
    """At most five of those that were injected, from the first to the last."""
    redshift = np.unique(binned["redshift"])
    return redshift[np.unique(np.linspace(0, len(redshift) - 1, _MOST_REDSHIFTS).round().astype(int))]


@themed
def plot_completeness(selection: SelectionFunction, *, theme: Theme) -> Figure:
    """The fitted probability over mass at several redshifts, with its error, and what was found in each cell."""
    figure = Figure(figsize=(4.8, 3.8), layout="constrained")
    axes = figure.add_subplot()
    binned, model = selection.tables["COMPLETENESS"], selection.model()
    mass = np.geomspace(0.9 * np.min(binned["m500c_msun"]), 1.1 * np.max(binned["m500c_msun"]), 200)
    shown = shown_redshifts(binned)
    for index, (z, colour) in enumerate(zip(shown, theme.cycle, strict=False)):
        chance, error = model.probability(mass, z), model.error(mass, z)
        axes.plot(mass / _UNIT, chance, color=colour, label=f"z = {z:g}")
        axes.fill_between(mass / _UNIT, np.clip(chance - error, 0, 1), np.clip(chance + error, 0, 1), color=colour,
                          alpha=0.2, linewidth=0)  # fmt: skip
        cells = binned[np.asarray(binned["redshift"]) == z]
        found = np.asarray(cells["completeness"], float)
        bars = [found - np.asarray(cells["wilson_low"]), np.asarray(cells["wilson_high"]) - found]
        aside = 1.02 ** (index - (len(shown) - 1) / 2)  # or the bars of all redshifts hide each other
        axes.errorbar(np.asarray(cells["m500c_msun"]) / _UNIT * aside, found, np.maximum(bars, 0), fmt="o",
                      color=colour, markersize=3.5, linewidth=0.9)  # fmt: skip
    axes.set(xscale="log", ylim=(-0.02, 1.02), xlabel="M500c [10¹⁴ M☉]", ylabel="fraction found")
    plain_log_ticks(axes)
    axes.legend(loc="upper left")
    return figure


@themed
def plot_mass_limits(selections: Mapping[str, SelectionFunction], *, theme: Theme) -> Figure:
    """The masses of which 50, 80 and 90 % are found, over redshift, with the error of each."""
    figure = Figure(figsize=(4.8, 3.8), layout="constrained")
    axes = figure.add_subplot()
    colours = _finder_colours(list(selections), theme)
    for name, selection in selections.items():
        redshift = np.linspace(*selection.redshift_range, 120)
        for probability, style in zip(LIMITS, reversed(_STYLES), strict=True):
            mass, error = selection.mass_limit(probability, redshift)
            label = f"{name}, {100 * probability:.0f} %"
            axes.plot(redshift, mass / _UNIT, style, color=colours[name], label=label, linewidth=1.5)
            axes.fill_between(redshift, (mass - error) / _UNIT, (mass + error) / _UNIT, color=colours[name], alpha=0.12,
                              linewidth=0)  # fmt: skip
    axes.set(yscale="log", xlabel="redshift", ylabel="M500c [10¹⁴ M☉]")
    plain_log_ticks(axes, "y")
    axes.legend(loc="best", ncols=len(selections), fontsize=7)
    return figure


@themed
def plot_contamination(selection: SelectionFunction, *, what: str, theme: Theme) -> Figure:
    """False candidates per deg2 above a threshold, with Poisson errors; ``what`` is the threshold's name."""
    figure = Figure(figsize=(4.8, 3.4), layout="constrained")
    axes = figure.add_subplot()
    table = selection.tables["CONTAMINATION"]
    x, rate = np.asarray(table["log_odds"], float), np.asarray(table["false_per_deg2"], float)
    seen = rate > 0
    bars = np.stack([rate - np.asarray(table["false_low"], float), np.asarray(table["false_high"], float) - rate])
    axes.errorbar(x[seen], rate[seen], bars[:, seen], fmt="o-", color=theme.network, linewidth=1.2)
    axes.plot(
        x[~seen], np.asarray(table["false_high"], float)[~seen], "v", color=theme.muted, label="none: upper limit"
    )
    axes.axvline(selection.cut, color=theme.muted, linewidth=1, linestyle="--", label="threshold of the candidates")
    axes.set(yscale="log", xlabel=what, ylabel="false candidates per deg²")
    plain_log_ticks(axes, "y")
    axes.legend(loc="best")
    return figure


@themed
def plot_purity(selections: Mapping[str, SelectionFunction], *, theme: Theme) -> Figure:
    """Purity against completeness as the threshold changes."""
    figure = Figure(figsize=(4.8, 3.8), layout="constrained")
    axes = figure.add_subplot()
    colours = _finder_colours(list(selections), theme)
    for name, selection in selections.items():
        table = selection.tables["PURITY"]
        completeness, purity, low, high = (
            np.asarray(table[column], float) for column in ("completeness", "purity", "purity_low", "purity_high")
        )
        axes.plot(completeness, purity, "o-", color=colours[name], label=name, markersize=3.5, linewidth=1.4)
        axes.fill_between(completeness, low, high, color=colours[name], alpha=0.15, linewidth=0)
        own = int(np.argmin(np.abs(np.asarray(table["log_odds"], float) - selection.cut)))
        axes.plot(completeness[own], purity[own], "s", color=colours[name], markersize=8, markerfacecolor="none")
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="completeness", ylabel="purity")
    axes.legend(loc="best")
    return figure


@themed
def plot_offsets(selections: Mapping[str, SelectionFunction], *, theme: Theme) -> Figure:
    """How far from the truth injected clusters are found, and the Rayleigh distributions of the same mean square."""
    figure = Figure(figsize=(4.8, 3.4), layout="constrained")
    axes = figure.add_subplot()
    colours = _finder_colours(list(selections), theme)
    for name, selection in selections.items():
        injected = selection.tables["INJECTIONS"]
        offsets = np.asarray(injected["separation_arcmin"], float)[np.asarray(injected["found"], bool)]
        if not len(offsets):
            continue
        edges = np.linspace(0, np.quantile(offsets, 0.995) * 1.05 + 1e-6, 31)
        axes.hist(offsets, edges, density=True, histtype="step", color=colours[name], label=f"{name} ({len(offsets)})")
        sigma = np.sqrt(np.mean(offsets**2) / 2)
        r = np.linspace(0, edges[-1], 200)
        axes.plot(r, stats.rayleigh(scale=sigma).pdf(r), color=colours[name], linewidth=1, linestyle=":",
                  label=f"Rayleigh, σ = {sigma:.2f}′")  # fmt: skip
    axes.set(xlabel="distance from the truth [arcmin]", ylabel="probability per arcmin", xlim=(0, None))
    axes.legend(loc="best")
    return figure
