"""The plane of who finds what: any two columns of the predictions, and who calls each object positive."""

import functools

import numpy as np

from clusterjax.evaluation.found_by import count_found_by, found_by
from clusterjax.report.blocks import FigureBlock, TableBlock
from clusterjax.report.cells import column_name
from clusterjax.report.contents import Predictions
from clusterjax.report.plots_explain import plot_plane

_MOST_DRAWN = 4000  # points of a panel
_LEAST_DRAWN = 5


def plane_blocks(predictions: Predictions, observers: dict[str, tuple[np.ndarray, float]]) -> list:
    """The figure, one panel of positives and one of others where they have both columns, and the counts as a table.

    ``observers`` are (score, threshold) by name, the network first. Nothing without ``predictions.plane``.
    """
    if predictions.plane is None:
        return []
    calls = {name: score >= threshold for name, (score, threshold) in list(observers.items())[:2]}
    groups, group = found_by(calls)
    columns = [predictions.column(name) for name in predictions.plane]
    label, names = predictions.label, predictions.class_names
    counts = TableBlock("found_by", count_found_by(label, calls), "Who calls what positive.", folded=True)
    if any(column is None for column in columns):
        return [counts]
    scales = [1e14 if name.endswith("_msun") else 1.0 for name in predictions.plane]
    x, y = (column / scale for column, scale in zip(columns, scales, strict=True))
    known = np.isfinite(x) & np.isfinite(y)
    panels, left_out = {}, False
    for title, chosen in ((names[1], label == 1), (f"not “{names[1]}”", label != 1)):
        rows = np.flatnonzero(known & chosen)
        if len(rows) >= _LEAST_DRAWN:
            drawn = rows[np.linspace(0, len(rows) - 1, min(len(rows), _MOST_DRAWN)).astype(int)]
            panels[f"{title} ({len(rows):,})"] = (x[drawn], y[drawn], group[drawn])
            left_out |= len(drawn) < len(rows)
    if not panels:
        return [counts]
    xlabel, ylabel = (column_name(name) for name in predictions.plane)
    shares = ", ".join(f"{row['called_by']} {100 * row['fraction_of_positives']:.1f} %" for row in counts.table)
    caption = f"Who calls what “{names[1]}”, each observer at its own threshold. Of all true ones: {shares}."
    if left_out:
        caption += f" Of each panel {_MOST_DRAWN:,} points are drawn, evenly spaced in the table."
    return [
        FigureBlock(
            "plane",
            functools.partial(plot_plane, panels, groups, xlabel=xlabel, ylabel=ylabel),
            f"{ylabel} against {xlabel}, by who finds the object. {shares}.",
            caption,
            layout="full" if len(panels) > 1 else "half",
        ),
        counts,
    ]
