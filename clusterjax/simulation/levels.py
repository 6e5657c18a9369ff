"""How bright a simulated sky is without the object that it was made for: what the check for leaks may know of it.

The level of the cutout itself says which object lies in it, as it must. That of the sky behind says something only if
objects of one kind are put into another sky than those of another.
"""

import numpy as np
import scipy.fft
from jaxtyping import Complex, Float

_BLOCKS = 8  # a side; the median of the means of 64 blocks is hardly moved by a bright star
_THINNED = 4  # a map's transform is cut to waves of twice so many pixels and more


def name_levels(bands: tuple[str, ...]) -> tuple[str, ...]:
    """What the level of each band is called in a data set."""
    return tuple(f"sky_level_{band}" for band in bands)


def block_light(
    y_pixels: Float[np.ndarray, " n"], x_pixels: Float[np.ndarray, " n"], light: Float[np.ndarray, "band n"], side: int
) -> Float[np.ndarray, "band block"]:
    """Mean per pixel of the ``light`` of points, over each of 64 blocks of an image of ``side`` pixels a side."""
    scale = _BLOCKS / side
    y, x = (np.floor((pixels + 0.5) * scale).astype(np.int64) for pixels in (y_pixels, x_pixels))
    inside = (y >= 0) & (y < _BLOCKS) & (x >= 0) & (x < _BLOCKS)
    # Points outside are counted in a block of their own.
    block = np.where(inside, y * _BLOCKS + x, _BLOCKS**2)
    sums = [np.bincount(block, row, minlength=_BLOCKS**2 + 1)[:-1] for row in light]
    return np.stack(sums) * scale**2


def block_centres(side: int) -> np.ndarray:
    """The pixel in the middle of each block, along one axis."""
    return ((np.arange(_BLOCKS) + 0.5) * side / _BLOCKS).astype(int)


def median(values: Float[np.ndarray, "band n"]) -> Float[np.ndarray, " band"]:
    """Of each band; NumPy's, in half the time, of values without NaN."""
    low, high = (values.shape[1] - 1) // 2, values.shape[1] // 2
    ordered = np.partition(values, (low, high), axis=1)
    return (ordered[:, low] + ordered[:, high]) / 2


class ThinnedMap:
    """The long waves of a periodic grid's ``rfft2``, and the map of them on every fourth pixel or so."""

    def __init__(self, padded: tuple[int, int], shape: tuple[int, int]):
        self.padded = padded
        self.sides = tuple(2 * (side // (2 * _THINNED)) for side in padded)
        steps = [full / thinned for full, thinned in zip(padded, self.sides, strict=True)]
        self.pixels = tuple(
            np.rint(np.arange(0, side, step)).astype(int) for side, step in zip(shape, steps, strict=True)
        )
        self._frequencies = scipy.fft.fftfreq(self.sides[0], 1 / self.sides[0]), np.arange(self.sides[1] // 2 + 1)

    def cut(self, transform: np.ndarray) -> np.ndarray:
        """The long waves of a transform (..., ky, kx)."""
        half, columns = self.sides[0] // 2, self.sides[1] // 2 + 1
        return np.concatenate([transform[..., :half, :columns], transform[..., -half:, :columns]], axis=-2)

    def points(
        self, y_pixels: Float[np.ndarray, " n"], x_pixels: Float[np.ndarray, " n"], weight: Float[np.ndarray, "band n"]
    ) -> Complex[np.ndarray, "band ky kx"]:
        """The long waves of a few points, wherever between pixels they lie."""
        ky, kx = self._frequencies
        along_y = np.exp(-2j * np.pi / self.padded[0] * np.outer(y_pixels, ky))
        along_x = np.exp(-2j * np.pi / self.padded[1] * np.outer(x_pixels, kx))
        return (weight[:, None, :] * along_y.T) @ along_x

    def values(self, waves: Complex[np.ndarray, "band ky kx"]) -> Float[np.ndarray, "band y x"]:
        """At ``pixels`` of the map."""
        scale = np.float32(self.sides[0] * self.sides[1] / (self.padded[0] * self.padded[1]))
        grid = scipy.fft.irfft2(waves, s=self.sides, axes=(1, 2))
        return scale * grid[:, : len(self.pixels[0]), : len(self.pixels[1])]
