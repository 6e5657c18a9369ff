"""Folders of survey tiles that overlap, as one map in which every position is seen once."""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree
from tqdm import tqdm

from clusterjax.errors import InputError
from clusterjax.sky.bands import ImageReader, Planes
from clusterjax.sky.fits import open_images, read_planes
from clusterjax.sky.geometry import bounding_cap, pixel_scales_arcsec, strided_wcs, unit_vectors
from clusterjax.sky.resampled import ResampledReader
from clusterjax.sky.skymap import SkyMap

_ENDINGS = (".fits", ".fits.gz", ".fits.fz")
_TILES_HELD = 64
_TILES_ASKED = 6  # for a position: four meet at a corner


@dataclasses.dataclass(frozen=True, eq=False)
class _Tile:
    """What the headers say: the files by band, and the cap that holds the tile."""

    files: dict[str, pathlib.Path]
    middle: Float[np.ndarray, " 3"]
    radius: float
    pixel_scale_arcsec: float
    units: str


class TileFolderReader(ResampledReader):
    """The FITS images in a folder and its subfolders, one file a tile and band, on grids of their own.

    A position belongs to the tile whose middle is nearest among those that have a valid pixel there: what several
    tiles show is taken from one. A window about a position is made of whole pixels of the tile nearest to it; what
    that tile does not have comes from the others, by nearest pixel. Of a folder with unWISE's ``*-img-m.fits`` only
    these are read. Headers alone are read to begin with.

    Raises :class:`InputError` for a folder without FITS images, tiles without one of the bands, two files of one band
    and place, and tiles of different pixels.
    """

    def __init__(self, folder: pathlib.Path, *, bands: Sequence[str] | None = None):
        self._tiles, names = _index(folder, bands)
        scales = np.array([tile.pixel_scale_arcsec for tile in self._tiles])
        for tile in self._tiles:
            if not 0 < tile.pixel_scale_arcsec < np.inf:
                raise InputError(f"{next(iter(tile.files.values()))} has its middle off the sky; tiles need one on it")
        if np.ptp(scales) > 0.01 * scales[0]:
            raise InputError(f'{folder} has tiles of {scales.min():.3f}" and {scales.max():.3f}" pixels; give one kind')
        self._tree = cKDTree([tile.middle for tile in self._tiles])
        self._open = functools.lru_cache(maxsize=_TILES_HELD)(self._open_tile)
        super().__init__(
            bands=names,
            units=self._tiles[0].units,
            where=str(folder),
            cap=_joint_cap(self._tiles),
            pixel_scale_arcsec=float(scales[0]),
        )

    def _open_tile(self, number: int) -> ImageReader:
        files = [self._tiles[number].files[band.upper()] for band in self.bands]
        return open_images(files, bands=self.bands, check_signal=False)

    def sample(
        self, vectors: Float[np.ndarray, "*shape 3"], *, nearest: bool = False
    ) -> Float[np.ndarray, "*shape band"]:
        del nearest  # it always is
        flat = vectors.reshape(-1, 3)
        found = np.full((len(flat), len(self.bands)), np.nan, np.float32)
        known = np.flatnonzero(np.isfinite(flat).all(axis=1))
        asked = self._tree.query(flat[known], k=range(1, min(_TILES_ASKED, len(self._tiles)) + 1))[1]
        ra = np.degrees(np.arctan2(flat[known, 1], flat[known, 0]))
        dec = np.degrees(np.arcsin(np.clip(flat[known, 2], -1, 1)))
        for tiles in asked.T:
            missing = ~np.isfinite(found[known]).all(axis=1)
            for number in np.unique(tiles[missing]):
                here = np.flatnonzero(missing & (tiles == number))
                values = self._open(int(number)).values(ra[here], dec[here])
                # Of a position that no tile has in all bands, what the nearest with any has.
                better = np.isfinite(values).sum(axis=1) > np.isfinite(found[known[here]]).sum(axis=1)
                found[known[here[better]]] = values[better]
        return found.reshape(*vectors.shape[:-1], len(self.bands))

    def windows_around(self, ra_deg, dec_deg, size: int) -> Float[np.ndarray, "position size size band"]:
        positions = np.stack([np.atleast_1d(ra_deg), np.atleast_1d(dec_deg)], axis=1)
        windows = np.full((len(positions), size, size, len(self.bands)), np.nan, np.float32)
        for index in np.flatnonzero(np.isfinite(positions).all(axis=1)):
            tile, start = self._place(*positions[index].tolist(), size)
            if start is not None:
                windows[index] = self._window(tile, *start, size)
        return windows

    def read_around(self, ra_deg: float | int, dec_deg: float | int, size: int) -> SkyMap:
        """The window of ``size`` pixels a side about an ICRS position, on the grid of the tile nearest to it."""
        tile, start = self._place(ra_deg, dec_deg, size)
        if start is None:
            raise InputError(f"{self.where} has no tile near ra {ra_deg:g}, dec {dec_deg:g}")
        wcs = strided_wcs(tile.wcs, 1, start)
        wcs.pixel_shape = (size, size)
        return self._sky_map(self._window(tile, *start, size), wcs)

    def _place(self, ra_deg, dec_deg, size: int) -> tuple[ImageReader, tuple[int, int] | None]:
        """The tile nearest to a position, and the first pixel (y, x) of the window on it; None where it has none."""
        tile = self._open(int(self._tree.query(unit_vectors(ra_deg, dec_deg))[1]))
        start = [float(pixel) - (size - 1) / 2 for pixel in tile.sky_to_pixel(ra_deg, dec_deg)]
        return tile, tuple(int(np.rint(pixel)) for pixel in start) if np.isfinite(start).all() else None

    def _window(self, tile: ImageReader, y0: int, x0: int, size: int) -> Float[np.ndarray, "size size band"]:
        data = tile.pixels(y0, x0, size, size)
        rows, columns = np.nonzero(~np.isfinite(data).all(axis=2))
        others = self.sample(unit_vectors(*tile.pixel_to_sky(rows + y0, columns + x0)))
        data[rows, columns] = np.where(np.isfinite(data[rows, columns]), data[rows, columns], others)
        return data


