"""HiPS trees out (IVOA HiPS 1.0): FITS and PNG tiles of a map with values in [0, 1], for Aladin and its like."""

import io
import os
import pathlib
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from PIL import Image

from clusterjax.sky.cells import covering_cells, footprint_moc, sample_cells
from clusterjax.sky.fits import read_tile
from clusterjax.sky.fits.tiles import write_tile
from clusterjax.sky.hips import tile_pixels
from clusterjax.sky.moc import write_moc
from clusterjax.sky.skymap import Grid
from clusterjax.sky.sphere import cell_scale_arcsec
from clusterjax.writing import replacing_folder

TILE_BITS = 9
_WIDTH = 2**TILE_BITS  # as most HiPS have, and as clients take it to be
_LOWEST_ORDER = 3  # where clients begin
_ALLSKY_TILES_A_ROW = 27
_ALLSKY_WIDTH = 64
_ROW, _COLUMN = tile_pixels(np.arange(_WIDTH**2), _WIDTH)


def write_hips(
    folder: str | os.PathLike,
    grid: Grid,
    values: Float[np.ndarray, "ny nx"],
    *,
    title: str,
    cell_order: int,
    software: str,
    date: str,
    provenance: Mapping,
) -> int:
    """Write ``values`` (in [0, 1], NaN where there is nothing) as a HiPS; returns its order.

    Tiles are 512 cells wide. Those of the deepest order, 3 at least, have cells of ``cell_order``; each tile above is
    of the means of four cells below. ``date`` is that of the release, in ISO 8601, in UTC. The tree takes the place of
    one that is there when it is whole. Raises InputError where it cannot be written.
    """
    folder = pathlib.Path(folder)
    deepest = max(cell_order - TILE_BITS, _LOWEST_ORDER)
    with replacing_folder(folder) as partial:
        tiles = _write_deepest(partial, grid, values, deepest)
        for order in range(deepest - 1, _LOWEST_ORDER - 1, -1):
            tiles = _write_parents(partial, tiles, order)
        _write_allsky(partial, tiles)
        moc = footprint_moc(grid, np.isfinite(values), min(cell_order, deepest + TILE_BITS))
        write_moc(partial / "Moc.fits", moc, software=software)
        text = _properties(grid, title, deepest, moc, software, date, provenance)
        (partial / "properties").write_text(text)
    return deepest


def _write_deepest(folder: pathlib.Path, grid: Grid, values, order: int) -> list[int]:
    written = []
    for tile in covering_cells(grid, np.isfinite(values), order).tolist():
        cells = np.arange(tile * _WIDTH**2, (tile + 1) * _WIDTH**2)
        nested = sample_cells(grid, [values], cells, order + TILE_BITS)[0]
        if np.isfinite(nested).any():
            _write(folder, order, tile, nested)
            written.append(tile)
    return written


def _write_parents(folder: pathlib.Path, children: list[int], order: int) -> list[int]:
    known = set(children)
    parents = sorted({child >> 2 for child in children})
    for parent in parents:
        nested = np.full((4, _WIDTH**2), np.nan, np.float32)
        for part in range(4):
            if 4 * parent + part in known:
                nested[part] = read_tile(_path(folder, order + 1, 4 * parent + part, "fits"))[0][_ROW, _COLUMN]
        _write(folder, order, parent, _means(nested.ravel(), 4))
    return parents


