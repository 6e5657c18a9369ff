"""Tiles and pictures of a HiPS as FITS images without a WCS."""

import numpy as np
from astropy.io import fits
from jaxtyping import Float

from clusterjax.sky.fits.files import PathLike


def write_tile(path: PathLike, pixels: Float[np.ndarray, "y x"], *, order: int, number: int | None) -> None:
    """Float32 pixels with the tile's ORDER and NPIX (None: of no single tile), into a tree that nobody reads yet."""
    hdu = fits.PrimaryHDU(np.asarray(pixels, np.float32))
    hdu.header["ORDER"] = (order, "HEALPix order of the tile")
    if number is not None:
        hdu.header["NPIX"] = (number, "nested number of the tile")
    hdu.writeto(path)
