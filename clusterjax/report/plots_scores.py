"""Figures of how well the scores separate: curves, histogram, confusion, recall against redshift and mass."""

from collections.abc import Mapping, Sequence

import numpy as np
from astropy.table import Table
from jaxtyping import Float, Integer
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from clusterjax.evaluation.binary import normalise_confusion
from clusterjax.evaluation.curves import PrecisionRecallCurve, RocCurve
from clusterjax.report.theme import Theme, plain_log_ticks, themed

_ROC_FLOOR = 1e-3  # left end of the logarithmic axis


def _square(theme: Theme):
    figure = Figure(figsize=(4.6, 4.0), layout="constrained")
    return figure, figure.add_subplot()


def _working_point(theme: Theme) -> dict:
    return {"markersize": 8, "markeredgecolor": theme.background, "markeredgewidth": 1.2, "zorder": 5}


def _line_colours(names: Sequence[str], theme: Theme) -> dict[str, str]:
    return {name: theme.cycle[i % len(theme.cycle)] for i, name in enumerate(names)}


@themed
def plot_roc(
    curves: Mapping[str, RocCurve],
    areas: Mapping[str, float],
    *,
    working_points: Mapping[str, tuple[float, float]] | None = None,
    theme: Theme,
) -> Figure:
    """ROC curves by name with their areas; ``working_points`` (fpr, recall) mark where the thresholds lie.

    False-positive rates are logarithmic: a survey lives at the left end, where a linear axis shows nothing.
    """
    figure, axes = _square(theme)
    colours = _line_colours(list(curves), theme)
    chance = np.geomspace(_ROC_FLOOR, 1, 100)
    axes.plot(chance, chance, color=theme.muted, linewidth=1, linestyle=":", label="chance")
    for name, curve in curves.items():
        axes.plot(
            np.maximum(curve.false_positive_rate, _ROC_FLOOR / 10),
            curve.true_positive_rate,
            color=colours[name],
            label=f"{name}, AUC {areas[name]:.3f}",
            drawstyle="steps-post",
        )
    for name, (fpr, recall) in (working_points or {}).items():
        axes.plot(max(fpr, _ROC_FLOOR), recall, "o", color=colours[name], **_working_point(theme))
    axes.set(xscale="log", xlim=(_ROC_FLOOR, 1), ylim=(0, 1.01))
    plain_log_ticks(axes)
    axes.set(xlabel="false-positive rate", ylabel="recall (true-positive rate)")
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[1:] + handles[:1], labels[1:] + labels[:1], loc="lower right")
    return figure


@themed
def plot_precision_recall(
    curves: Mapping[str, PrecisionRecallCurve],
    areas: Mapping[str, float],
    *,
    prevalence: float | None = None,
    working_points: Mapping[str, tuple[float, float]] | None = None,
    theme: Theme,
) -> Figure:
    """Precision against recall by name, with the average precision; ``working_points`` are (recall, precision)."""
    figure, axes = _square(theme)
    colours = _line_colours(list(curves), theme)
    for name, curve in curves.items():
        label = f"{name}, average {areas[name]:.3f}"
        # Precision belongs to the whole step in recall that ends at its point.
        axes.step(curve.recall, curve.precision, where="pre", color=colours[name], label=label)
    if prevalence is not None:
        axes.axhline(prevalence, color=theme.muted, linewidth=1, linestyle=":", label="chance")
    for name, (recall, precision) in (working_points or {}).items():
        axes.plot(recall, precision, "o", color=colours[name], **_working_point(theme))
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.005), ylim=(0, 1.01))
    axes.legend(loc="lower left")
    return figure