def _write_allsky(folder: pathlib.Path, tiles: list[int]) -> None:
    """All tiles of order 3 as thumbnails, in rows of 27, the first at the top left."""
    rows = -(-12 * 4**_LOWEST_ORDER // _ALLSKY_TILES_A_ROW)
    picture = np.full((rows * _ALLSKY_WIDTH, _ALLSKY_TILES_A_ROW * _ALLSKY_WIDTH), np.nan, np.float32)
    row, column = tile_pixels(np.arange(_ALLSKY_WIDTH**2), _ALLSKY_WIDTH)
    for tile in tiles:
        nested = read_tile(_path(folder, _LOWEST_ORDER, tile, "fits"))[0][_ROW, _COLUMN]
        thumbnail = np.empty((_ALLSKY_WIDTH, _ALLSKY_WIDTH), np.float32)
        thumbnail[row, column] = _means(nested, (_WIDTH // _ALLSKY_WIDTH) ** 2)
        top, left = (_ALLSKY_WIDTH * place for place in divmod(tile, _ALLSKY_TILES_A_ROW))
        picture[top : top + _ALLSKY_WIDTH, left : left + _ALLSKY_WIDTH] = thumbnail[::-1]
    base = folder / f"Norder{_LOWEST_ORDER}" / "Allsky"
    write_tile(base.with_suffix(".fits"), picture[::-1], order=_LOWEST_ORDER, number=None)
    base.with_suffix(".png").write_bytes(_png(picture))


def _means(nested: np.ndarray, number: int) -> np.ndarray:
    """Of each ``number`` cells that follow each other, those that are finite; NaN where none is."""
    groups = nested.reshape(-1, number)
    known = np.isfinite(groups)
    total, count = np.where(known, groups, 0).sum(axis=1), known.sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def _path(folder: pathlib.Path, order: int, tile: int, ending: str) -> pathlib.Path:
    return folder / f"Norder{order}" / f"Dir{tile // 10000 * 10000}" / f"Npix{tile}.{ending}"


def _write(folder: pathlib.Path, order: int, tile: int, nested: np.ndarray) -> None:
    pixels = np.empty((_WIDTH, _WIDTH), np.float32)
    pixels[_ROW, _COLUMN] = nested
    path = _path(folder, order, tile, "fits")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tile(path, pixels, order=order, number=tile)
    path.with_suffix(".png").write_bytes(_png(pixels[::-1]))  # FITS counts rows from below


def _png(picture: Float[np.ndarray, "y x"]) -> bytes:
    """Grey from 0 to 1, transparent where there is nothing."""
    known = np.isfinite(picture)
    grey = np.rint(255 * np.clip(np.where(known, picture, 0), 0, 1)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(np.stack([grey, np.where(known, 255, 0).astype(np.uint8)], axis=-1), "LA").save(stream, "PNG")
    return stream.getvalue()


def _properties(grid: Grid, title: str, order: int, moc, software: str, date: str, provenance) -> str:
    scale_deg = cell_scale_arcsec(_WIDTH * 2**order) / 3600
    middle, radius = grid.bounding_cap()
    identifier = "".join(letter if letter.isalnum() else "-" for letter in title).strip("-")
    lines = {
        "creator_did": f"ivo://clusterjax/P/{identifier}",
        "obs_title": title,
        "obs_description": "; ".join(f"{name}: {' '.join(str(value).split())}" for name, value in provenance.items()),
        "hips_creator": "clusterjax",
        "hips_builder": software,
        "hips_version": "1.4",
        "hips_release_date": f"{date[:16]}Z",
        "hips_status": "private master clonableOnce",
        "hips_frame": "equatorial",
        "hips_order": order,
        "hips_order_min": _LOWEST_ORDER,
        "hips_tile_width": _WIDTH,
        "hips_tile_format": "fits png",
        "dataproduct_type": "image",
        "hips_pixel_bitpix": -32,
        "hips_pixel_cut": "0 1",
        "hips_data_range": "0 1",
        "hips_sampling": "nearest",
        "hips_hierarchy": "mean",
        "hips_pixel_scale": f"{scale_deg:.8g}",
        "s_pixel_scale": f"{grid.central_pixel_scale_arcsec() / 3600:.8g}",
        "hips_initial_ra": f"{np.degrees(np.arctan2(middle[1], middle[0])) % 360:.6f}",
        "hips_initial_dec": f"{np.degrees(np.arcsin(middle[2])):.6f}",
        "hips_initial_fov": f"{min(2 * np.degrees(radius), 180.0):.6f}",
        "moc_sky_fraction": f"{moc.sky_fraction:.6g}",
        "moc_order": moc.order,
    }
    return "".join(f"{name:<20} = {value}\n" for name, value in lines.items())
