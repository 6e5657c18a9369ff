"""Cutouts of a sky map at given positions."""

import numpy as np
from jaxtyping import Float

from clusterjax.sky.reader import MapReader
from clusterjax.sky.skymap import SkyMap


def extract_cutouts(
    sky: SkyMap | MapReader, ra_deg, dec_deg, size: int
) -> tuple[Float[np.ndarray, "cutout size size band"], Float[np.ndarray, " cutout"]]:
    """Squares of ``size`` pixels about ICRS positions in degrees, and the fraction of valid pixels of each.

    Whole pixels, not resampled: a position lies within half a pixel of its cutout's centre, (size - 1) / 2. Pixels
    off the map are NaN; a position that the projection cannot show gives a cutout of NaN with valid fraction 0. Of a
    map on disk nothing else is read.
    """
    y, x = sky.sky_to_pixel(np.atleast_1d(ra_deg), np.atleast_1d(dec_deg))
    images = np.full((y.size, size, size, len(sky.bands)), np.nan, np.float32)
    ny, nx = sky.shape
    for index in np.flatnonzero(np.isfinite(y) & np.isfinite(x)):
        # Clipped so that positions far off do not overflow; a cutout that begins at -size or ny is off the map.
        y0 = int(np.clip(np.rint(y[index] - (size - 1) / 2), -size, ny))
        x0 = int(np.clip(np.rint(x[index] - (size - 1) / 2), -size, nx))
        images[index] = sky.pixels(y0, x0, size, size)
    valid_fraction = np.isfinite(images).all(axis=3).mean(axis=(1, 2), dtype=np.float32)
    return images, valid_fraction
