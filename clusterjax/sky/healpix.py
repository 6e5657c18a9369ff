"""HEALPix maps in FITS tables: whole or partial, in ring or nested order, mapped into memory and never read whole."""

import os
from collections.abc import Sequence

import numpy as np
from astropy_healpix import healpix_to_lonlat, lonlat_to_healpix
from jaxtyping import Float, Int

from clusterjax.errors import InputError
from clusterjax.sky.fits.healpix import HealpixTable, open_healpix_table
from clusterjax.sky.sphere import SphereReader

_BLANK_BELOW = -1.6e30  # HEALPix writes -1.6375e30 where there is no measurement
_FRAMES = {"G": "galactic", "E": "ecliptic", "C": "icrs", "Q": "icrs", "I": "icrs"}  # Q: equatorial
_COARSE_NSIDE = 64  # of the cells by which the footprint of a partial map is known
_ROWS_TOGETHER = 1_000_000


class _Cells:
    """Which cells a table's rows are of."""

    def __init__(self, table: HealpixTable):
        self.where = table.where
        self.nside, self.order = table.nside, table.order.lower()
        if self.order not in ("ring", "nested"):
            raise InputError(f"{self.where} has ORDERING={table.order!r}; RING or NESTED is needed")
        if self.order == "nested" and self.nside & (self.nside - 1):
            raise InputError(f"{self.where} has NSIDE={self.nside}; NESTED needs a power of 2")
        if table.frame[:1] not in _FRAMES:
            raise InputError(
                f"{self.where} has COORDSYS={table.frame!r}; G (galactic), C (ICRS) or E (ecliptic) is needed"
            )
        self.frame = _FRAMES[table.frame[:1]]
        self.numbers, self._sorter = table.cells, None
        if self.numbers is None and table.num_pixels != 12 * self.nside**2:
            raise InputError(
                f"{self.where} has {table.num_pixels} pixels; a whole map of NSIDE={self.nside} has "
                f"{12 * self.nside**2}, a partial one a column PIXEL that says which they are"
            )
        if self.numbers is not None and not len(self.numbers):
            raise InputError(f"{self.where} has no pixels: its column PIXEL is empty")
        for part in self._parts() if self.numbers is not None else ():
            if part.min() < 0 or part.max() >= 12 * self.nside**2:
                wrong = part.min() if part.min() < 0 else part.max()
                raise InputError(f"{self.where} has the pixel number {wrong}, which NSIDE={self.nside} does not have")
        if self.numbers is not None and not all(np.all(np.diff(part) > 0) for part in self._parts(overlap=1)):
            self._sorter = np.argsort(self.numbers)

    def _parts(self, overlap: int = 0):
        for start in range(0, len(self.numbers), _ROWS_TOGETHER):
            yield np.asarray(self.numbers[start : start + _ROWS_TOGETHER + overlap], np.int64)

    def rows(self, cells: Int[np.ndarray, " n"]) -> tuple[np.ndarray, np.ndarray]:
        """(row of each cell, whether there is one)."""
        if self.numbers is None:
            return cells, np.ones(len(cells), bool)
        row = np.minimum(np.searchsorted(self.numbers, cells, sorter=self._sorter), len(self.numbers) - 1)
        if self._sorter is not None:
            row = self._sorter[row]
        return row, self.numbers[row] == cells

    def footprint(self) -> tuple[int, np.ndarray] | None:
        """(nside, nested cells) of a coarser grid in which there are rows; None for a map of the whole sky."""
        if self.numbers is None:
            return None
        nside = min(_COARSE_NSIDE, self.nside)
        found: set[int] = set()
        for part in self._parts():
            longitude, latitude = healpix_to_lonlat(part, self.nside, order=self.order)
            found.update(np.unique(lonlat_to_healpix(longitude, latitude, nside, order="nested")).tolist())
        return nside, np.array(sorted(found))


class HealpixReader(SphereReader):
    """A HEALPix file with a column a band, or one file a band.

    Of one file, the columns named as ``bands`` are taken, or all if they are as many; of one file a band, or without
    ``bands``, of each file the first column, or the one that ``map.fits[COLUMN]`` names. COORDSYS is G, E, or C
    (equatorial, also without the card), taken as ICRS. Raises :class:`InputError` for files that are none such, for
    another number of bands, and for bands of different NSIDE, ORDERING or COORDSYS.
    """

    def __init__(
        self,
        paths: Sequence[str | os.PathLike],
        *,
        bands: Sequence[str] | None = None,
        pixel_scale_arcsec: float | int | None = None,
        interpolation: str = "nearest",
    ):
        tables = [open_healpix_table(path) for path in paths]
        self._cells = [_Cells(table) for table in tables]
        chosen = [(index, name) for index, table in enumerate(tables) for name in _choose_columns(table, bands, paths)]
        if bands is not None and len(chosen) != len(bands):
            names = ", ".join(name for _, name in chosen)
            raise InputError(f"{tables[0].where} has {len(chosen)} bands ({names}); {len(bands)} are needed: {bands}")
        first = self._cells[0]
        for other in self._cells[1:]:
            if (other.nside, other.order, other.frame) != (first.nside, first.order, first.frame):
                raise InputError(
                    f"{first.where} and {other.where} differ in NSIDE, ORDERING or COORDSYS; all bands must be alike"
                )
        self._bands = [(index, tables[index].columns[name]) for index, name in chosen]
        units = [tables[index].units[name] for index, name in chosen]
        own = [tables[index].name if len(paths) > 1 else name for index, name in chosen]
        super().__init__(
            nside=first.nside,
            frame=first.frame,
            order=first.order,
            bands=tuple(bands or own),
            units=units[0] if len(set(units)) == 1 else ", ".join(units),
            where=", ".join(table.where for table in tables),
            cells=first.footprint(),
            pixel_scale_arcsec=pixel_scale_arcsec,
            interpolation=interpolation,
        )

    def cell_values(self, cells: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n band"]:
        found = np.full((len(cells), len(self._bands)), np.nan, np.float32)
        rows = [of.rows(cells) for of in self._cells]
        for band, (index, column) in enumerate(self._bands):
            row, known = rows[index]
            # Whole maps often come with 1024 pixels a row.
            place = (row,) if column.ndim == 1 else np.divmod(row, column.shape[1])
            found[known, band] = column[tuple(of[known] for of in place)]
        found[~np.isfinite(found) | (found < _BLANK_BELOW)] = np.nan
        return found


def _choose_columns(table: HealpixTable, bands: Sequence[str] | None, paths: Sequence) -> list[str]:
    """The names of a table's columns to read."""
    own = {name.upper(): name for name in table.columns}
    if table.wanted is not None:
        if table.wanted.upper() not in own:
            raise InputError(f"{table.where} has no column {table.wanted!r}; it has {', '.join(table.columns)}")
        return [own[table.wanted.upper()]]
    if bands is not None and len(paths) == 1:
        if all(band.upper() in own for band in bands):
            return [own[band.upper()] for band in bands]
        if len(own) == len(bands):
            return list(table.columns)
    return list(table.columns)[:1]
