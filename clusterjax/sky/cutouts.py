"""Cutouts of a sky map at given positions."""

from collections.abc import Sequence

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


def extract_from_several(
    maps: Sequence[SkyMap], ra_deg: float, dec_deg: float, size: int
) -> tuple[Float[np.ndarray, "size size band"], float]:
    """One cutout of maps that show parts of the same sky, as tiles do: from the one that has most of it.

    What is not valid there is the nearest pixel of the next map that has it. Also returns the valid fraction.
    """
    cutouts = [extract_cutouts(sky, ra_deg, dec_deg, size) for sky in maps]
    order = np.argsort([-valid[0] for _, valid in cutouts], kind="stable")
    sky, image = maps[order[0]], cutouts[order[0]][0][0]
    missing = ~np.isfinite(image).all(axis=2)
    if missing.any() and len(maps) > 1:
        y, x = sky.sky_to_pixel(np.atleast_1d(ra_deg), np.atleast_1d(dec_deg))
        first_y, first_x = (first[0] for first in _first_pixels(y, x, size))
        for other in order[1:]:
            rows, columns = np.nonzero(missing)
            there = maps[other].sky_to_pixel(*sky.pixel_to_sky(first_y + rows, first_x + columns))
            with np.errstate(invalid="ignore"):
                there_y, there_x = (np.nan_to_num(np.rint(pixels), nan=-1).astype(int) for pixels in there)
            ny, nx = maps[other].shape
            inside = (there_y >= 0) & (there_y < ny) & (there_x >= 0) & (there_x < nx)
            inside[inside] = maps[other].valid[there_y[inside], there_x[inside]]
            image[rows[inside], columns[inside]] = maps[other].data[there_y[inside], there_x[inside]]
            missing[rows[inside], columns[inside]] = False
    return image, float(1 - missing.mean())


def _first_pixels(y, x, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The pixels that cutouts of ``size`` about (y, x) begin at; NaN where these are."""
    return tuple(np.rint(centre - (size - 1) / 2) for centre in (y, x))
