"""A map on a flat grid, seen as HEALPix cells (nested, ICRS): tile by tile, in the memory of a tile.

A cell has the value of the pixel that its centre lies on.
"""

from collections.abc import Iterator, Sequence

import astropy.units as u
import numpy as np
from astropy_healpix import healpix_to_lonlat, lonlat_to_healpix, neighbours
from jaxtyping import Bool, Float, Int

from clusterjax.errors import InputError
from clusterjax.sky.moc import FINEST_ORDER, Moc
from clusterjax.sky.skymap import Grid
from clusterjax.sky.sphere import cell_scale_arcsec

TILE_BITS = 7  # a tile has 2^7 cells a side
_FINER_ORDERS = 3
_ROWS_PIXELS = 200_000  # pixels whose positions are computed together


def natural_order(pixel_scale_arcsec: float | int) -> int:
    """The coarsest order of which hardly a pixel has no cell's centre: whose cells are no wider than 0.71 pixels."""
    return _order_of(pixel_scale_arcsec / np.sqrt(2))


def _order_of(scale_arcsec: float | int) -> int:
    """The coarsest order with cells no wider than this."""
    order = int(np.ceil(np.log2(cell_scale_arcsec(1) / scale_arcsec) - 1e-9))
    return min(max(order, 0), FINEST_ORDER)


def covering_cells(grid: Grid, inside: Bool[np.ndarray, "ny nx"], order: int) -> Int[np.ndarray, " cell"]:
    """Sorted cells of ``order``, among them all with a centre of a finer cell on a pixel that is ``inside``."""
    # Cells at least twice as wide as a pixel: a pixel's parts lie in its centre's cell, or in one that touches that.
    # Finer than those asked for, they leave out most of what is beside the map.
    coarse = max(min(order + _FINER_ORDERS, _order_of(2 * grid.central_pixel_scale_arcsec()) - 1), 0)
    found = np.zeros(0, np.int64)
    step = max(_ROWS_PIXELS // grid.shape[1], 1)
    for start in range(0, grid.shape[0], step):
        y, x = np.nonzero(inside[start : start + step])
        ra, dec = grid.pixel_to_sky(y + start, x)
        known = np.isfinite(ra) & np.isfinite(dec)
        cells = lonlat_to_healpix(ra[known] * u.deg, dec[known] * u.deg, 2**coarse, order="nested")
        found = np.union1d(found, cells)
    # A cell at a corner of a base cell has seven: of the eighth astropy-healpix says -1, and warns.
    with np.errstate(invalid="ignore"):
        around = neighbours(found, 2**coarse, order="nested").ravel() if len(found) else found
    found = np.union1d(found, around[around >= 0])
    if coarse > order:
        found = np.unique(found >> 2 * (coarse - order))
    for _ in range(order - coarse):
        found = (4 * found[:, None] + np.arange(4)).ravel()
    return found.astype(np.int64)


def sample_cells(
    grid: Grid, planes: Sequence[Float[np.ndarray, "ny nx"]], cells: Int[np.ndarray, " n"], order: int
) -> Float[np.ndarray, "plane n"]:
    """Values of each plane at the centres of cells; NaN off the map."""
    longitude, latitude = healpix_to_lonlat(cells, 2**order, order="nested")
    inside, rows, columns = grid.nearest_pixel(longitude.to_value(u.deg), latitude.to_value(u.deg))
    values = np.stack([np.asarray(plane[rows, columns], np.float32) for plane in planes])
    return np.where(inside, values, np.float32(np.nan))


def sample_map(
    grid: Grid, planes: Sequence[Float[np.ndarray, "ny nx"]], order: int
) -> Iterator[tuple[Int[np.ndarray, " n"], Float[np.ndarray, "n plane"]]]:
    """(cells of ``order``, values) of all cells at which the first plane is finite, tile by tile, in rising order."""
    if not 0 <= order <= FINEST_ORDER:
        raise InputError(f"search.healpix_order={order} must lie within [0, {FINEST_ORDER}]")
    bits = min(TILE_BITS, order)
    for tile in covering_cells(grid, np.isfinite(planes[0]), order - bits).tolist():
        cells = np.arange(tile << 2 * bits, (tile + 1) << 2 * bits)
        values = sample_cells(grid, planes, cells, order)
        known = np.isfinite(values[0])
        if known.any():
            yield cells[known], values[:, known].T


def footprint_moc(grid: Grid, inside: Bool[np.ndarray, "ny nx"], order: int) -> Moc:
    """The cells of ``order`` whose centres lie on a pixel that is ``inside``."""
    plane = np.where(inside, np.float32(1), np.float32(np.nan))
    parts = [Moc.from_cells([(order, cells)]).ranges for cells, _ in sample_map(grid, [plane], order)]
    return Moc.from_ranges(np.concatenate([np.zeros((0, 2), np.int64), *parts]), order)
