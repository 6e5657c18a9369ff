"""Figures of what the network looks at, and of who finds what."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int, Real, UInt8
from matplotlib.figure import Figure

from clusterjax.report.images import heat_pictures
from clusterjax.report.theme import Theme, plain_log_ticks, themed

_MARKERS = "os^x"
_LOG_ABOVE = 20.0  # the ratio of the largest to the smallest value from which an axis is logarithmic


@themed
def plot_activation_maps(
    picture: UInt8[np.ndarray, "y x 3"],
    maps: Mapping[str, Real[np.ndarray, "_ _ _"]],
    filters: Mapping[str, Sequence[int]],
    *,
    theme: Theme,
) -> Figure:
    """A cutout, and a row for each layer with what its chosen filters make of it; each map has its own scale."""
    num_columns = 1 + max(values.shape[2] for values in maps.values())
    figure = Figure(figsize=(1.05 * num_columns, 1.3 * len(maps) + 0.1), layout="constrained")
    axes = figure.subplots(len(maps), num_columns, squeeze=False)
    for pair in axes.flat:
        pair.set_axis_off()
    for row, (name, values) in enumerate(maps.items()):
        if row == 0:
            axes[0, 0].imshow(picture, origin="lower")
            axes[0, 0].set_title("cutout", fontsize=7.5, loc="center", weight="normal")
        num_y, num_x, _ = values.shape
        # Of ReLU's outputs and of others alike: black is each map's least value.
        shifted = np.moveaxis(values - values.min(axis=(0, 1)), -1, 0)
        for column, (number, shown) in enumerate(zip(filters[name], heat_pictures(shifted), strict=True), start=1):
            axes[row, column].imshow(shown, origin="lower")
            axes[row, column].set_title(f"filter {number}", fontsize=7.5, loc="center", weight="normal")
        # Below the cutout, or in its place.
        text_y, va = (-0.06, "top") if row == 0 else (0.5, "center")
        text = f"{name.removeprefix('backbone.')}\n{num_x} × {num_y}"
        axes[row, 0].text(0.5, text_y, text, transform=axes[row, 0].transAxes, fontsize=7.5, ha="center", va=va)
    return figure


@themed
def plot_plane(
    panels: Mapping[str, tuple[Float[np.ndarray, "_"], Float[np.ndarray, "_"], Int[np.ndarray, "_"]]],
    groups: Sequence[str],
    *,
    xlabel: str,
    ylabel: str,
    theme: Theme,
) -> Figure:
    """Objects on a plane, by who calls them positive: a panel each of ``panels``, title -> (x, y, number of the group).

    ``groups`` are the names: of four both, the network's, the other's, none; of two found and missed.
    """
    figure = Figure(figsize=(4.6 * len(panels) + 0.2, 4.3), layout="constrained")
    colours = (theme.good, theme.network, theme.classical, theme.muted)
    markers = _MARKERS
    if len(groups) == 2:
        colours, markers = (theme.network, theme.muted), "ox"
    every_x, every_y = (np.concatenate([panel[i] for panel in panels.values()]) for i in (0, 1))
    all_axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (title, (x, y, group)) in zip(all_axes, panels.items(), strict=True):
        for i, (colour, marker) in enumerate(zip(colours, markers, strict=True)):
            chosen = group == i
            style = {"edgecolors": "none"} if marker != "x" else {"linewidths": 1.0}
            # Thousands of points as an image: the PDF stays small.
            axes.scatter(x[chosen], y[chosen], s=14, c=colour, marker=marker, alpha=0.75, rasterized=True, **style)
        axes.set(title=title, xlabel=xlabel)
    all_axes[0].set_ylabel(ylabel)
    for values, axis in ((every_x, "x"), (every_y, "y")):
        if len(values) and values.min() > 0 and values.max() > _LOG_ABOVE * values.min():
            all_axes[0].set(**{f"{axis}scale": "log"})
            plain_log_ticks(all_axes[0], axis)
    handles = [
        all_axes[0].scatter([], [], s=24, c=colour, marker=marker, label=name)
        for name, colour, marker in zip(groups, colours, markers, strict=True)
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(groups))
    return figure
