"""Coverage maps: any region of the sky as HEALPix cells of several orders (IVOA MOC 2.0)."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Callable, Iterable

import astropy.units as u
import numpy as np
from astropy_healpix import lonlat_to_healpix
from jaxtyping import Bool, Int

from clusterjax.errors import InputError
from clusterjax.limits import check_limit
from clusterjax.sky.fits.files import split_extension
from clusterjax.sky.fits.healpix import is_healpix
from clusterjax.sky.fits.moc import is_moc, read_moc_table, write_moc_table
from clusterjax.sky.healpix import HealpixReader
from clusterjax.writing import write_text

FINEST_ORDER = 29
_WHOLE_SKY = 12 * 4**FINEST_ORDER
_SKY_DEG2 = 4 * 180**2 / np.pi


@dataclasses.dataclass(frozen=True, eq=False)
class Moc:
    """A region of the sky. ``ranges`` are [first, last) of nested cells of order 29 in ICRS, sorted and apart;
    ``order`` is that of its finest cells."""

    ranges: Int[np.ndarray, "n 2"]
    order: int

    @classmethod
    def from_cells(cls, cells: Iterable[tuple[int, Int[np.ndarray, " _"]]], *, order: int | None = None) -> "Moc":
        """Of (order, nested cells) of any orders, which may overlap; ``order`` None: that of the finest."""
        cells = [(own, np.asarray(numbers, np.int64)) for own, numbers in cells]
        for own, numbers in cells:
            if not 0 <= own <= FINEST_ORDER or (len(numbers) and not 0 <= numbers.min() <= numbers.max() < 12 * 4**own):
                raise InputError(f"a MOC has a cell that is none of order {own}; orders go from 0 to {FINEST_ORDER}")
        starts = [np.stack([part, part + 1], axis=1) << 2 * (FINEST_ORDER - own) for own, part in cells]
        finest = max((own for own, _ in cells), default=0)
        ranges = np.concatenate([np.zeros((0, 2), np.int64), *starts])
        return cls.from_ranges(ranges, finest if order is None else order)

    @classmethod
    def from_ranges(cls, ranges: Int[np.ndarray, "n 2"], order: int) -> "Moc":
        """Of [first, last) of cells of order 29 in any order, which may overlap."""
        ranges = ranges[ranges[:, 1] > ranges[:, 0]]
        ranges = ranges[np.argsort(ranges[:, 0], kind="stable")]
        end = np.maximum.accumulate(ranges[:, 1])
        first = np.ones(len(ranges), bool)
        first[1:] = ranges[1:, 0] > end[:-1]
        last = np.append(first[1:], True)[: len(ranges)]
        return cls(np.stack([ranges[first, 0], end[last]], axis=1), order)

    def cells(self) -> dict[int, Int[np.ndarray, " n"]]:
        """The fewest cells that make up the region, sorted, by order; orders without any are left out."""
        result, rest = {}, self.ranges
        for order in range(FINEST_ORDER + 1):
            shift = 2 * (FINEST_ORDER - order)
            low, high = -(-rest[:, 0] >> shift), rest[:, 1] >> shift
            whole = high > low
            if whole.any():
                result[order] = np.concatenate(
                    [np.arange(first, last) for first, last in zip(low[whole], high[whole], strict=True)]
                )
            before = np.stack([rest[:, 0], np.where(whole, low << shift, rest[:, 1])], axis=1)
            after = np.stack([high << shift, rest[:, 1]], axis=1)[whole]
            rest = np.concatenate([before, after])
            rest = rest[rest[:, 1] > rest[:, 0]]
            rest = rest[np.argsort(rest[:, 0])]
        return result

    @property
    def sky_fraction(self) -> float:
        return float((self.ranges[:, 1] - self.ranges[:, 0]).sum() / _WHOLE_SKY)

    @property
    def area_deg2(self) -> float:
        return self.sky_fraction * _SKY_DEG2

    def contains(self, ra_deg, dec_deg) -> Bool[np.ndarray, " n"]:
        """True for ICRS positions in degrees that lie in the region."""
        ra, dec = np.atleast_1d(np.asarray(ra_deg, float)), np.atleast_1d(np.asarray(dec_deg, float))
        inside = np.isfinite(ra) & np.isfinite(dec)
        cell = lonlat_to_healpix(ra[inside] * u.deg, dec[inside] * u.deg, 2**self.order, order="nested")
        cell = np.asarray(cell, np.int64) << 2 * (FINEST_ORDER - self.order)
        before = np.searchsorted(self.ranges[:, 0], cell, side="right") - 1
        found = before >= 0
        found[found] = cell[found] < self.ranges[before[found], 1]
        inside[inside] = found
        return inside

    def to_ascii(self) -> str:
        """``5/1-3 6/16 18``: MOC 2.0's ASCII serialisation, which ends with the order of the finest cells."""
        cells = self.cells()
        parts = [f"{order}/{' '.join(map(_range_text, _runs(numbers)))}" for order, numbers in cells.items()]
        return " ".join(parts if self.order in cells else [*parts, f"{self.order}/"])

    def to_json(self) -> str:
        """``{"5": [1, 2, 3], "6": [16, 18]}``: its JSON serialisation."""
        cells = {str(order): numbers.tolist() for order, numbers in self.cells().items()}
        return json.dumps({**cells, **({} if str(self.order) in cells else {str(self.order): []})})


