"""Figures of a data set: where it lies on the sky, and what its pixels are like."""

from collections.abc import Mapping

import numpy as np
from astropy.table import Table
from matplotlib.figure import Figure

from clusterjax.report.theme import Theme, themed

_CLOSE_UP_DEG = 60.0  # a smaller footprint is drawn by itself, not on the whole sky


@themed
def plot_sky_coverage(positions: Table, *, theme: Theme) -> Figure:
    """``positions`` has ra_deg, dec_deg and split. The whole sky (Mollweide), or a close-up of a small footprint."""
    ra, dec = np.asarray(positions["ra_deg"], float), np.asarray(positions["dec_deg"], float)
    # About the mean direction, so that a footprint across RA = 0 stays in one piece.
    centre = np.degrees(np.angle(np.exp(1j * np.radians(ra)).mean()))
    offset = (ra - centre + 180) % 360 - 180
    whole = np.ptp(offset) > _CLOSE_UP_DEG or np.ptp(dec) > _CLOSE_UP_DEG
    figure = Figure(figsize=(8.4, 4.4), layout="constrained")
    axes = figure.add_subplot(projection="mollweide" if whole else None)
    for colour, split in zip(theme.cycle, dict.fromkeys(positions["split"]), strict=False):
        here = np.asarray(positions["split"]) == split
        style = {"s": 4, "color": colour, "label": f"{split} ({int(here.sum()):,})", "linewidths": 0, "alpha": 0.8}
        if whole:
            # East to the left; the middle is RA = 180.
            axes.scatter(-np.radians(ra[here] - 180), np.radians(dec[here]), **style)
        else:
            axes.scatter(centre + offset[here], dec[here], **style)
    if whole:
        axes.set_xticks(np.radians([-120, -60, 0, 60, 120]), ["300°", "240°", "180°", "120°", "60°"])
    else:
        axes.invert_xaxis()
        axes.set(xlabel="right ascension / deg", ylabel="declination / deg")
    axes.grid(visible=True, color=theme.grid)
    figure.legend(loc="outside lower center", ncols=3, markerscale=3)
    return figure


@themed
def plot_pixels(pixels: Mapping[str, tuple[np.ndarray, np.ndarray]], *, units: str = "", theme: Theme) -> Figure:
    """Histograms by band: pixels as stored, and normalised; ``pixels`` holds samples of both."""
    figure = Figure(figsize=(8.4, 3.4), layout="constrained")
    before, after = figure.subplots(1, 2)
    for colour, (name, (stored, normalised)) in zip(theme.cycle, pixels.items(), strict=False):
        for axes, values in ((before, stored), (after, normalised)):
            values = np.asarray(values, float)
            values = values[np.isfinite(values)]
            if not values.size:
                continue
            low, high = np.percentile(values, [0.05, 99.95])
            bins = np.linspace(low, high if high > low else low + 1, 120)
            axes.hist(values, bins=bins, histtype="step", density=True, color=colour, label=name, linewidth=1.5)
    before.set(yscale="log", xlabel=f"as stored / {units}" if units else "as stored", ylabel="density")
    after.set(yscale="log", xlabel="as the network sees it")
    before.legend(loc="upper right")
    return figure
