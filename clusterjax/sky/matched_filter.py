"""The multi-frequency matched filter: the linear estimate of a known profile in maps of known covariance.

Haehnelt & Tegmark (1996), Herranz et al. (2002), Melin et al. (2006): the filter C^-1 t at each wave number, over all
bands at once. Its output in units of its own noise is the signal-to-noise ratio of the profile at each pixel.
"""

import dataclasses
import functools

import numpy as np
import scipy.fft
from jaxtyping import Float

_MIRRORED_PIXELS = 64  # beyond the map's edge: wider than any filter's reach


@dataclasses.dataclass(frozen=True, eq=False)
class MatchedFilter:
    """A filter for maps of pixels ``pixel_radians`` high and ``width`` times as wide.

    Tables are functions of the multipole ``ell`` (ascending, from 0). ``template`` is the transform of the profile in
    each band, beam included, per unit of amplitude (µK sr); ``covariance`` is the power of everything else in the maps
    (µK² sr).
    """

    ell: Float[np.ndarray, " n"]
    template: Float[np.ndarray, "n band"]
    covariance: Float[np.ndarray, "n band band"]
    pixel_radians: float
    width: float = 1.0

    @functools.cached_property
    def _weight(self) -> Float[np.ndarray, "n band"]:
        """C^-1 t."""
        return np.linalg.solve(self.covariance, self.template[..., None])[..., 0]

    @functools.cached_property
    def sigma(self) -> float:
        """Noise of the amplitude: 1 / sigma^2 = integral of ell d ell / (2 pi) t C^-1 t."""
        density = np.sum(self.template * self._weight, axis=-1)
        return float(np.trapezoid(self.ell * density, self.ell) / (2 * np.pi)) ** -0.5

    @functools.cached_property
    def snr_weight(self) -> Float[np.ndarray, "n band"]:
        """The filter's own transform: sigma C^-1 t, which makes a signal-to-noise ratio of the maps' transforms."""
        return self.sigma * self._weight

    def __call__(self, maps: Float[np.ndarray, "*batch y x band"]) -> Float[np.ndarray, "*batch y x"]:
        """Signal-to-noise ratio at each pixel, positive for a positive amplitude. NaN pixels count as the mean.

        The maps are mirrored at their edges, so that a gradient over them makes no step.
        """
        maps = np.asarray(maps, np.float32)
        finite = np.isfinite(maps)
        total = np.where(finite, maps, 0).sum(axis=(-3, -2), keepdims=True, dtype=np.float64)
        mean = total / np.maximum(finite.sum(axis=(-3, -2), keepdims=True), 1)
        maps = np.where(finite, maps - mean, 0).astype(np.float32)
        ny, nx = maps.shape[-3:-1]
        pads, sides = zip(*(_mirror(side) for side in (ny, nx)), strict=True)
        maps = np.pad(maps, [(0, 0)] * (maps.ndim - 3) + [*pads, (0, 0)], mode="symmetric")
        transform = scipy.fft.rfft2(np.moveaxis(maps, -1, 0), axes=(-2, -1))
        filtered = sum(weight * band for weight, band in zip(self._grid_weight(sides), transform, strict=True))
        filtered = scipy.fft.irfft2(filtered, s=sides, axes=(-2, -1))
        return filtered[..., pads[0][0] : pads[0][0] + ny, pads[1][0] : pads[1][0] + nx]

    def _grid_weight(self, shape: tuple[int, int]) -> Float[np.ndarray, "band ky kx"]:
        ky = 2 * np.pi * scipy.fft.fftfreq(shape[0], self.pixel_radians)
        kx = 2 * np.pi * scipy.fft.rfftfreq(shape[1], self.pixel_radians * self.width)
        ell = np.hypot(ky[:, None], kx[None, :])
        weight = np.stack([np.interp(ell, self.ell, column, right=0.0) for column in self.snr_weight.T])
        weight[:, 0, 0] = 0.0  # a map's zero point is arbitrary
        return weight.astype(np.float32)


def _mirror(side: int) -> tuple[tuple[int, int], int]:
    """(pixels before and after, total): at most a whole mirrored map on each side, of a length that transforms fast."""
    low = min(_MIRRORED_PIXELS, side)
    total = scipy.fft.next_fast_len(side + 2 * low, real=True)
    if total - side - low > side:  # a tiny map has no more to mirror
        total = side + 2 * low
    return (low, total - side - low), total
