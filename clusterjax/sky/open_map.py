"""One name, or one a band, to a reader of whatever map lies there."""

import os
import pathlib
from collections.abc import Sequence

from clusterjax.errors import InputError
from clusterjax.sky.fits import open_images
from clusterjax.sky.fits.healpix import is_healpix
from clusterjax.sky.healpix import HealpixReader
from clusterjax.sky.hips import HipsReader, is_hips
from clusterjax.sky.reader import MapReader
from clusterjax.sky.tile_folder import TileFolderReader


def open_map(
    paths: Sequence[str | os.PathLike],
    *,
    bands: Sequence[str] | None = None,
    pixel_scale_arcsec: float | int | None = None,
) -> MapReader:
    """The map at ``paths``: one path with all bands, or one a band. ``bands`` are the names that it must have.

    FITS images (see :func:`~clusterjax.sky.fits.open_images`), HEALPix files
    (:class:`~clusterjax.sky.healpix.HealpixReader`), HiPS folders (:class:`~clusterjax.sky.hips.HipsReader`) and
    folders of tiles of all bands (:class:`~clusterjax.sky.tile_folder.TileFolderReader`). ``pixel_scale_arcsec`` is
    that of windows of HEALPix and HiPS, which have no flat pixels of their own.
    """
    if isinstance(paths, str | os.PathLike) or not paths:
        raise InputError(f"images={paths!r} must be a list of one path, or of one a band")
    folders = [pathlib.Path(path) for path in paths]
    if all(is_hips(folder) for folder in folders):
        return HipsReader(folders, bands=bands and tuple(bands), pixel_scale_arcsec=pixel_scale_arcsec)
    if folders[0].is_dir():
        if len(folders) > 1:
            raise InputError(f"{folders[0]} is no HiPS; give one folder with the tiles of all bands")
        return TileFolderReader(folders[0], bands=bands)
    if is_healpix(paths[0]):
        return HealpixReader(paths, bands=bands, pixel_scale_arcsec=pixel_scale_arcsec)
    return open_images(paths, bands=bands)


def file_stamps(paths: Sequence[str | os.PathLike]) -> tuple[tuple[str, int, int, int], ...]:
    """(path, number of files, bytes, time of the last change) of each: tells a file or folder that was written anew."""
    return tuple(_stamp(pathlib.Path(os.fspath(path).partition("[")[0])) for path in paths)


def _stamp(path: pathlib.Path) -> tuple[str, int, int, int]:
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    stats = [file.stat() for file in files]
    changed = max((stat.st_mtime_ns for stat in stats), default=0)
    return str(path), len(files), sum(stat.st_size for stat in stats), changed