def _index(folder: pathlib.Path, bands: Sequence[str] | None) -> tuple[list[_Tile], tuple[str, ...]]:
    """The tiles that have all bands, and the bands' names."""
    files = sorted(path for path in folder.rglob("*") if path.name.lower().endswith(_ENDINGS))
    files = [path for path in files if path.name.endswith("-img-m.fits")] or files
    if not files:
        raise InputError(f"{folder} holds no FITS images, nor is it a HiPS: it has no file 'properties'")
    by_place: dict[tuple, dict[str, tuple[pathlib.Path, Planes]]] = {}
    for path in tqdm(files, desc="Reading headers", unit=" tiles", delay=3, dynamic_ncols=True):
        planes = read_planes(path)
        middle = bounding_cap(planes.wcs, planes.shape)[0]
        # To 0.2 arcsec: the bands of one tile have the same grid.
        place = by_place.setdefault((planes.shape, *np.round(middle * 1e6).astype(int).tolist()), {})
        name = planes.name.upper()
        if name in place:
            raise InputError(f"{place[name][0]} and {path} are of the same band {planes.name} and place; remove one")
        place[name] = path, planes
    named = bands or sorted({planes.name for place in by_place.values() for _, planes in place.values()})
    complete = [place for place in by_place.values() if all(name.upper() in place for name in named)]
    if not complete:
        raise InputError(
            f"{folder} has no tile with all of the bands {', '.join(named)}; what a file's band is, its header says "
            "(BAND, FILTER) or its name (-w1-)"
        )
    return [_tile(place, named) for place in complete], tuple(named)


def _tile(place: dict[str, tuple[pathlib.Path, Planes]], bands: Sequence[str]) -> _Tile:
    files = {band.upper(): place[band.upper()][0] for band in bands}
    planes = place[bands[0].upper()][1]
    middle, radius = bounding_cap(planes.wcs, planes.shape)
    scale = float(np.sqrt(np.prod(pixel_scales_arcsec(planes.wcs, planes.shape))))
    return _Tile(files, middle, radius, scale, planes.units)


def _joint_cap(tiles: Sequence[_Tile]) -> tuple[np.ndarray, float]:
    middles = np.array([tile.middle for tile in tiles])
    middle = middles.mean(axis=0)
    if np.linalg.norm(middle) < 1e-3:  # all around the sphere
        return np.array([0.0, 0.0, 1.0]), np.pi
    middle /= np.linalg.norm(middle)
    reach = np.arccos(np.clip(middles @ middle, -1, 1)) + [tile.radius for tile in tiles]
    return middle, float(min(reach.max(), np.pi))
