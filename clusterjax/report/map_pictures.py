"""Pictures of a map, which may be larger than memory: it is read by window."""

import numpy as np
from astropy.table import Table

from clusterjax.report.contents import Survey
from clusterjax.report.images import block_means, false_colour, fit_stretch
from clusterjax.sky.reader import MapReader
from clusterjax.sky.skymap import SkyMap


def candidate_pictures(survey: Survey, shown: Table) -> np.ndarray:
    """(n, y, x, 3) false-colour thumbnails of detections under one stretch, that of the whole map."""
    sky, side = survey.sky_map, survey.cutout_pixels
    ny, nx = sky.shape
    step = max(int(np.sqrt(ny * nx / 500_000)), 1)
    sample = np.stack([sky.pixels(y, 0, 1, nx)[0, ::step] for y in range(0, ny, step)])
    corners = np.stack([np.rint(np.asarray(shown[f"{axis}_pixels"], float)) - side // 2 for axis in "yx"], axis=1)
    thumbnails = np.stack([sky.pixels(*corner, side, side) for corner in corners.astype(int).tolist()])
    return false_colour(thumbnails, fit_stretch(sample, percentile=99.8))


def shrink(sky: SkyMap | MapReader, max_side: int) -> tuple[np.ndarray, int]:
    """A picture of a map, no side longer than ``max_side``, of means over blocks, and the block's side.

    The map is read by rows of blocks, so that one larger than memory can be shown.
    """
    ny, nx = sky.shape
    block = -(-max(sky.shape) // max_side)
    rows = [block_means(sky.pixels(y, 0, block, nx), block) for y in range(0, ny - block + 1, block)]
    return np.concatenate(rows) if rows else np.zeros((0, nx // block, len(sky.bands)), np.float32), block
