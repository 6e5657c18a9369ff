"""HEALPix tables as they are stored."""

import dataclasses

import numpy as np
from astropy.io import fits

from clusterjax.errors import InputError
from clusterjax.sky.fits.files import PathLike, is_plain, open_fits, split_extension
from clusterjax.sky.header import band_names

_LARGEST_NSIDE = 2**29  # whose cells are counted in 64 bits


@dataclasses.dataclass(frozen=True, eq=False)
class HealpixTable:
    """A HEALPix map as stored: ``columns`` are one number or several a row, ``cells`` the rows' of a partial map.

    ``order`` and ``frame`` are the file's words (ORDERING, COORDSYS). ``wanted`` is the column that
    ``map.fits[COLUMN]`` names; ``name`` is the file's own for a single band.
    """

    nside: int
    order: str
    frame: str
    columns: dict[str, np.ndarray]
    units: dict[str, str]
    cells: np.ndarray | None
    where: str
    name: str
    wanted: str | None

    @property
    def num_pixels(self) -> int:
        return next(iter(self.columns.values())).size


def _healpix_hdu(hdus: fits.HDUList):
    tables = (hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU))
    return next((hdu for hdu in tables if "NSIDE" in hdu.header), None)


def is_healpix(path: PathLike) -> bool:
    """True for a FITS file with a HEALPix table. Raises InputError for a file that cannot be read."""
    path, _ = split_extension(path)
    with open_fits(path) as hdus:
        return _healpix_hdu(hdus) is not None


def open_healpix_table(path: PathLike) -> HealpixTable:
    """The first HEALPix table of a file, mapped into memory where that can be. Raises InputError if it has none."""
    path, wanted = split_extension(path)
    with open_fits(path) as hdus:
        hdu = _healpix_hdu(hdus)
        if hdu is None:
            raise InputError(f"{path} holds no HEALPix map: no table with NSIDE")
        scaled = any(key.startswith(("TSCAL", "TZERO")) for key in hdu.header)
        if is_plain(path) and not scaled:
            dtype = hdu.columns.dtype.newbyteorder(">")
            rows = np.memmap(path, dtype, "r", hdu.fileinfo()["datLoc"], (hdu.header["NAXIS2"],)).view(np.ndarray)
        else:
            rows = hdu.data
        columns = {name: rows[name] for name in hdu.columns.names if rows[name].dtype.kind in "iuf"}
        partial = [name for name in columns if name.upper() in ("PIXEL", "PIX", "IPIX", "HPXINDEX")]
        cells = columns.pop(partial[0]) if partial else None
        if not columns:
            raise InputError(f"{path} has no column with a map, only {', '.join(hdu.columns.names)}")
        nside = int(hdu.header["NSIDE"])
        if not 1 <= nside <= _LARGEST_NSIDE:
            raise InputError(f"{path} has NSIDE={nside}; it must lie within [1, 2^29]")
        units = {name: str(hdu.columns[name].unit or "").strip() for name in columns}
        name = band_names(hdu.header, 1, path)[0]
        order, frame = (
            str(hdu.header.get(key, default)).strip().upper()
            for key, default in (("ORDERING", "RING"), ("COORDSYS", "C"))
        )
        return HealpixTable(nside, order, frame, columns, units, cells, str(path), name, wanted)