def read_moc(path: str | os.PathLike) -> Moc:
    """A MOC in FITS (NUNIQ or RANGE), or JSON (.json). Raises InputError for any other file."""
    if pathlib.Path(path).suffix == ".json":
        return _from_json(pathlib.Path(path))
    ordering, order, numbers = read_moc_table(pathlib.Path(path))
    if not 0 <= order <= FINEST_ORDER:
        raise InputError(f"{path} is a MOC of order {order}; orders go from 0 to {FINEST_ORDER}")
    if ordering == "RANGE":
        if len(numbers) % 2 or (len(numbers) and not 0 <= numbers.min() <= numbers.max() <= _WHOLE_SKY):
            raise InputError(f"{path} has ranges that are none of cells of order {FINEST_ORDER}")
        return Moc.from_ranges(numbers.reshape(-1, 2), order)
    if len(numbers) and numbers.min() < 4:
        raise InputError(f"{path} has the cell number {numbers.min()}, which is no NUNIQ of a MOC")
    # The highest set bit is that of 4^(order + 1). Exact, which logarithms of int64 are not.
    level = np.array([(int(number).bit_length() - 3) // 2 for number in numbers], np.int64)
    cells = [(int(own), numbers[level == own] - 4 ** (int(own) + 1)) for own in np.unique(level)]
    return Moc.from_cells(cells, order=order)


def _from_json(path: pathlib.Path) -> Moc:
    try:
        check_limit("table_bytes", path.stat().st_size, path)
        cells = json.loads(path.read_text())
        return Moc.from_cells([(int(order), np.array(numbers, np.int64)) for order, numbers in cells.items()])
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as a MOC in JSON: {' '.join(str(error).split())}") from error


def write_moc(path: str | os.PathLike, moc: Moc, *, software: str) -> None:
    """Write FITS (.fits), JSON (.json) or ASCII (.txt), told by the name's ending. Raises InputError."""
    path = pathlib.Path(path)
    if path.suffix == ".fits":
        uniq = [numbers + 4 ** (order + 1) for order, numbers in moc.cells().items()]
        write_moc_table(path, moc.order, np.concatenate([np.zeros(0, np.int64), *uniq]), software=software)
        return
    texts = {".json": moc.to_json, ".txt": moc.to_ascii}
    if path.suffix not in texts:
        raise InputError(f"{path} is of no kind that a MOC can have; use a name that ends in .fits, .json or .txt")
    write_text(path, texts[path.suffix]() + "\n")


def read_coverage(path: str | os.PathLike) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """``contains(ra_deg, dec_deg)`` of a MOC, or of a HEALPix map (``mask.fits[COLUMN]``) whose cells above 0 are the
    region.

    Raises InputError for any other file.
    """
    file, _ = split_extension(path)
    if file.suffix == ".json" or is_moc(file):
        return read_moc(file).contains
    if not is_healpix(file):
        raise InputError(f"{file} is no footprint; a MOC (FITS or .json) or a HEALPix map in FITS is needed")
    reader = HealpixReader([path])

    def contains(ra_deg, dec_deg):
        return np.nan_to_num(reader.values(ra_deg, dec_deg)[:, 0]) > 0

    return contains


def _runs(numbers: np.ndarray) -> list[tuple[int, int]]:
    breaks = np.flatnonzero(np.diff(numbers) > 1)
    firsts, lasts = np.concatenate([[0], breaks + 1]), np.concatenate([breaks, [len(numbers) - 1]])
    return [(int(numbers[first]), int(numbers[last])) for first, last in zip(firsts, lasts, strict=True)]


def _range_text(run: tuple[int, int]) -> str:
    return str(run[0]) if run[0] == run[1] else f"{run[0]}-{run[1]}"
