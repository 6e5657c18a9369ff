"""Catalogues: read and write, find the positions, match two of them."""

import itertools
import os
import pathlib
from collections.abc import Iterable

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Column, Table
from scipy.spatial import cKDTree

from clusterjax.errors import InputError
from clusterjax.limits import read_unpacked
from clusterjax.sky.fits import read_fits_table, write_fits_table
from clusterjax.sky.geometry import unit_vectors
from clusterjax.sky.votable import read_votable
from clusterjax.writing import replacing

# Names of right ascension and declination in public catalogues, compared by their letters and digits, without case.
_POSITION_NAMES = (
    ("radeg", "decdeg"),  # ours, ACT
    ("radeg", "dedeg"),  # MCXC
    ("ra", "dec"),
    ("rajd2000", "decjd2000"),
    ("raj2000", "dej2000"),  # VizieR
    ("raj2000", "decj2000"),
    ("raicrs", "deicrs"),  # VizieR: Gaia, Hipparcos
    ("raicrs", "decicrs"),
    ("alphaj2000", "deltaj2000"),  # SExtractor
    ("rightascension", "declination"),
    ("ra", "de"),
)
_GALACTIC_NAMES = (("glon", "glat"), ("l", "b"))
# Columns that say whether a redshift is spectroscopic or photometric: ours, ACT's, and others'
KIND_NAMES = ("redshift_kind", "redshifttype", "f_z", "best_z_type")
_UNIT_ALIASES = {"degrees": "deg", "degree": "deg", "arcminutes": "arcmin", "arcseconds": "arcsec", "none": None}


def read_table(path: str | os.PathLike) -> Table:
    """Read a CSV, ECSV or FITS table (each also as .gz) or a VOTable (.vot, .xml), told by the name's ending.

    In CSV, empty fields, NA, nan and null are masked, and lines before the header that begin with # are left out.
    Raises InputError for a file that is missing, of another kind or cannot be read.
    """
    path = pathlib.Path(path)
    endings = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    kind = endings[-1] if endings else ""
    if kind in (".fits", ".fit", ".fz"):
        return _with_known_units(read_fits_table(path))
    if kind not in (".csv", ".ecsv", ".vot", ".xml"):
        raise InputError(f"{path} is of no known kind; use a table that ends in .csv, .ecsv, .fits (.gz) or .vot")
    if not path.is_file():
        raise InputError(f"{path} does not exist")
    if kind in (".vot", ".xml"):
        return read_votable(path)
    try:
        text = read_unpacked(path, "table_bytes").decode("utf-8")
        if kind == ".ecsv":
            return Table.read(text, format="ascii.ecsv")
        missing = [(word, "0") for word in ("", "NA", "nan", "NaN", "null")]
        lines = list(itertools.dropwhile(lambda line: line.startswith("#"), text.splitlines()))
        return Table.read(lines, format="ascii.csv", fill_values=missing)
    except InputError:
        raise
    except Exception as error:  # of astropy's readers, YAML's and gzip's: each means that it is no such table
        raise InputError(f"{path} cannot be read as a table: {' '.join(str(error).split())}") from error


def write_table(path_stem: str | os.PathLike, table: Table) -> list[pathlib.Path]:
    """Write ``table`` as ``path_stem``.fits and ``path_stem``.ecsv, with units and descriptions; returns both paths.

    The ECSV file also keeps ``table.meta``. Raises InputError when it cannot be written.
    """
    stem = pathlib.Path(path_stem)
    fits_path, ecsv_path = (stem.with_name(stem.name + suffix) for suffix in (".fits", ".ecsv"))
    write_fits_table(fits_path, table)
    with replacing(ecsv_path) as partial:
        table.write(partial, format="ascii.ecsv", overwrite=True)
    return [fits_path, ecsv_path]


def _with_known_units(table: Table) -> Table:
    """Units that are no FITS units ('degrees', '10^14 Msol') become known ones, or words of the description."""
    for column in table.itercols():
        if isinstance(column.unit, u.UnrecognizedUnit):
            name = column.unit.to_string()
            if name.strip().lower() in _UNIT_ALIASES:
                column.unit = _UNIT_ALIASES[name.strip().lower()]
            else:
                column.unit = None
                column.description = f"{column.description or ''} [{name}]".strip()
    return table


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def find_column(table: Table, names: Iterable[str]) -> str | None:
    """The table's column that has the first of ``names`` it has at all; case and signs do not count."""
    by_name = {_plain(name): name for name in reversed(table.colnames)}
    return next((by_name[_plain(name)] for name in names if _plain(name) in by_name), None)


def redshift_kinds(table: Table, names: Iterable[str] = KIND_NAMES) -> np.ndarray | None:
    """spec or phot for each row, empty where the table does not say; None for a table without such a column."""
    column = find_column(table, names)
    if column is None:
        return None
    said = [str(value).lower() for value in np.ma.filled(np.ma.asarray(table[column]).astype(object), "")]
    return np.array(["spec" if "spec" in text else "phot" if "phot" in text else "" for text in said], "U4")


def _find_pair(table: Table, pairs) -> tuple[str, str] | None:
    by_name = {_plain(name): name for name in reversed(table.colnames)}
    return next(((by_name[a], by_name[b]) for a, b in pairs if a in by_name and b in by_name), None)


