"""The numbers of a figure, read back from what was drawn: whatever a figure shows, its table holds."""

import numpy as np
from astropy.table import Table, vstack
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle

_MOST_CELLS = 10_000  # of an image; more are a picture of the sky, which is a file of its own


def figure_numbers(figure: Figure) -> Table:
    """A row a point, bar, interval or cell that is drawn in the data's coordinates.

    Columns: ``panel`` (counted from 0), ``x_label``, ``y_label``, ``series`` (as in the legend, empty for none),
    ``kind`` (line, points, interval, bar, area or cell), ``x``, ``y``; ``x_to`` and ``y_to``, the other end of an
    interval or corner of a bar; ``value`` of a cell. NaN for what does not apply.
    """
    parts = []
    for panel, axes in enumerate(axes for axes in figure.axes if axes.get_label() != "<colorbar>"):
        for series, kind, values in _series_of(axes):
            columns = dict.fromkeys(("x", "y", "x_to", "y_to", "value"), np.full(len(values[0]), np.nan)) | dict(
                zip(_COLUMNS[kind], (np.asarray(column, float) for column in values), strict=True)
            )
            words = {"panel": panel, "x_label": axes.get_xlabel(), "y_label": axes.get_ylabel()}
            words |= {"series": "" if series.startswith("_") else series, "kind": kind}
            parts.append(Table({name: np.full(len(values[0]), word) for name, word in words.items()} | columns))
    parts = [part for part in parts if len(part)]
    return vstack(parts, metadata_conflicts="silent") if parts else Table()


_COLUMNS = {
    "line": ("x", "y"),
    "points": ("x", "y"),
    "area": ("x", "y"),
    "interval": ("x", "y", "x_to", "y_to"),
    "bar": ("x", "y", "x_to", "y_to"),
    "cell": ("x", "y", "value"),
}


def _series_of(axes: Axes):
    """(label, kind, columns) of each thing on the axes."""
    names = {}  # of parts of error bars, which have no label of their own
    for container in axes.containers:
        if isinstance(container, ErrorbarContainer):
            line, _, bars = container.lines
            names |= {id(part): str(container.get_label()) for part in (line, *bars) if part is not None}

    def label(artist) -> str:
        return names.get(id(artist), str(artist.get_label()))

    for line in axes.get_lines():
        if line.get_transform() == axes.transData:
            yield label(line), "line", line.get_xydata().T
    for patch in axes.patches:
        if isinstance(patch, Rectangle) and patch.get_data_transform() == axes.transData:
            (x, y), width, height = patch.get_xy(), patch.get_width(), patch.get_height()
            yield label(patch), "bar", ([x], [y], [x + width], [y + height])
        elif isinstance(patch, Polygon) and patch.get_data_transform() == axes.transData:
            yield label(patch), "area", patch.get_xy().T
    for drawn in axes.collections:
        if isinstance(drawn, PathCollection):
            yield label(drawn), "points", np.asarray(drawn.get_offsets()).T
        elif isinstance(drawn, LineCollection):
            ends = [(*segment[0], *segment[-1]) for segment in drawn.get_segments() if len(segment)]
            yield label(drawn), "interval", np.array(ends).reshape(-1, 4).T
        elif isinstance(drawn, PolyCollection):
            for path in drawn.get_paths():
                yield label(drawn), "area", path.vertices.T
    for image in axes.images:
        cells = np.asarray(image.get_array(), float)
        if cells.ndim == 2 and cells.size <= _MOST_CELLS:
            y, x = np.indices(cells.shape)
            yield label(image), "cell", (x.ravel(), y.ravel(), np.ma.filled(cells, np.nan).ravel())
