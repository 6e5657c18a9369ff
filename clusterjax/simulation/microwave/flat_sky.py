"""Fields on a flat sky: a periodic grid in Fourier space, and the long waves that a small grid cannot hold."""

import functools
import itertools
from collections.abc import Callable

import numpy as np
import scipy.fft
from jaxtyping import Complex, Float
from scipy.interpolate import BSpline

from clusterjax.simulation.microwave.bands import ARCMIN, PIXEL_SCALE_ARCMIN

PIXEL_RADIANS = PIXEL_SCALE_ARCMIN * ARCMIN
_LONG_WAVES = 4  # on each side of zero, in each direction, in place of the grid's constant mode
_ELL_STEP = 8.0  # of the table that spectra are interpolated from


def grid_ell(
    shape: tuple[int, int], pixel_radians: float = PIXEL_RADIANS, *, width: float = 1.0
) -> Float[np.ndarray, "ky kx"]:
    """Multipole of each mode of ``scipy.fft.rfft2`` over a map of pixels ``width`` times as wide as high."""
    ky = 2 * np.pi * scipy.fft.fftfreq(shape[0], pixel_radians)
    kx = 2 * np.pi * scipy.fft.rfftfreq(shape[1], pixel_radians * width)
    return np.hypot(ky[:, None], kx[None, :])


def padded_side(side: int) -> int:
    """Pixels of the periodic grid that a map of ``side`` pixels is cut from: 64 more, or a tenth more."""
    return scipy.fft.next_fast_len(max(side + 64, int(1.1 * side)), real=True)


