"""The pixels of an image where they lie in the file."""

import pathlib
import weakref

import numpy as np
from astropy.io import fits
from astropy.io.fits.hdu.image import BITPIX2DTYPE

from clusterjax.sky.fits.files import is_plain, readable


def stored_pixels(hdu, hdus: fits.HDUList, path: pathlib.Path) -> tuple:
    """(source, scaling) of :class:`~clusterjax.sky.bands.Planes`: nothing is read yet where the file allows that.

    Plain images are mapped into memory, of tile-compressed ones (.fz) astropy unpacks the tiles that are asked for.
    Of a file that is compressed as a whole (.gz) no part can be found without the rest: it is read into memory.
    """
    if isinstance(hdu, fits.CompImageHDU):
        return _CompressedPixels(path, hdus.index_of(hdu), hdu.shape), (1.0, 0.0, None)
    if not is_plain(path):
        return np.asarray(hdu.data, np.float32), (1.0, 0.0, None)
    header = hdu.header
    dtype = np.dtype(BITPIX2DTYPE[header["BITPIX"]]).newbyteorder(">")
    source = np.memmap(path, dtype, "r", hdu.fileinfo()["datLoc"], tuple(hdu.shape)).view(np.ndarray)
    blank = header.get("BLANK") if header["BITPIX"] > 0 else None
    return source, (float(header.get("BSCALE", 1)), float(header.get("BZERO", 0)), blank)


class _CompressedPixels:
    """Sections of a tile-compressed image, whose file stays open."""

    def __init__(self, path: pathlib.Path, index: int, shape: tuple[int, ...]):
        self.shape = shape
        self._path = path
        stream = path.open("rb")
        weakref.finalize(self, stream.close)
        with readable(path):
            self._section = fits.open(stream, memmap=False)[index].section

    def __getitem__(self, index: tuple) -> np.ndarray:
        with readable(self._path):
            return np.asarray(self._section[index])
