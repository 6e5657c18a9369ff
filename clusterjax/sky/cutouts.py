"""Cutouts of a sky map at given positions."""

import numpy as np
from jaxtyping import Float

from clusterjax.sky.skymap import SkyMap


def extract_cutouts(
    sky: SkyMap, ra_deg, dec_deg, size: int
) -> tuple[Float[np.ndarray, "cutout size size band"], Float[np.ndarray, " cutout"]]:
    """Squares of ``size`` pixels about ICRS positions in degrees, and the fraction of valid pixels of each.

    Whole pixels, not resampled: a position lies within half a pixel of its cutout's centre, (size - 1) / 2. Pixels
    off the map are NaN; a position that the projection cannot show gives a cutout of NaN with valid fraction 0.
    """
    y, x = sky.sky_to_pixel(np.atleast_1d(ra_deg), np.atleast_1d(dec_deg))
    images = np.full((y.size, size, size, len(sky.bands)), np.nan, np.float32)
    valid_fraction = np.zeros(y.size, np.float32)
    ny, nx = sky.shape
    for index in np.flatnonzero(np.isfinite(y) & np.isfinite(x)):
        # Clipped so that positions far off do not overflow; a cutout that begins at -size or ny is off the map.
        y0 = int(np.clip(np.rint(y[index] - (size - 1) / 2), -size, ny))
        x0 = int(np.clip(np.rint(x[index] - (size - 1) / 2), -size, nx))
        on_map = (slice(max(y0, 0), min(y0 + size, ny)), slice(max(x0, 0), min(x0 + size, nx)))
        inside = (
            slice(on_map[0].start - y0, on_map[0].stop - y0),
            slice(on_map[1].start - x0, on_map[1].stop - x0),
        )
        if on_map[0].start < on_map[0].stop and on_map[1].start < on_map[1].stop:
            images[index][inside] = sky.data[on_map]
            valid_fraction[index] = sky.valid[on_map].sum() / size**2
    return images, valid_fraction