def _angles(table: Table, names: tuple[str, str]) -> SkyCoord | tuple[np.ndarray, np.ndarray]:
    """Degrees of two columns, by their units; columns without are in degrees, text is hours and degrees."""
    columns = [table[name] for name in names]
    if all(column.dtype.kind in "US" for column in columns):
        try:
            coordinates = SkyCoord(*(list(column) for column in columns), unit=(u.hourangle, u.deg))
        except (ValueError, TypeError) as error:
            raise InputError(f"columns {names[0]}, {names[1]} hold no positions: {error}") from error
        return coordinates.ra.deg, coordinates.dec.deg
    degrees = []
    for column in columns:
        try:
            values = np.ma.filled(np.ma.asarray(column, dtype=np.float64), np.nan)
            degrees.append(values * (column.unit.to(u.deg) if column.unit is not None else 1.0))
        except (TypeError, ValueError, u.UnitConversionError) as error:
            raise InputError(f"column {column.name} is no angle in degrees: {error}") from error
    return tuple(np.asarray(values, np.float64) for values in degrees)


def positions(table: Table) -> tuple[np.ndarray, np.ndarray]:
    """(ra_deg, dec_deg) float64 of a table's rows, NaN where masked.

    Finds RA and Dec under the names that public catalogues use, in any angular unit (degrees if none is given,
    sexagesimal hours and degrees in text), else galactic longitude and latitude. Raises InputError when there are
    none, and for a declination beyond 90 degrees.
    """
    names = _find_pair(table, _POSITION_NAMES)
    if names is not None:
        ra, dec = _angles(table, names)
    else:
        names = _find_pair(table, _GALACTIC_NAMES)
        if names is None:
            raise InputError(f"the table has no columns ra and dec; it has {', '.join(table.colnames) or 'no columns'}")
        galactic = SkyCoord(*_angles(table, names), unit="deg", frame="galactic").icrs
        ra, dec = galactic.ra.deg, galactic.dec.deg
    with np.errstate(invalid="ignore"):
        wrong = np.flatnonzero(np.abs(dec) > 90.0)
    if wrong.size:
        raise InputError(f"{names[1]}={dec[wrong[0]]:g} in row {wrong[0]} lies beyond 90 degrees")
    return ra % 360.0, dec


def with_positions(table: Table) -> Table:
    """A copy with columns ra_deg and dec_deg (ICRS, float64, degrees), without the rows that have no position."""
    ra, dec = positions(table)
    known = np.isfinite(ra) & np.isfinite(dec)
    table = table[known]
    table["ra_deg"] = Column(ra[known], unit=u.deg, description="right ascension (ICRS)")
    table["dec_deg"] = Column(dec[known], unit=u.deg, description="declination (ICRS)")
    return table


def crossmatch(a: Table, b: Table, radius_arcmin: float | int | np.ndarray) -> Table:
    """Pairs of rows within ``radius_arcmin`` on the sky, one to one, nearest first.

    The radius is one for all, or one for each row of ``b`` (clusters of different extent). Of all pairs the nearest is
    taken and both its rows are spent; then the nearest of the rest, and so on. Rows without a position match nothing.
    Returns columns index_a, index_b, separation_arcmin, sorted by separation.
    """
    radii = np.broadcast_to(np.asarray(radius_arcmin, float), len(b))
    wrong = radii[~((radii > 0) & (radii <= 180 * 60))] if len(b) else np.zeros(0)
    if np.ndim(radius_arcmin) == 0 and not 0 < radius_arcmin <= 180 * 60:
        wrong = np.array([radius_arcmin])
    if len(wrong):
        raise InputError(f"match radius {wrong[0]:g} arcmin must lie within (0, 10800]")
    index_a, index_b, separation = pairs_within(positions(a), positions(b), max(radii, default=1.0))
    near = separation <= radii[index_b]
    pairs = _nearest_first(index_a[near], index_b[near], separation[near])
    return Table(
        [
            Column(pairs[0], name="index_a", description="row in the first table, from 0"),
            Column(pairs[1], name="index_b", description="row in the second table, from 0"),
            Column(pairs[2], name="separation_arcmin", unit=u.arcmin, description="distance on the sky"),
        ]
    )


def pairs_within(a, b, radius_arcmin: float | int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of a, rows of b and separations (arcmin) of all pairs within the radius; a and b are (ra_deg, dec_deg)."""
    rows = [np.flatnonzero(np.isfinite(ra) & np.isfinite(dec)) for ra, dec in (a, b)]
    none = np.zeros(0, int), np.zeros(0, int), np.zeros(0)
    if not (len(rows[0]) and len(rows[1])):
        return none
    vectors = [unit_vectors(ra[row], dec[row]) for (ra, dec), row in zip((a, b), rows, strict=True)]
    chord = 2 * np.sin(np.radians(radius_arcmin / 60) / 2)
    near = cKDTree(vectors[0]).sparse_distance_matrix(cKDTree(vectors[1]), chord, output_type="coo_matrix")
    separation = 2 * np.degrees(np.arcsin(np.minimum(near.data / 2, 1.0))) * 60
    return rows[0][near.row], rows[1][near.col], separation


def _nearest_first(index_a, index_b, separation) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    order = np.lexsort((index_b, index_a, separation))
    spent_a, spent_b, kept = set(), set(), []
    for pair in order:
        if index_a[pair] not in spent_a and index_b[pair] not in spent_b:
            spent_a.add(index_a[pair])
            spent_b.add(index_b[pair])
            kept.append(pair)
    kept = np.array(kept, int)
    return index_a[kept], index_b[kept], separation[kept]
