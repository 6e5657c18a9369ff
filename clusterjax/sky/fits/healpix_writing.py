"""Partial HEALPix maps, written piece by piece: only one piece is in memory."""

from collections.abc import Iterable, Mapping

import numpy as np
from astropy.io import fits
from jaxtyping import Float, Int

from clusterjax.sky.fits.files import PathLike
from clusterjax.sky.fits.provenance import add_provenance
from clusterjax.writing import replacing

_BLOCK = 2880


def write_partial_healpix(
    path: PathLike,
    pieces: Iterable[tuple[Int[np.ndarray, " n"], Float[np.ndarray, "n column"]]],
    *,
    nside: int,
    columns: Mapping[str, str],
    provenance: Mapping,
) -> int:
    """Write nested ICRS cells of ``nside`` and their values as a table with PIXEL; returns the number of cells.

    ``columns`` are the names of the values' columns, with what they are. Cells must come in rising order.
    """
    dtype = np.dtype([("PIXEL", ">i8"), *((name, ">f4") for name in columns)])
    header = _header(dtype, nside, columns, provenance)
    number, first, last = 0, -1, -1
    with replacing(path) as partial, partial.open("wb") as stream:
        stream.write(fits.PrimaryHDU().header.tostring().encode("ascii"))
        start = stream.tell()
        stream.write(header.tostring().encode("ascii"))
        for cells, values in pieces:
            if not len(cells):
                continue
            rows = np.empty(len(cells), dtype)
            rows["PIXEL"] = cells
            for name, column in zip(columns, values.T, strict=True):
                rows[name] = column
            stream.write(rows.tobytes())
            number, first, last = number + len(cells), int(cells[0]) if first < 0 else first, int(cells[-1])
        stream.write(b"\0" * (-stream.tell() % _BLOCK))
        header["NAXIS2"], header["FIRSTPIX"], header["LASTPIX"] = number, first, last
        stream.seek(start)
        stream.write(header.tostring().encode("ascii"))  # integers have a fixed width: as long as before
    return number


def _header(dtype: np.dtype, nside: int, columns: Mapping[str, str], provenance: Mapping) -> fits.Header:
    header = fits.BinTableHDU(np.zeros(0, dtype), name="HEALPIX").header
    for index, text in enumerate(columns.values(), start=2):
        header[f"TCOMM{index}"] = text
    header.update(
        {
            "PIXTYPE": ("HEALPIX", "HEALPix pixels"),
            "ORDERING": ("NESTED", "pixel numbering"),
            "COORDSYS": ("C", "equatorial, ICRS"),
            "NSIDE": (nside, "resolution"),
            "INDXSCHM": ("EXPLICIT", "column PIXEL has the pixels' numbers"),
            "OBJECT": ("PARTIAL", "part of the sky"),
            "FIRSTPIX": (-1, "first pixel"),
            "LASTPIX": (-1, "last pixel"),
        }
    )
    add_provenance(header, provenance)
    return header
