"""MOCs (IVOA MOC 2.0, of space) as FITS tables."""

import numpy as np
from astropy.io import fits
from jaxtyping import Int

from clusterjax.errors import InputError
from clusterjax.sky.fits.files import PathLike, open_fits
from clusterjax.writing import replacing


def _moc_hdu(hdus: fits.HDUList):
    tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU)]
    return next((hdu for hdu in tables if {"MOCVERS", "MOCORDER", "MOCORD_S"} & set(hdu.header)), None)


def is_moc(path: PathLike) -> bool:
    """True for a FITS file with a MOC. Raises InputError for a file that cannot be read."""
    with open_fits(path) as hdus:
        return _moc_hdu(hdus) is not None


def read_moc_table(path: PathLike) -> tuple[str, int, Int[np.ndarray, " n"]]:
    """('NUNIQ' or 'RANGE', order, the numbers as stored). Raises InputError for any other file, frame or dimension."""
    with open_fits(path) as hdus:
        hdu = _moc_hdu(hdus)
        if hdu is None:
            raise InputError(f"{path} holds no MOC: no table with MOCVERS, MOCORDER or MOCORD_S")
        header = hdu.header
        ordering = str(header.get("ORDERING", "NUNIQ")).strip().upper()
        dimension, frame = str(header.get("MOCDIM", "SPACE")).strip(), str(header.get("COORDSYS", "C")).strip()
        if (dimension, frame) != ("SPACE", "C") or ordering not in ("NUNIQ", "RANGE"):
            raise InputError(
                f"{path} is a MOC with MOCDIM={dimension}, COORDSYS={frame}, ORDERING={ordering}; SPACE, C and NUNIQ "
                "or RANGE are needed"
            )
        order = int(header["MOCORD_S"] if "MOCORD_S" in header else header["MOCORDER"])
        numbers = np.asarray(hdu.data.field(0), np.int64).ravel() if hdu.header["NAXIS2"] else np.zeros(0, np.int64)
        return ordering, order, numbers


def write_moc_table(path: PathLike, order: int, uniq: Int[np.ndarray, " n"], *, software: str) -> None:
    """Write cells as NUNIQ (4^(order + 1) + cell), the form that readers of MOC 1.1 and of MOC 2.0 share."""
    column = fits.Column(name="UNIQ", format="1K", array=np.asarray(uniq, np.int64))
    table = fits.BinTableHDU.from_columns([column])
    table.header.update(
        {
            "PIXTYPE": ("HEALPIX", "HEALPix magic code"),
            "ORDERING": ("NUNIQ", "cells by their unique numbers"),
            "COORDSYS": ("C", "ICRS"),
            "MOCVERS": ("2.0", "MOC version"),
            "MOCDIM": ("SPACE", "physical dimension"),
            "MOCORD_S": (order, "order of the finest cells"),
            "MOCORDER": (order, "the same, for readers of MOC 1.1"),
            "MOCTOOL": (software, "what wrote it"),
        }
    )
    with replacing(path) as partial:
        fits.HDUList([fits.PrimaryHDU(), table]).writeto(partial, overwrite=True)
