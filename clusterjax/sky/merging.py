"""Several catalogues as one: each object once, with every name that it has; and how catalogues compare."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from astropy import units as u
from astropy.table import Table, vstack
from jaxtyping import Bool
from scipy.spatial import cKDTree

from clusterjax.errors import InputError
from clusterjax.sky.catalogues import crossmatch
from clusterjax.sky.geometry import unit_vectors
from clusterjax.sky.offset_skies import chance_match_rate

_FROM_OTHERS = ("m500c_msun", "snr")  # taken from the next catalogue where the first has none


def merge_catalogues(catalogues: Sequence[Table], *, radius_arcmin: float | int) -> Table:
    """One row an object, of catalogues in order of priority, each with the columns that ``registry.COLUMNS`` names.

    A catalogue's rows are matched one to one, nearest first, with the objects of those before it; rows of one catalogue
    are never joined. Position, name and type are the first catalogue's. The redshift is the first spectroscopic one,
    else the first there is; mass and S/N are the first there are (an S/N is that catalogue's own). Columns
    ``catalogues`` and ``names`` list all that an object is in, separated by "; ".
    """
    if not catalogues:
        raise InputError("no catalogue to merge; give at least one")
    merged = _with_provenance(catalogues[0])
    for table in catalogues[1:]:
        new = _with_provenance(table)
        pairs = crossmatch(merged, new, radius_arcmin) if len(merged) and len(new) else ()
        known = np.asarray(pairs["index_a"]) if len(pairs) else np.zeros(0, int)
        same = np.asarray(pairs["index_b"]) if len(pairs) else np.zeros(0, int)
        _adopt(merged, known, new[same])
        unmatched = np.ones(len(new), bool)
        unmatched[same] = False
        merged = vstack([merged, new[unmatched]], metadata_conflicts="silent")
    for name in ("catalogues", "names"):
        merged[name] = np.asarray(merged[name], str)
    return merged


def _with_provenance(table: Table) -> Table:
    table = Table(table, copy=True)
    # Objects, so that more names find room.
    table["catalogues"], table["names"] = table["catalogue"].astype(object), table["name"].astype(object)
    return table


def _adopt(merged: Table, rows: np.ndarray, others: Table) -> None:
    """What the same objects of a further catalogue add to ``rows``."""
    for name in ("catalogues", "names"):
        merged[name][rows] = [f"{a}; {b}" for a, b in zip(merged[name][rows], others[name], strict=True)]
    own, other = np.asarray(merged["redshift"], float)[rows], np.asarray(others["redshift"], float)
    own_kind, other_kind = (np.asarray(table["redshift_kind"]).astype("U8") for table in (merged[rows], others))
    better = np.isfinite(other) & (~np.isfinite(own) | ((other_kind == "spec") & (own_kind != "spec")))
    merged["redshift"][rows] = np.where(better, other, own)
    kinds = np.asarray(merged["redshift_kind"]).astype("U8")
    kinds[rows] = np.where(better, other_kind, own_kind)
    merged["redshift_kind"] = kinds
    for name in _FROM_OTHERS:
        own, other = np.asarray(merged[name], float)[rows], np.asarray(others[name], float)
        merged[name][rows] = np.where(np.isfinite(own), own, other)


def is_near(table: Table, others: Table, radius_arcmin: float | int) -> Bool[np.ndarray, " row"]:
    """True for rows of ``table`` with a row of ``others`` within the radius. Both have ``ra_deg``, ``dec_deg``."""
    if not (len(table) and len(others)):
        return np.zeros(len(table), bool)
    vectors = [
        unit_vectors(np.asarray(one["ra_deg"], float), np.asarray(one["dec_deg"], float)) for one in (table, others)
    ]
    chord = 2 * np.sin(np.radians(radius_arcmin / 60) / 2)
    return cKDTree(vectors[1]).query(vectors[0])[0] <= chord


def crossmatch_report(catalogues: Mapping[str, Table], *, radius_arcmin: float | int) -> Table:
    """A row for each pair of catalogues: how many match, how far apart, and how many would by chance.

    Columns: ``first``, ``second``, ``rows_first``, ``rows_second``, ``matches``, ``median_offset_arcmin``,
    ``p90_offset_arcmin`` (NaN without matches), ``chance_matches`` and its standard error (matches of the first
    catalogue moved away, in all directions), and ``redshift_scatter``: 1.48 MAD of dz / (1 + z) where both have one.
    """
    rows = []
    for (name_a, a), (name_b, b) in itertools.combinations(catalogues.items(), 2):
        pairs = crossmatch(a, b, radius_arcmin)
        offsets = np.asarray(pairs["separation_arcmin"], float)
        rate, error = chance_match_rate(a, b, radius_arcmin)
        median, p90 = np.quantile(offsets, [0.5, 0.9]) if len(offsets) else (np.nan, np.nan)
        scatter = _redshift_scatter(a[pairs["index_a"]], b[pairs["index_b"]])
        rows.append(
            (name_a, name_b, len(a), len(b), len(pairs), median, p90, rate * len(a), error * len(a), scatter)
        )  # fmt: skip
    names = ["first", "second", "rows_first", "rows_second", "matches", "median_offset_arcmin", "p90_offset_arcmin",
             "chance_matches", "chance_matches_error", "redshift_scatter"]  # fmt: skip
    report = Table(rows=rows or None, names=names, dtype=[str, str, int, int, int] + [float] * 5)
    for name in ("median_offset_arcmin", "p90_offset_arcmin"):
        report[name].unit = u.arcmin
    return report


def _redshift_scatter(a: Table, b: Table) -> float:
    if "redshift" not in a.colnames or "redshift" not in b.colnames:
        return np.nan
    z_a, z_b = (np.ma.filled(np.ma.asarray(table["redshift"], dtype=np.float64), np.nan) for table in (a, b))
    shift = (z_b - z_a) / (1 + z_a)
    shift = shift[np.isfinite(shift)]
    return float(1.4826 * np.median(np.abs(shift - np.median(shift)))) if len(shift) else np.nan
