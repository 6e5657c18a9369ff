"""Images of single bands, or of several, joined to one map, of which nothing is read before it is asked for."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy.wcs import WCS
from jaxtyping import Float

from clusterjax.errors import InputError
from clusterjax.sky.geometry import pixel_scales_arcsec, pixel_to_sky, turn_pixels, unit_vectors
from clusterjax.sky.reader import MapReader

_STOKES_PLANES = 3  # I, Q, U
_GRID_TOLERANCE_PIXELS = 0.05  # files of one grid differ by rounding alone
_ROWS_TOGETHER = 64  # of a compressed image: unpacking costs by the row
_CHECKED_PIXELS = 500_000  # a band, read at a time to see whether a map has any signal


@dataclasses.dataclass(frozen=True, eq=False)
class Planes:
    """The planes of one image of a file, each on the grid ``shape`` (ny, nx).

    ``source`` is an array (memory-mapped where that can be) or what gives out sections of one: indexed by a tuple
    in the file's axis order, whose axes ``axes`` are y and x. ``scaling``: scale and zero of the numbers in the file,
    and the one that stands for no measurement, or None. ``bands`` are the planes' names, ``name`` is the one that the
    image has if a single of its planes is used. ``where`` names the image in messages.
    """

    source: Any
    axes: tuple[int, int]
    wcs: WCS
    bands: list[str]
    name: str
    units: str
    where: str
    scaling: tuple[float, float, int | None] = (1.0, 0.0, None)

    @property
    def shape(self) -> tuple[int, int]:
        return tuple(self.source.shape[axis] for axis in self.axes)

    def read(self, plane: int, y, x) -> np.ndarray:
        """float32 of one plane at ``y`` and ``x``: two slices give an image, two arrays of positions a list."""
        others = [axis for axis in range(len(self.source.shape)) if axis not in self.axes]
        index: list = [0] * len(self.source.shape)
        for axis, number in zip(
            others, np.unravel_index(plane, [self.source.shape[axis] for axis in others]), strict=True
        ):
            index[axis] = int(number)
        index[self.axes[0]], index[self.axes[1]] = y, x
        stored = self.source[tuple(index)]
        scale, zero, blank = self.scaling
        # float64 on the way: 32-bit integers do not fit a float32.
        data = stored if (scale, zero) == (1.0, 0.0) else stored.astype(np.float64) * scale + zero
        data = np.array(data, np.float32)  # the one copy, native
        data[~np.isfinite(data)] = np.nan
        if blank is not None:
            data[stored == blank] = np.nan
        return data

    def at(self, plane: int, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """float32 of one plane at lists of pixels."""
        if isinstance(self.source, np.ndarray):
            return self.read(plane, y, x)
        found = np.empty(len(y), np.float32)
        for strip in np.unique(y // _ROWS_TOGETHER):
            here = y // _ROWS_TOGETHER == strip
            rows, columns = (slice(int(of[here].min()), int(of[here].max()) + 1) for of in (y, x))
            found[here] = self.read(plane, rows, columns)[y[here] - rows.start, x[here] - columns.start]
        return found


class ImageReader(MapReader):
    """A map whose bands are planes of images on one grid. A cylindrical map of a whole turn goes on past its ends."""

    def __init__(self, planes: Sequence[tuple[Planes, int]], bands: Sequence[str], units: str, where: str):
        self._planes = tuple(planes)
        first = planes[0][0]
        self.wcs, self.shape = first.wcs, first.shape
        self.bands, self.units, self.where = tuple(bands), units, where
        turn = turn_pixels(self.wcs)
        whole = (
            turn is not None
            and np.isfinite(turn)
            and abs(turn - round(turn)) < 1e-3
            and self.shape[1] >= round(turn) > 0
        )
        self.turn = round(turn) if whole else None

    def pixels(self, y0: int, x0: int, ny: int, nx: int) -> Float[np.ndarray, "ny nx band"]:
        window = np.full((ny, nx, len(self.bands)), np.nan, np.float32)
        top, bottom = max(y0, 0), min(y0 + ny, self.shape[0])
        if top < bottom:
            for left, right, shift in self._stretches(x0, x0 + nx):
                part = slice(top - y0, bottom - y0), slice(left + shift - x0, right + shift - x0)
                for index, (planes, plane) in enumerate(self._planes):
                    window[*part, index] = planes.read(plane, slice(top, bottom), slice(left, right))
        return window

    def _stretches(self, start: int, stop: int) -> list[tuple[int, int, int]]:
        """(first, last + 1, shift): columns of the map that columns ``start`` to ``stop`` show, moved by ``shift``."""
        if self.turn is None:
            left, right = max(start, 0), min(stop, self.shape[1])
            return [(left, right, 0)] if left < right else []
        stretches = []
        while start < stop:
            shift = start // self.turn * self.turn
            end = min(stop, shift + self.turn)
            stretches.append((start - shift, end - shift, shift))
            start = end
        return stretches

    def values(self, ra_deg, dec_deg) -> Float[np.ndarray, "position band"]:
        inside, y, x = self.nearest_pixel(np.atleast_1d(ra_deg), np.atleast_1d(dec_deg))
        found = np.full((inside.size, len(self.bands)), np.nan, np.float32)
        for index, (planes, plane) in enumerate(self._planes):
            found[inside, index] = planes.at(plane, y[inside], x[inside])
        return found


def join_images(images: Sequence[Planes], bands: Sequence[str] | None, *, check_signal: bool = True) -> ImageReader:
    """One map of all planes. ``bands`` are the names that it must have; planes whose own names are just these, in
    another order, are put in this one, others take them in the order they come. Of one file a band with three planes
    each, which is how polarised maps (I, Q, U) come, the first plane is taken.

    Raises InputError for images on different grids, another number of bands, and a band without any signal
    unless that is not to be looked for.
    """
    for image in images[1:]:
        _check_same_grid(images[0], image)
    count = len(images) if bands is None else len(bands)
    polarised = len(images) == count > 1 and all(len(image.bands) == _STOKES_PLANES for image in images)
    planes = [(image, plane) for image in images for plane in range(1 if polarised else len(image.bands))]
    names = [image.name if polarised else image.bands[plane] for image, plane in planes]
    where = ", ".join(dict.fromkeys(image.where for image in images))
    if bands is not None:
        if len(bands) != len(names):
            raise InputError(
                f"{where} has {len(names)} bands ({', '.join(names)}); {len(bands)} are needed: {', '.join(bands)}"
            )
        own, wanted = ([name.upper() for name in each] for each in (names, bands))
        if sorted(own) == sorted(wanted) and len(set(own)) == len(own):
            planes = [planes[own.index(name)] for name in wanted]
        names = list(bands)
    units = [image.units for image, _ in planes]
    unit = units[0] if len(set(units)) == 1 else ", ".join(units)
    reader = ImageReader(planes, names, unit, where)
    if check_signal:
        _check_signal(reader)
    return reader


def _check_same_grid(first: Planes, other: Planes) -> None:
    if first.shape != other.shape:
        raise InputError(
            f"{first.where} has {first.shape[0]} x {first.shape[1]} (y, x) pixels, {other.where} has "
            f"{other.shape[0]} x {other.shape[1]}; all bands must be on one grid"
        )
    y, x = np.meshgrid(*(np.linspace(0, length - 1, 5) for length in first.shape), indexing="ij")
    chord = unit_vectors(*pixel_to_sky(first.wcs, y, x)) - unit_vectors(*pixel_to_sky(other.wcs, y, x))
    offset_arcsec = np.degrees(np.linalg.norm(chord, axis=-1)) * 3600
    offset_pixels = float(np.nanmax(offset_arcsec)) / max(pixel_scales_arcsec(first.wcs, first.shape))
    if offset_pixels > _GRID_TOLERANCE_PIXELS:
        raise InputError(
            f"{first.where} and {other.where} are on different grids, up to {offset_pixels:.3g} pixels apart; "
            "resample them to one grid first"
        )


def _check_signal(reader: ImageReader) -> None:
    """An error if a band is nowhere finite or constant, or no pixel is finite in all; read until this is settled."""
    ny, nx = reader.shape
    number = len(reader.bands)
    lowest, highest, counts = np.full(number, np.inf), np.full(number, -np.inf), np.zeros(number, int)
    any_valid = False
    rows = max(1, _CHECKED_PIXELS // nx)
    for y0 in range(0, ny, rows):
        block = reader.pixels(y0, 0, min(rows, ny - y0), nx)
        finite = np.isfinite(block)
        lowest = np.minimum(lowest, np.min(block, axis=(0, 1), where=finite, initial=np.inf))
        highest = np.maximum(highest, np.max(block, axis=(0, 1), where=finite, initial=-np.inf))
        counts += finite.sum(axis=(0, 1))
        any_valid |= bool(finite.all(axis=2).any())
        if any_valid and (lowest < highest).all():
            return
    for name, low, high, count in zip(reader.bands, lowest, highest, counts, strict=True):
        if not count:
            raise InputError(f"band {name} of {reader.where} has no valid pixel: all are NaN or infinite")
        if count > 1 and low == high:
            raise InputError(f"band {name} of {reader.where} is empty: all its valid pixels are {low:g}")
    if not any_valid:
        names = ", ".join(reader.bands)
        raise InputError(f"{reader.where} has no pixel that is valid in all of the bands {names}")
