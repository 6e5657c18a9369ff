"""FITS files opened; what is wrong with one is one clear error."""

import contextlib
import math
import os
import pathlib
import re
import warnings
from collections.abc import Iterator

from astropy.io import fits
from astropy.io.fits.verify import VerifyWarning
from astropy.utils.exceptions import AstropyUserWarning
from astropy.wcs import FITSFixedWarning

from clusterjax.errors import InputError
from clusterjax.limits import check_limit
from clusterjax.writing import replacing as replacing

PathLike = str | os.PathLike
_MOST_COLUMNS = 999  # FITS standard 4.0, section 7.2.1
_TILE_BYTES = 8  # of the table's row that a tile of a compressed image has at the least, a pointer


@contextlib.contextmanager
def readable(path: pathlib.Path) -> Iterator[None]:
    """Whatever goes wrong while ``path`` is read is one :class:`InputError`."""
    with warnings.catch_warnings():
        # Of headers that break the standard but can be read: nothing that a reader could do about them.
        warnings.simplefilter("ignore", VerifyWarning)
        # wcslib's own repairs of dates and units.
        warnings.simplefilter("ignore", FITSFixedWarning)
        # Some surveys leave out the padding of the last block; _check_complete sees whether more is missing.
        warnings.filterwarnings("ignore", "File may have been truncated", AstropyUserWarning)
        warnings.filterwarnings("error", "Error validating header", AstropyUserWarning)
        try:
            yield
        except InputError:
            raise
        except Exception as error:  # astropy, wcslib, zlib and NumPy have a dozen kinds; each says that it is not well
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"{path} cannot be read as FITS: {reason}") from error


@contextlib.contextmanager
def open_fits(path: pathlib.Path) -> Iterator[fits.HDUList]:
    """An open FITS file, complete; raises :class:`InputError` for any other."""
    if not path.is_file():
        raise InputError(f"{path} does not exist" if not path.exists() else f"{path} is not a file")
    # Opened here: astropy leaves a file open that it fails to read.
    with readable(path), path.open("rb") as stream:
        if stream.peek(4)[:4] == b"PK\x03\x04":  # astropy would unpack it to disk, however large it becomes
            raise InputError(f"{path} is a zip archive; unpack it first")
        with fits.open(stream, memmap=False) as hdus:
            _check_complete(hdus, path)
            _check_sizes(hdus, path)
            yield hdus


def _check_complete(hdus: fits.HDUList, path: pathlib.Path) -> None:
    """Astropy only warns of a file that ends too early, and reads it as if nothing were missing."""
    last = hdus[len(hdus) - 1]
    where = last.fileinfo()
    size = where["datSpan"] if isinstance(last, fits.CompImageHDU) else last.size  # the size it will have, unpacked
    if is_plain(path) and where["datLoc"] + size > path.stat().st_size:
        raise EOFError(f"it is truncated, {path.stat().st_size} bytes long")


def _check_sizes(hdus: fits.HDUList, path: pathlib.Path) -> None:
    """Of what is unpacked in memory: whole files, and the tiles of compressed images; and of what astropy goes through
    one by one, whether it is there or not: tiles, and columns of tables."""
    if not is_plain(path):
        check_limit("unpacked_bytes", int(sum(abs(hdu.size) for hdu in hdus)), path)
    for hdu in hdus:
        if isinstance(hdu, fits.CompImageHDU):
            check_limit("image_pixels", int(math.prod(hdu.tile_shape)), f"a tile of {path}")
            tiles = math.prod(-(-length // own) for length, own in zip(hdu.shape, hdu.tile_shape, strict=True))
            if min(hdu.shape, default=1) < 1 or tiles * _TILE_BYTES > hdu.fileinfo()["datSpan"]:
                size = " x ".join(map(str, reversed(hdu.shape)))
                raise InputError(f"{path} says that it has a compressed image of {size} pixels, which it does not hold")
        elif isinstance(hdu, fits.BinTableHDU | fits.TableHDU):
            number = hdu.header["TFIELDS"]
            if not isinstance(number, int) or not 0 <= number <= _MOST_COLUMNS:
                raise InputError(f"{path} has a table of TFIELDS={number!r}; 0 to {_MOST_COLUMNS} can be")


def is_plain(path: pathlib.Path) -> bool:
    """True if the file's bytes are those of the FITS file: not gzip nor any other whole-file compression."""
    with path.open("rb") as stream:
        return stream.read(6) == b"SIMPLE"


def split_extension(path: PathLike) -> tuple[pathlib.Path, str | None]:
    """``map.fits[W1]`` -> (map.fits, W1), CFITSIO's way to name an extension."""
    match = re.fullmatch(r"(.+)\[([^\[\]]+)\]", os.fspath(path))
    if match and not os.path.exists(path):
        return pathlib.Path(match[1]), match[2]
    return pathlib.Path(path), None
