"""The grid of windows that a scan lays over a map."""

import dataclasses
import math

import numpy as np
from astropy.wcs import WCS
from jaxtyping import Bool, Float, Int

from clusterjax.errors import InputError
from clusterjax.sky.geometry import strided_wcs


@dataclasses.dataclass(frozen=True)
class WindowGrid:
    """Square windows of ``size`` pixels, every ``stride`` pixels, over a map of ``map_shape`` (y, x) pixels.

    The first window begins at pixel 0, the others at multiples of the stride. The last begins where it reaches the
    far edge of the map: it may overhang it, by less than a stride, and pixels off the map count as not valid. So
    every pixel of the map is seen, and the grid stays regular, hence has a linear WCS. Centres of windows cover
    the map but for a border of half a window.
    """

    map_shape: tuple[int, int]
    size: int
    stride: int

    def __post_init__(self):
        if min(self.map_shape) < self.size:
            raise InputError(
                f"a map of {self.map_shape[0]} x {self.map_shape[1]} (y, x) pixels is smaller than the window of "
                f"{self.size} x {self.size} pixels"
            )
        if not 1 <= self.stride <= self.size:
            raise InputError(f"search.stride={self.stride} must lie within [1, {self.size}], the window's size")

    @property
    def shape(self) -> tuple[int, int]:
        """Number of windows (ny, nx)."""
        return tuple(-(-(length - self.size) // self.stride) + 1 for length in self.map_shape)

    @property
    def padded_shape(self) -> tuple[int, int]:
        """The map's shape (y, x) with room for the last windows."""
        return tuple((number - 1) * self.stride + self.size for number in self.shape)

    def starts(self, inside: Bool[np.ndarray, "ny nx"]) -> Int[np.ndarray, "window 2"]:
        """First pixel (y, x) of each window that is ``inside``, row by row."""
        return np.argwhere(inside).astype(np.int32) * self.stride

    def valid_fraction(self, valid: Bool[np.ndarray, "y x"]) -> Float[np.ndarray, "ny nx"]:
        """The fraction of valid pixels of each window."""
        number = valid
        for windows in self.shape:  # along y, then along x
            number = _window_sums(number, self.size, self.stride, windows).T
        return (number / self.size**2).astype(np.float32)

    def scored(
        self, valid: Bool[np.ndarray, "y x"], min_valid_fraction: float | int
    ) -> tuple[Bool[np.ndarray, "ny nx"], Float[np.ndarray, "ny nx"]]:
        """(which windows have enough valid pixels to be scored, the valid fraction). InputError where none has."""
        fraction = self.valid_fraction(valid)
        check_any_scored(fraction, self.size, min_valid_fraction)
        return is_scored(fraction, min_valid_fraction), fraction

    def wcs(self, map_wcs: WCS) -> WCS:
        """The WCS of the grid, one pixel a window, at the windows' centres: window (i, j) covers pixels
        stride * i to stride * i + size - 1, so its centre is stride * i + (size - 1) / 2."""
        grid = strided_wcs(map_wcs, self.stride, (self.size - 1) / 2)
        grid.pixel_shape = self.shape[::-1]
        return grid


def _window_sums(values: np.ndarray, size: int, stride: int, number: int) -> Int[np.ndarray, "number x"]:
    """Of ``size`` values every ``stride`` along the first axis; beyond its end nothing is added.

    Windows begin and end between blocks of the common divisor of size and stride: the running sum is over blocks, which
    are far fewer. On a large map the sum of all pixels took longer than a GPU's scan.
    """
    block = math.gcd(size, stride)
    length = (number - 1) * stride + size
    if len(values) < length:
        values = np.pad(values, [(0, length - len(values)), (0, 0)])
    blocks = values.reshape(-1, block, values.shape[1]).sum(axis=1, dtype=np.int32)
    running = np.zeros((len(blocks) + 1, blocks.shape[1]), np.int32)
    np.cumsum(blocks, axis=0, out=running[1:])
    first = np.arange(number) * (stride // block)
    return running[first + size // block] - running[first]


def is_scored(valid_fraction: Float[np.ndarray, "ny nx"], min_valid_fraction: float | int) -> Bool[np.ndarray, "ny nx"]:
    """Which windows have enough valid pixels."""
    return (valid_fraction >= min_valid_fraction) & (valid_fraction > 0)


def check_any_scored(valid_fraction: Float[np.ndarray, "ny nx"], size: int, min_valid_fraction: float | int) -> None:
    """Raises InputError if no window has enough valid pixels."""
    if not is_scored(valid_fraction, min_valid_fraction).any():
        raise InputError(
            f"none of the {valid_fraction.size} windows of {size} pixels has search.min_valid_fraction="
            f"{min_valid_fraction:g} of its pixels valid; the fullest has {valid_fraction.max():.3g}"
        )
