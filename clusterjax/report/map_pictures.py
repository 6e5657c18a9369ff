"""Pictures of a map, which may be larger than memory: it is read by window."""

import numpy as np
from astropy.table import Table
from jaxtyping import Float, Int

from clusterjax.report.contents import Survey
from clusterjax.report.images import Stretch, block_means, false_colour, fit_stretch
from clusterjax.sky.reader import MapReader
from clusterjax.sky.skymap import ProbabilityMap, SkyMap


def candidate_pictures(survey: Survey, shown: Table) -> np.ndarray:
    """(n, y, x, 3) false-colour thumbnails of detections under one stretch, that of the whole map."""
    thumbnails = cutouts_of(survey.sky_map, shown, survey.cutout_pixels)
    return false_colour(thumbnails, map_stretch(survey.sky_map))


def map_stretch(sky: SkyMap | MapReader) -> Stretch:
    """The stretch of half a million pixels, evenly spaced over the map."""
    ny, nx = sky.shape
    step = max(int(np.sqrt(ny * nx / 500_000)), 1)
    sample = np.stack([sky.pixels(y, 0, 1, nx)[0, ::step] for y in range(0, ny, step)])
    return fit_stretch(sample, percentile=99.8)


def cutout_corners(detections: Table, side: int) -> Int[np.ndarray, "detection 2"]:
    """First pixels (y, x) of squares of ``side`` pixels about detections."""
    centres = np.stack([np.asarray(detections[f"{axis}_pixels"], float) for axis in "yx"], axis=1)
    return (np.rint(centres) - side // 2).astype(int)


def cutouts_of(sky: SkyMap | MapReader, detections: Table, side: int) -> Float[np.ndarray, "detection y x band"]:
    """The map about detections, NaN beyond its edges."""
    return np.stack([sky.pixels(*corner, side, side) for corner in cutout_corners(detections, side).tolist()])


def score_pieces(probability_map: ProbabilityMap, detections: Table, side: int) -> Float[np.ndarray, "detection y x"]:
    """The scores of the same squares: each pixel has that of the nearest window; NaN where none was scored."""
    pieces = np.full((len(detections), side, side), np.nan)
    places = cutout_corners(detections, side)[..., None] + np.arange(side)
    grid = np.rint((places - probability_map.centre_pixels) / probability_map.stride_pixels).astype(int)
    inside = (grid >= 0) & (grid < np.array(probability_map.shape)[:, None])
    for piece, (rows, columns), (y, x) in zip(pieces, grid, inside, strict=True):
        piece[np.ix_(y, x)] = probability_map.score[np.ix_(rows[y], columns[x])]
    return pieces


def shrink(sky: SkyMap | MapReader, max_side: int) -> tuple[np.ndarray, int]:
    """A picture of a map, no side longer than ``max_side``, of means over blocks, and the block's side.

    The map is read by rows of blocks, so that one larger than memory can be shown.
    """
    ny, nx = sky.shape
    block = -(-max(sky.shape) // max_side)
    rows = [block_means(sky.pixels(y, 0, block, nx), block) for y in range(0, ny - block + 1, block)]
    return np.concatenate(rows) if rows else np.zeros((0, nx // block, len(sky.bands)), np.float32), block
