"""How noisy a map is from place to place, measured on its pixels alone."""

import dataclasses

import numpy as np
from astropy.wcs import WCS
from jaxtyping import Float
from scipy import ndimage

from clusterjax.sky.skymap import Grid, SkyMap

BLOCK_PIXELS = 64
# Second differences over so many pixels: wide of a resampled map's repeated pixels, narrow of the CMB and of clusters.
_LAG_PIXELS = 3
_MAD_TO_SIGMA = 1.482602
_LEAST_VALUES = 100  # of a block; one with fewer is given its neighbour's noise


@dataclasses.dataclass(frozen=True, eq=False)
class NoiseMap(Grid):
    """``relative_noise`` (ny, nx), NaN outside the footprint: at each place the noise over the map's median.

    ``wcs`` is that of this grid.
    """

    relative_noise: Float[np.ndarray, "ny nx"]
    wcs: WCS

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        return self.relative_noise.shape

    def at(self, ra_deg, dec_deg) -> np.ndarray:
        """At ICRS positions; NaN outside the footprint."""
        ra, dec = np.broadcast_arrays(np.asarray(ra_deg, float), np.asarray(dec_deg, float))
        inside, rows, columns = self.nearest_pixel(ra.ravel(), dec.ravel())
        return np.where(inside, self.relative_noise[rows, columns], np.nan).reshape(ra.shape)


def local_noise(sky: SkyMap, *, block_pixels: int = BLOCK_PIXELS) -> Float[np.ndarray, "by bx band"]:
    """The robust standard deviation of the noise in blocks of the map, in each band, in the map's units.

    Of second differences over 3 pixels along both axes, in which gradients and what is wider cancel; their median
    absolute deviation, in which the few that hold a source do not count. White noise is measured as it is; of
    correlated noise, what varies within 3 pixels. Blocks with little on them have the noise of the nearest one.
    """
    starts = [np.arange(0, length, block_pixels) for length in sky.shape]
    blocks = np.full((len(starts[0]), len(starts[1]), len(sky.bands)), np.nan)
    data = np.where(sky.valid[..., None], sky.data, np.nan)
    for row, y in enumerate(starts[0]):
        for column, x in enumerate(starts[1]):
            block = data[y : y + block_pixels, x : x + block_pixels]
            differences = [_second_differences(block, axis) for axis in (0, 1)]
            values = np.concatenate([part.reshape(-1, block.shape[-1]) for part in differences])
            values = values[np.isfinite(values).all(axis=1)]
            if len(values) >= _LEAST_VALUES:
                blocks[row, column] = _MAD_TO_SIGMA * np.median(np.abs(values), axis=0)
    return _filled(blocks)


def _second_differences(block: np.ndarray, axis: int) -> np.ndarray:
    lag = _LAG_PIXELS
    block = np.moveaxis(block, axis, 0)
    return (block[2 * lag :] - 2 * block[lag:-lag] + block[: -2 * lag]) / np.sqrt(6.0)


def _filled(blocks: np.ndarray) -> np.ndarray:
    """NaN replaced by what is nearest; ones where there is nothing at all."""
    missing = ~(np.isfinite(blocks) & (blocks > 0)).all(axis=2)
    if missing.all():
        return np.ones_like(blocks)
    nearest = ndimage.distance_transform_edt(missing, return_distances=False, return_indices=True)
    return blocks[tuple(nearest)]


def make_noise_map(sky: SkyMap, grid: Grid, inside: np.ndarray) -> tuple[NoiseMap, Float[np.ndarray, " band"]]:
    """(the relative noise on the pixels of ``grid`` that are ``inside``, the median noise of each band over them).

    Of several bands it is the geometric mean of their relative noises.
    """
    blocks = local_noise(sky)
    y, x = sky.sky_to_pixel(*grid.pixel_to_sky(*np.nonzero(inside)))
    place = [
        np.clip(np.rint(np.nan_to_num(pixels)).astype(int) // BLOCK_PIXELS, 0, length - 1)
        for pixels, length in zip((y, x), blocks.shape[:2], strict=True)
    ]
    noise = blocks[tuple(place)]
    median = np.median(noise, axis=0)
    relative = np.full(inside.shape, np.nan, np.float32)
    relative[inside] = np.exp(np.mean(np.log(noise / median), axis=1))
    return NoiseMap(relative, grid.wcs), median
