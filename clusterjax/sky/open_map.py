"""One name, or one a band, to a reader of whatever map lies there."""

import os
import pathlib
from collections.abc import Sequence

from clusterjax.sky.fits import open_images
from clusterjax.sky.reader import MapReader


def open_map(paths: Sequence[str | os.PathLike], *, bands: Sequence[str] | None = None) -> MapReader:
    """The map at ``paths``: one path with all bands, or one a band. ``bands`` are the names that it must have.

    FITS images (see :func:`~clusterjax.sky.fits.open_images`).
    """
    return open_images(paths, bands=bands)


def file_stamps(paths: Sequence[str | os.PathLike]) -> tuple[tuple[str, int, int, int], ...]:
    """(path, number of files, bytes, time of the last change) of each: tells a file or folder that was written anew."""
    return tuple(_stamp(pathlib.Path(os.fspath(path).partition("[")[0])) for path in paths)


def _stamp(path: pathlib.Path) -> tuple[str, int, int, int]:
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    stats = [file.stat() for file in files]
    changed = max((stat.st_mtime_ns for stat in stats), default=0)
    return str(path), len(files), sum(stat.st_size for stat in stats), changed
