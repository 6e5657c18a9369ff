"""Figures of a scan: the sky with probability contours, the score map, candidates, completeness against purity."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from astropy import units
from astropy.table import Table
from astropy.wcs import WCS
from jaxtyping import Float, Real, UInt8
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from clusterjax.report.theme import Theme, plain_log_ticks, themed

_NUM_LABELLED = 40  # candidates that get their number on the map


@dataclasses.dataclass(frozen=True)
class Marks:
    """Positions to mark on a map, 0-based pixels of the map: candidates with their numbers, and true sources.

    ``is_true`` of each candidate is None where no catalogue was compared with; ``missed`` are the pixels of sources
    that were not found.
    """

    x_pixels: Real[np.ndarray, " candidate"]
    y_pixels: Real[np.ndarray, " candidate"]
    number: Real[np.ndarray, " candidate"]
    is_true: np.ndarray | None = None
    missed_x_pixels: Sequence[float] | np.ndarray = ()
    missed_y_pixels: Sequence[float] | np.ndarray = ()
    verdicts: tuple[str, str] = ("true", "false")

    @property
    def kinds(self) -> list[tuple[str, np.ndarray, str]]:
        """(name, which, marker) of each kind of candidate."""
        every = np.ones(len(self.x_pixels), bool)
        if self.is_true is None:
            return [("candidate", every, "o")]
        true = np.asarray(self.is_true, bool)
        return [(f"candidate, {self.verdicts[0]}", true, "o"), (f"candidate, {self.verdicts[1]}", ~true, "s")]


def _sky_axes(figure: Figure, wcs: WCS, theme: Theme):
    axes = figure.add_subplot(projection=wcs)
    for coordinate, name in zip(axes.coords, ("right ascension", "declination"), strict=True):
        coordinate.set_axislabel(name)
        coordinate.set_ticklabel(size=8, color=theme.text, exclude_overlapping=True)
        coordinate.set_ticks(color=theme.muted)
        coordinate.set_ticks_position("bl"[0] if name == "right ascension" else "l")
    if axes.coords[0].get_format_unit() == units.hourangle:  # astropy's own separators are mathtext, which is off here
        axes.coords[0].set_separator(("ʰ", "ᵐ", "ˢ"))
    axes.coords.grid(color=theme.muted, alpha=0.25, linewidth=0.5)
    axes.coords.frame.set_color(theme.muted)
    return axes


def _draw_marks(axes, marks: Marks, colours: Sequence[str], missed_colour: str, ink: str, halo: str) -> list[Line2D]:
    handles = []
    for (name, chosen, marker), colour in zip(marks.kinds, colours, strict=False):
        style = {"marker": marker, "markersize": 9, "markerfacecolor": "none", "linestyle": "none"}
        style |= {"markeredgecolor": colour, "markeredgewidth": 1.4}
        axes.plot(marks.x_pixels[chosen], marks.y_pixels[chosen], **style)
        handles.append(Line2D([], [], label=f"{name} ({int(chosen.sum())})", **style))
        for x, y, number in zip(
            *(values[chosen] for values in (marks.x_pixels, marks.y_pixels, marks.number)), strict=True
        ):
            if number <= _NUM_LABELLED:
                axes.annotate(
                    f"{int(number)}",
                    (x, y),
                    xytext=(5.5, 4.5),
                    textcoords="offset points",
                    fontsize=7.5,
                    color=ink,
                    path_effects=[withStroke(linewidth=1.8, foreground=halo)],
                )
    if len(marks.missed_x_pixels):
        style = {"marker": "x", "markersize": 6, "linestyle": "none", "color": missed_colour, "markeredgewidth": 1.4}
        axes.plot(marks.missed_x_pixels, marks.missed_y_pixels, **style)
        handles.append(Line2D([], [], label=f"not found ({len(marks.missed_x_pixels)})", **style))
    return handles


def _figure_for(shape: tuple[int, int], map_width: float) -> Figure:
    """As wide as the page; as high as a map of ``map_width`` inches asks, within reason."""
    ny, nx = shape
    return Figure(figsize=(7.6, float(np.clip(map_width * ny / nx, 2.4, 9.0)) + 0.8), layout="constrained")


@themed
def plot_sky_map(
    rgb: UInt8[np.ndarray, "y x 3"],
    wcs: WCS,
    shape: tuple[int, int],
    marks: Marks,
    *,
    contours: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
    theme: Theme,
) -> Figure:
    """A false-colour image of a map of ``shape`` (ny, nx), contours of the score, and the candidates.

    ``rgb`` covers the map, at any resolution. ``contours`` holds x, y (pixels of the map) and the score, each
    (ny, nx) of the score grid; lines are drawn at 0.5 and 0.9.
    """
    figure = _figure_for(shape, 6.8)
    axes = _sky_axes(figure, wcs, theme)
    ny, nx = shape
    axes.imshow(rgb, origin="lower", extent=(-0.5, nx - 0.5, -0.5, ny - 0.5), interpolation="antialiased")
    handles = []
    if contours is not None and np.nanmax(contours[2], initial=0) > 0.5:
        axes.contour(*contours, levels=[0.5, 0.9], colors=["#9ecae1", "#deebf7"], linewidths=[0.6, 0.9])
        handles += [Line2D([], [], color="#6baed6", linewidth=1.2, label="score 0.5 and 0.9")]
    handles += _draw_marks(axes, marks, ("#ffd166", "#ff7b54"), "#ff5fa2", "#ffffff", "#000000")
    axes.set(xlim=(-0.5, nx - 0.5), ylim=(-0.5, ny - 0.5))
    figure.legend(handles=handles, loc="outside upper left", ncols=4)
    return figure


@themed
def plot_score_map(
    score: Float[np.ndarray, "ny nx"],
    wcs: WCS,
    marks: Marks,
    *,
    theme: Theme,
) -> Figure:
    """The score map in PuBu from 0 to 1 with candidates; ``wcs`` and the pixels of ``marks`` are the score grid's.

    Grey: not scored, for want of valid pixels.
    """
    figure = _figure_for(score.shape, 6.0)
    axes = _sky_axes(figure, wcs, theme)
    axes.set_facecolor("#c9c9c9")
    picture = axes.imshow(score, origin="lower", cmap="PuBu", vmin=0, vmax=1)
    handles = _draw_marks(axes, marks, ("#009e73", "#d55e00"), "#c2185b", "#1b1b1b", "#ffffff")
    bar = figure.colorbar(picture, ax=axes, shrink=0.8, pad=0.02, aspect=32)
    bar.set_label("score")
    bar.outline.set_edgecolor(theme.muted)
    axes.set(xlim=(-0.5, score.shape[1] - 0.5), ylim=(-0.5, score.shape[0] - 0.5))
    figure.legend(handles=handles, loc="outside upper left", ncols=3)
    return figure


def _by_falling_threshold(curve: Table) -> tuple[np.ndarray, ...]:
    """False candidates per deg2, completeness, purity and threshold, the highest threshold first."""
    order = np.argsort(-np.asarray(curve["threshold"], float), kind="stable")
    names = ("false_per_deg2", "completeness", "purity", "threshold")
    return tuple(np.asarray(curve[name], float)[order] for name in names)


@themed
def plot_completeness_curve(
    curve: Table,
    *,
    threshold: float | None = None,
    target: tuple[float, float] | None = None,
    sources: str = "sources",
    others: Mapping[str, Table] | None = None,
    theme: Theme,
) -> Figure:
    """Completeness against false candidates per square degree as the threshold falls, purity dashed.

    ``curve`` has threshold, completeness, purity, false_per_deg2. ``target`` is (false per deg2, completeness).
    ``others`` are curves of other finders on the same map, by name: their completeness is drawn in grey.
    """
    figure = Figure(figsize=(4.8, 3.8), layout="constrained")
    axes = figure.add_subplot()
    false, completeness, purity, cut = _by_falling_threshold(curve)
    # None at all cannot be shown on a logarithmic axis: such points lie on its left end.
    floor = 0.5 * min(false[false > 0], default=0.1)
    x = np.maximum(false, floor)
    axes.plot(x, completeness, color=theme.network, label=f"completeness, {sources}")
    axes.plot(x, purity, color=theme.classical, linestyle="--", label="purity")
    for name, other in (others or {}).items():
        other_false, other_completeness, *_ = _by_falling_threshold(other)
        axes.plot(np.maximum(other_false, floor), other_completeness, color=theme.muted, label=f"completeness, {name}")
    if threshold is not None and len(cut):
        above = cut >= threshold
        at = int(above.sum()) - 1 if above.any() else 0
        axes.plot(x[at], completeness[at], "o", color=theme.network, label=f"threshold {threshold:g}", zorder=5)
        axes.plot(x[at], purity[at], "o", color=theme.classical, zorder=5)
    if target is not None:
        axes.plot(*target, "*", color=theme.good, markersize=11, label="target", zorder=5)
    axes.set(xscale="log", ylim=(0, 1.02), xlabel="false candidates per deg²", ylabel="fraction")
    plain_log_ticks(axes)
    axes.legend(loc="best")
    return figure


@themed
def plot_thumbnails(
    pictures: UInt8[np.ndarray, "n y x 3"],
    titles: Sequence[str],
    *,
    num_columns: int = 6,
    heading: str = "",
    theme: Theme,
) -> Figure:
    """A sheet of small square pictures with a line or two above each: candidates, or right and wrong cutouts."""
    num_rows = max(-(-len(pictures) // num_columns), 1)
    figure = Figure(figsize=(1.2 * num_columns, 1.5 * num_rows + 0.4), layout="constrained")
    # One pair of axes for all: a hundred of them would take seconds.
    axes = figure.add_subplot(aspect="equal")
    axes.set_axis_off()
    for i, (picture, title) in enumerate(zip(pictures, titles, strict=True)):
        x, y = i % num_columns, -1.27 * (i // num_columns)
        axes.imshow(picture, origin="lower", extent=(x + 0.03, x + 0.97, y, y + 0.94))
        axes.text(x + 0.5, y + 0.97, title, fontsize=7, ha="center", va="bottom", linespacing=1.1)
    axes.set(xlim=(0, num_columns), ylim=(-1.27 * (num_rows - 1) - 0.02, 1.25))
    if heading:
        figure.suptitle(heading, fontsize=10, weight="bold")
    return figure