class GaussianField:
    """Correlated Gaussian bands of a given covariance C(ell) -> (..., band, band), µK² sr, cut from a larger grid.

    Of pixels of 0.5 arcmin in height and ``width`` times as much in width.
    The grid's constant mode stands for all waves longer than the grid: it is replaced by a finer set of them, so that
    a small map has the gradients that a piece of the real sky has.
    """

    def __init__(self, covariance: Callable[[np.ndarray], np.ndarray], shape: tuple[int, int], *, width: float = 1.0):
        self.shape = shape
        self.padded = tuple(padded_side(side) for side in shape)
        self.width = width
        ell = grid_ell(self.padded, width=width)
        table_ell = np.arange(0.0, ell.max() + 2 * _ELL_STEP, _ELL_STEP)
        factors = np.linalg.cholesky(covariance(np.maximum(table_ell, 2.0)))
        factors /= PIXEL_RADIANS * np.sqrt(width)
        num_bands = factors.shape[-1]
        self.factors = {
            (i, j): np.interp(ell, table_ell, factors[:, i, j]).astype(np.float32)
            for i in range(num_bands)
            for j in range(i + 1)
        }
        for factor in self.factors.values():
            factor[0, 0] = 0.0
        self.num_bands = num_bands
        self._set_long_waves(covariance)

    def _set_long_waves(self, covariance) -> None:
        order = np.arange(-_LONG_WAVES, _LONG_WAVES + 1) / (2 * _LONG_WAVES + 1)
        pixel = (PIXEL_RADIANS, PIXEL_RADIANS * self.width)
        spacing = [2 * np.pi / (side * length) for side, length in zip(self.padded, pixel, strict=True)]
        ky, kx = spacing[0] * order, spacing[1] * order
        ell = np.hypot(ky[:, None], kx[None, :])
        factors = np.linalg.cholesky(covariance(np.maximum(ell, 2.0)))
        cell = spacing[0] * spacing[1] / (2 * _LONG_WAVES + 1) ** 2 / (2 * np.pi) ** 2
        self.long_factors = factors * np.sqrt(cell)
        self.long_factors[_LONG_WAVES, _LONG_WAVES] = 0.0  # a constant says nothing
        self.wave_y = np.exp(1j * np.outer(np.arange(self.shape[0]) * pixel[0], ky)).astype(np.complex64)
        self.wave_x = np.exp(1j * np.outer(kx, np.arange(self.shape[1]) * pixel[1])).astype(np.complex64)

    def draw_transform(self, rng: np.random.Generator) -> Complex[np.ndarray, "band ky kx"]:
        """``rfft2`` of one draw on the padded grid, without the long waves."""
        white = scipy.fft.rfft2(rng.standard_normal((self.num_bands, *self.padded), np.float32), axes=(1, 2))
        result = np.empty_like(white)
        for i in range(self.num_bands):
            np.multiply(self.factors[i, 0], white[0], out=result[i])
            for j in range(1, i + 1):
                result[i] += self.factors[i, j] * white[j]
        return result

    def draw_long_waves(self, rng: np.random.Generator) -> Float[np.ndarray, "band y x"]:
        """The waves longer than the grid, over the map."""
        white = rng.standard_normal((*self.long_factors.shape[:3], 2)).view(complex)[..., 0]
        modes = np.einsum("yxij,yxj->iyx", self.long_factors, white).astype(np.complex64)
        return (self.wave_y @ modes @ self.wave_x).real

    def lag_covariance(self) -> Float[np.ndarray, "lag_y lag_x band band"]:
        """Of two pixels of a map, by their distance in y and in x: 0 to the map's side less 1, whatever the sign."""
        ny, nx = self.shape
        power = np.zeros((*self.padded[:1], self.padded[1] // 2 + 1, self.num_bands, self.num_bands))
        for (i, k), (j, m) in itertools.product(self.factors, repeat=2):
            if k == m:
                power[..., i, j] += self.factors[i, k].astype(float) * self.factors[j, m]
        result = scipy.fft.irfft2(power, s=self.padded, axes=(0, 1))[:ny, :nx]
        long_power = np.einsum("yxik,yxjk->yxij", self.long_factors, self.long_factors)
        return result + np.einsum("ly,yxij,xm->lmij", self.wave_y, long_power, self.wave_x, optimize=True).real

    def cut(self, transform: Complex[np.ndarray, "band ky kx"]) -> Float[np.ndarray, "band y x"]:
        """From the padded grid's transform to the map, whose pixel (0, 0) is the grid's."""
        grid = scipy.fft.irfft2(transform, s=self.padded, axes=(1, 2))
        return grid[:, : self.shape[0], : self.shape[1]]


def point_transform(y_pixels: float, x_pixels: float, shape: tuple[int, int]) -> Complex[np.ndarray, "ky kx"]:
    """``rfft2`` of one point of weight 1 on a periodic grid, wherever between pixels it lies."""
    ky = 2 * np.pi * scipy.fft.fftfreq(shape[0])
    kx = 2 * np.pi * scipy.fft.rfftfreq(shape[1])
    return np.exp(-1j * ky * y_pixels)[:, None] * np.exp(-1j * kx * x_pixels)[None, :]


# The B-spline of degree 5: it reaches over 6 pixels, and its transform is sinc^6.
_SPLINE = BSpline.basis_element(np.arange(7) - 3.0)
_SPLINE_PIXELS = 6


def deposit_transform(
    y_pixels: Float[np.ndarray, " n"],
    x_pixels: Float[np.ndarray, " n"],
    weight: Float[np.ndarray, "layer n"],
    shape: tuple[int, int],
) -> Complex[np.ndarray, "layer ky kx"]:
    """:func:`point_transform` of many points together, by one FFT; ``weight`` per pixel.

    Points are spread by a spline and its transform divided out again. What is left is aliasing of (k / (2 pi - k))^6:
    a quarter of a per cent of a source's peak through a beam of 3 pixels, less of anything wider.
    """
    indices, shares = [], []
    for side, position in zip(shape, (y_pixels, x_pixels), strict=True):
        nearby = np.floor(position).astype(int)[:, None] + np.arange(_SPLINE_PIXELS) - 2
        shares.append(_SPLINE(nearby - position[:, None]))
        indices.append(nearby % side)
    flat = (indices[0][:, :, None] * shape[1] + indices[1][:, None, :]).ravel()
    share = shares[0][:, :, None] * shares[1][:, None, :]
    grid = np.stack(
        [np.bincount(flat, (share * row[:, None, None]).ravel(), minlength=shape[0] * shape[1]) for row in weight]
    )
    transform = scipy.fft.rfft2(grid.reshape(-1, *shape).astype(np.float32), axes=(1, 2))
    return transform / _spline_transform(shape)


@functools.lru_cache(maxsize=4)
def _spline_transform(shape: tuple[int, int]) -> Float[np.ndarray, "ky kx"]:
    """Of a point that the spline has spread."""
    frequencies = scipy.fft.fftfreq(shape[0])[:, None], scipy.fft.rfftfreq(shape[1])[None, :]
    along_y, along_x = (np.sinc(frequency) ** _SPLINE_PIXELS for frequency in frequencies)
    return (along_y * along_x).astype(np.float32)
