"""Figures of how the network learned: loss and accuracy against epochs, the LR range test."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from clusterjax.report.contents import LrRange
from clusterjax.report.theme import Theme, themed

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def _series(history: Sequence[Mapping], split: str, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Epochs and values of the rows of one split that have the metric."""
    rows = [row for row in history if row.get("split") == split and row.get(metric) is not None]
    x = np.array([row.get("epoch", row.get("step", 0)) for row in rows], float)
    return x, np.array([row[metric] for row in rows], float)


def best_epoch(history: Sequence[Mapping]) -> float | None:
    """The epoch of the lowest validation loss; None without validation."""
    epoch, loss = _series(history, "validation", "loss")
    return float(epoch[np.nanargmin(loss)]) if np.isfinite(loss).any() else None


@themed
def plot_history(history: Sequence[Mapping], metric: str, *, theme: Theme) -> Figure:
    """``metric`` of train (every logged step, and its running mean) and validation against epochs.

    ``history`` holds rows of metrics.jsonl: dicts with split, epoch (or step) and the metric.
    """
    figure = Figure(figsize=(4.8, 3.4), layout="constrained")
    axes = figure.add_subplot()
    epoch, values = _series(history, "train", metric)
    if len(epoch):
        width = max(len(epoch) // 40, 1)
        if width > 1:
            axes.plot(epoch, values, color=theme.network, alpha=0.25, linewidth=0.8)
        kernel = np.ones(width) / width
        smooth = np.convolve(values, kernel, mode="valid")
        axes.plot(np.convolve(epoch, kernel, mode="valid"), smooth, color=theme.network, label="train")
    epoch, values = _series(history, "validation", metric)
    if len(epoch):
        axes.plot(epoch, values, "o-", color=theme.classical, label="validation", markersize=4)
    best = best_epoch(history)
    if best is not None:
        axes.axvline(best, color=theme.muted, linewidth=1, linestyle=":", label="checkpoint that is reported")
    drawn = [line.get_ydata() for line in axes.get_lines() if line.get_label() in ("train", "validation")]
    finite = np.concatenate([np.empty(0), *(values[np.isfinite(values)] for values in drawn)])
    if metric == "loss" and finite.size and finite.min() > 0:
        axes.set_ylim(0, 1.08 * finite.max())
    axes.set(xlabel="epoch", ylabel=metric.replace("_", " "))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if axes.get_legend_handles_labels()[0]:
        axes.legend()
    return figure


@themed
def plot_lr_range(
    learning_rates: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float] | None = None,
    *,
    suggestion: float | None = None,
    theme: Theme,
) -> Figure:
    """Loss of one batch at each learning rate, its smoothed course, and the rate that was taken."""
    figure = Figure(figsize=(4.8, 3.4), layout="constrained")
    axes = figure.add_subplot()
    _draw_lr_range(axes, learning_rates, losses, smoothed, suggestion, theme)
    axes.set(xlabel="learning rate", ylabel="training loss")
    axes.legend()
    return figure


@themed
def plot_lr_ranges(results: Mapping[str, LrRange], *, num_columns: int = 4, theme: Theme) -> Figure:
    """The range tests of several runs, a panel each."""
    num_columns = min(num_columns, len(results))
    num_rows = -(-len(results) // num_columns)
    figure = Figure(figsize=(3.0 * num_columns, 2.3 * num_rows), layout="constrained")
    panels = figure.subplots(num_rows, num_columns, squeeze=False).ravel()
    for axes, (name, result) in zip(panels, results.items(), strict=False):
        _draw_lr_range(axes, result.learning_rates, result.losses, result.smoothed, result.suggestion, theme)
        taken = "no suggestion" if result.suggestion is None else f"{result.suggestion:.1e}"
        axes.set_title(f"{name}: {taken}", fontsize="small")
    for axes in panels[len(results) :]:
        axes.set_visible(False)
    figure.supxlabel("learning rate")
    figure.supylabel("training loss")
    return figure


def _draw_lr_range(axes, learning_rates, losses, smoothed, suggestion, theme: Theme) -> None:
    rates, losses = np.asarray(learning_rates, float), np.asarray(losses, float)
    axes.semilogx(rates, losses, ".", color=theme.network, alpha=0.45, markersize=4, label="one batch")
    if smoothed is not None and len(smoothed):
        axes.semilogx(rates[: len(smoothed)], smoothed, color=theme.network, label="smoothed")
        finite = np.asarray(smoothed, float)[np.isfinite(smoothed)]
        if len(finite):
            # A run that diverges would flatten all that came before.
            low, high = min(finite.min(), np.nanmin(losses)), finite[: max(len(finite) * 3 // 4, 1)].max()
            axes.set_ylim(low - 0.15 * (high - low + 1e-9), high + 0.6 * (high - low + 1e-9))
    axes.xaxis.set_major_formatter(lambda rate, _: f"10{str(round(np.log10(rate))).translate(_RAISED)}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    if suggestion is not None:
        axes.axvline(suggestion, color=theme.classical, linestyle="--", linewidth=1.3, label=f"taken: {suggestion:.1e}")