@themed
def plot_score_histogram(
    scores: Mapping[str, Float[np.ndarray, "_"]],
    *,
    threshold: float | None = None,
    xlabel: str = "score",
    theme: Theme,
) -> Figure:
    """How the scores of each class are spread, in bins of 0.05; logarithmic, so that the tails show."""
    figure = Figure(figsize=(4.6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    edges = np.linspace(0, 1, 21)
    colours = (theme.positive, theme.negative) if len(scores) == 2 else theme.cycle
    for (name, values), colour in zip(scores.items(), colours, strict=False):
        counts, _ = np.histogram(values, edges)
        axes.stairs(counts, edges, fill=True, color=colour, alpha=0.22, baseline=0.5)
        axes.stairs(counts, edges, color=colour, linewidth=1.6, label=f"{name} ({len(values):,})", baseline=0.5)
    if threshold is not None:
        axes.axvline(threshold, color=theme.muted, linestyle=":", linewidth=1.2, label=f"threshold {threshold:g}")
    axes.set(xlabel=xlabel, ylabel="cutouts per bin", yscale="log", xlim=(0, 1))
    axes.set_ylim(0.7, None)
    axes.legend(loc="upper center")
    return figure


@themed
def plot_confusion(
    counts: Integer[np.ndarray, "k k"], class_names: Sequence[str], *, over: str = "true", theme: Theme
) -> Figure:
    """Confusion matrix: shade and percentage over each ``'true'`` or each ``'called'`` class, counts below."""
    num_classes = len(class_names)
    side = max(3.8, 1.5 + 0.8 * num_classes)
    figure = Figure(figsize=(side, side * 0.92), layout="constrained")
    axes = figure.add_subplot()
    fractions = normalise_confusion(counts, over)
    shares = np.nan_to_num(fractions)
    shade = LinearSegmentedColormap.from_list("confusion", [theme.background, theme.network])
    axes.imshow(shares, cmap=shade, vmin=0, vmax=1)
    for i in range(num_classes):
        for j in range(num_classes):
            ink = theme.background if shares[i, j] > 0.55 else theme.text
            text = f"{100 * shares[i, j]:.1f} %" if np.isfinite(fractions[i, j]) else "–"
            axes.text(j, i - 0.06, text, ha="center", va="center", color=ink, fontsize=10, weight="bold")
            axes.text(j, i + 0.2, f"{counts[i, j]:,}", ha="center", va="center", color=ink, fontsize=8)
    axes.set_xticks(range(num_classes), class_names, rotation=0 if num_classes < 5 else 40)
    axes.set_yticks(range(num_classes), class_names, rotation=90 if num_classes < 5 else 0, va="center")
    axes.set(xlabel="called", ylabel="true")
    axes.grid(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


@themed
def plot_by_object_type(tables: Mapping[str, Table], *, positive_name: str = "cluster", theme: Theme) -> Figure:
    """Of each object type, the fraction called positive by each observer, with 1 sigma intervals.

    ``tables`` as from ``confusion_by_object_type``; the order of rows is the first table's.
    """
    first = next(iter(tables.values()))
    names = [str(name) for name in first["object_type"]]
    figure = Figure(figsize=(6.0, 1.1 + 0.36 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    colours = _line_colours(list(tables), theme)
    for k, (observer, table) in enumerate(tables.items()):
        order = [list(table["object_type"]).index(name) for name in names]
        rows = table[order]
        fraction = np.asarray(rows["fraction_called_positive"])
        y = np.arange(len(names)) + (k - (len(tables) - 1) / 2) * 0.26
        errors = [fraction - rows["fraction_low"], rows["fraction_high"] - fraction]
        axes.errorbar(
            fraction, y, xerr=np.maximum(errors, 0),
            fmt="os"[k % 2], color=colours[observer], label=observer, elinewidth=1.6,
        )  # fmt: skip
    for i, positive in enumerate(first["positive"]):
        axes.plot([1 if positive else 0] * 2, [i - 0.42, i + 0.42], color=theme.good, linewidth=3, alpha=0.55)
    labels = [f"{name.replace('_', ' ')}  ({num:,})" for name, num in zip(names, first["num"], strict=True)]
    axes.set_yticks(range(len(names)), labels)
    axes.set(xlim=(-0.03, 1.03), ylim=(len(names) - 0.45, -0.55), xlabel=f"fraction called {positive_name}")
    axes.plot([], [], color=theme.good, linewidth=3, alpha=0.55, label="where a perfect observer is")
    figure.legend(loc="outside upper left", ncols=3)
    return figure


@themed
def plot_recall(
    tables: Mapping[str, Table],
    *,
    xlabel: str,
    ylabel: str = "recall",
    scale: float = 1.0,
    log: bool = False,
    published: Sequence[tuple[float, float, float]] = (),
    theme: Theme,
) -> Figure:
    """Recall in bins, as from ``recall_in_bins``, with 1 sigma binomial intervals; bars across are the bins.

    Values are divided by ``scale``. ``published`` (low, high, recall) is drawn as grey steps.
    """
    figure = Figure(figsize=(4.8, 3.6), layout="constrained")
    axes = figure.add_subplot()
    colours = _line_colours(list(tables), theme)
    lowest = 1.0
    for low, high, recall in published:
        axes.plot([low / scale, high / scale], [recall, recall], color=theme.muted, linewidth=5, alpha=0.35)
        lowest = min(lowest, recall)
    if published:
        axes.plot([], [], color=theme.muted, linewidth=5, alpha=0.35, label="published, other draws")
    for k, (name, table) in enumerate(tables.items()):
        rows = table[np.asarray(table["num"]) > 0]
        if not len(rows):
            continue
        low, high = np.asarray(rows["low"]) / scale, np.asarray(rows["high"]) / scale
        middle = np.asarray(rows["median"]) / scale
        # Observers side by side within a bin.
        shift = (k - (len(tables) - 1) / 2) * 0.12
        x = middle * (high / low) ** shift if log else middle + shift * (high - low)
        recall = np.asarray(rows["recall"])
        yerr = np.maximum([recall - rows["recall_low"], rows["recall_high"] - recall], 0)
        axes.errorbar(
            x, recall, yerr=yerr, xerr=np.maximum([x - low, high - x], 0),
            fmt="os"[k % 2], color=colours[name], label=name, elinewidth=1.4,
        )  # fmt: skip
        lowest = min(lowest, float(np.min(rows["recall_low"])))
    if log:
        axes.set_xscale("log")
        plain_log_ticks(axes)
    axes.set(xlabel=xlabel, ylabel=ylabel, ylim=(max(min(0.5, lowest - 0.05), 0) if lowest > 0.05 else 0, 1.02))
    if len(tables) > 1 or published:
        axes.legend(loc="lower right")
    return figure
