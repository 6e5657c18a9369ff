"""The reliability diagram."""

from collections.abc import Mapping

import numpy as np
from astropy.table import Table
from matplotlib.figure import Figure

from clusterjax.report.theme import Theme, themed


@themed
def plot_reliability(tables: Mapping[str, Table], *, xlabel: str, ylabel: str, theme: Theme) -> Figure:
    """What came true against what was said, as from ``reliability_table``, with 1 sigma intervals; on the diagonal a
    probability means what it says.
    """
    figure = Figure(figsize=(4.6, 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=theme.muted, linewidth=1, linestyle=":", label="means what it says")
    for k, (name, table) in enumerate(tables.items()):
        observed, mean = np.asarray(table["observed"]), np.asarray(table["mean_probability"])
        errors = [observed - table["observed_low"], table["observed_high"] - observed]
        axes.errorbar(
            mean, observed, yerr=np.maximum(errors, 0),
            fmt="os^"[k % 3] + "-", color=theme.cycle[(1, 0, 2)[k % 3]], label=name, linewidth=0.9, elinewidth=1.4,
        )  # fmt: skip
    axes.set(xlabel=xlabel, ylabel=ylabel, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.legend(loc="upper left")
    return figure
