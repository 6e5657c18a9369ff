"""Cutouts of a sky map at given positions."""

import numpy as np
from jaxtyping import Float

from clusterjax.sky.reader import MapReader
from clusterjax.sky.skymap import SkyMap


def extract_cutouts(
    sky: SkyMap | MapReader, ra_deg, dec_deg, size: int
) -> tuple[Float[np.ndarray, "cutout size size band"], Float[np.ndarray, " cutout"]]:
    """Squares of ``size`` pixels about ICRS positions in degrees, and the fraction of valid pixels of each.

    Whole pixels, not resampled, where the map has a flat grid: a position lies within half a pixel of its cutout's
    centre, (size - 1) / 2. Pixels off the map are NaN; a position that the projection cannot show gives a cutout of
    NaN with valid fraction 0. Of a map on disk nothing else is read.
    """
    images = sky.windows_around(np.atleast_1d(ra_deg), np.atleast_1d(dec_deg), size)
    return images, np.isfinite(images).all(axis=3).mean(axis=(1, 2), dtype=np.float32)
