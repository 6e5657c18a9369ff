"""The job merge: the candidates of several scans of one sky as one catalogue, each object once."""

import pathlib
from collections.abc import Sequence

import numpy as np
from astropy import units as u
from astropy.table import Column, Table

from clusterjax import __version__
from clusterjax.errors import InputError
from clusterjax.jobs.session import open_workdir, read_json, say, write_json
from clusterjax.search.export import write_candidates
from clusterjax.search.scales import merge_detections
from clusterjax.sky.catalogues import crossmatch, read_table
from clusterjax.sky.fits import read_probability_map

# Of one scan's own pixels, or of another numbering
_OF_ONE_SCAN = {"x_pixels", "y_pixels", "score_x_pixels", "score_y_pixels", "source_index"}
_SUMMARY = pathlib.Path("scan", "summary.json")


def merge(folders: Sequence[pathlib.Path], workdir: pathlib.Path) -> None:
    """Write ``workdir``/candidates.* and summary.json of the scans of the runs ``folders``.

    Two candidates are one within the largest ``search.match_radius_arcmin`` of the runs; the more significant one
    gives the row. For each run NAME, its folder's name, there are columns NAME_searched (its map has scores there),
    NAME_significance, NAME_score and NAME_separation_arcmin of its own candidate (NaN where it has none). Raises
    InputError for runs that have not been scanned, and for two of one name.
    """
    if len(folders) < 2:
        raise InputError("--job=merge needs two or more scanned runs, as in --job=merge runs/infrared runs/microwave")
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        raise InputError(f"--job=merge names columns after the runs' folders, and two are alike: {', '.join(names)}")
    tables = {name: _candidates(folder) for name, folder in zip(names, folders, strict=True)}
    radius = max(read_json(folder / _SUMMARY)["made_from"]["search"]["match_radius_arcmin"] for folder in folders)
    open_workdir(workdir)
    common = set.intersection(*(set(table.colnames) for table in tables.values())) - _OF_ONE_SCAN
    columns = [name for name in tables[names[0]].colnames if name in common]
    merged = merge_detections({name: table[columns] for name, table in tables.items()}, radius_arcmin=radius)
    for name, folder in zip(names, folders, strict=True):
        _add_what_one_says(merged, name, tables[name], folder, radius)
    provenance = {
        "scans": ", ".join(map(str, folders)),
        "radius_arcmin": radius,
        "software": f"clusterjax {__version__}",
    }
    write_candidates(workdir / "candidates", merged, provenance=provenance)
    found_in, counts = np.unique(np.asarray(merged["found_in"], str), return_counts=True)
    numbers = {str(where): int(count) for where, count in zip(found_in, counts, strict=True)}
    write_json(workdir / "summary.json", {**provenance, "num_candidates": len(merged), "found_in": numbers})
    text = ", ".join(f"{count} in {where}" for where, count in numbers.items())
    say(f"{len(merged)} candidates ({text}): {workdir}")


def _candidates(folder: pathlib.Path) -> Table:
    path = folder / "scan" / "candidates.fits"
    if not (path.exists() and (folder / _SUMMARY).exists()):
        raise InputError(f"{folder} has no finished scan in scan/; run --job=scan there first")
    return read_table(path)


def _add_what_one_says(merged: Table, name: str, table: Table, folder: pathlib.Path, radius_arcmin: float) -> None:
    """Columns of one run: its candidate nearest to each, one to one."""
    values = {column: np.full(len(merged), np.nan) for column in ("significance", "score", "separation_arcmin")}
    if len(merged) and len(table):
        pairs = crossmatch(merged, table, radius_arcmin)
        rows, own = np.asarray(pairs["index_a"], int), np.asarray(pairs["index_b"], int)
        values["separation_arcmin"][rows] = pairs["separation_arcmin"]
        for column in ("significance", "score"):
            values[column][rows] = np.asarray(table[column], float)[own]
    covered = read_probability_map(folder / "scan" / "score.fits").contains(merged["ra_deg"], merged["dec_deg"])
    merged[f"{name}_searched"] = Column(np.asarray(covered, bool), description=f"{name} has scores there")
    for column, numbers in values.items():
        unit = u.arcmin if column == "separation_arcmin" else None
        text = f"of {name}'s own candidate; NaN: none within {radius_arcmin:g}'"
        merged[f"{name}_{column}"] = Column(numbers, unit=unit, description=text)
