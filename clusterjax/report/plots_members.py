"""Accuracy against coverage."""

from collections.abc import Mapping

import numpy as np
from astropy.table import Table
from matplotlib.figure import Figure

from clusterjax.report.theme import Theme, themed


@themed
def plot_coverage(curves: Mapping[str, Table], *, accuracy: float, theme: Theme) -> Figure:
    """Accuracy of the least uncertain fraction, by kind of uncertainty, as from ``evaluation.ensemble.coverage_curve``;
    ``accuracy`` is that of all."""
    figure = Figure(figsize=(4.6, 4.0), layout="constrained")
    axes = figure.add_subplot()
    first = next(iter(curves.values()))
    axes.plot(
        first["coverage"],
        first["accuracy_best"],
        color=theme.muted,
        linewidth=1,
        linestyle=":",
        label="knows all errors",
    )
    for k, (name, curve) in enumerate(curves.items()):
        axes.plot(curve["coverage"], curve["accuracy"], color=theme.cycle[k % len(theme.cycle)], label=name)
    axes.axhline(accuracy, color=theme.muted, linewidth=0.8)
    lowest = min(accuracy, *(float(np.min(curve["accuracy"])) for curve in curves.values()))
    axes.set(xlabel="fraction called, the least uncertain first", ylabel="accuracy", xlim=(0, 1))
    axes.set_ylim(max(lowest - 0.02, 0), 1.005)
    axes.legend(loc="lower left")
    return figure
