"""A catalogue of candidates in every format that its readers' programs take."""

import os
import pathlib
from collections.abc import Mapping

import numpy as np
from astropy.table import Table

from clusterjax.sky.catalogues import write_table
from clusterjax.sky.region_files import Ellipses, write_crtf_regions, write_ds9_regions
from clusterjax.sky.votable import write_votable
from clusterjax.writing import replacing

# UCD1+ words (IVOA, Semantics of Data, 1.6)
UCDS = {
    "name": "meta.id;meta.main",
    "detection_id": "meta.record",
    "ra_deg": "pos.eq.ra;meta.main",
    "dec_deg": "pos.eq.dec;meta.main",
    "x_pixels": "pos.cartesian.x;instr.det",
    "y_pixels": "pos.cartesian.y;instr.det",
    "score_x_pixels": "pos.cartesian.x",
    "score_y_pixels": "pos.cartesian.y",
    "score": "stat.value",
    "log_odds": "stat.likelihood",
    "probability": "stat.probability",
    "peak_score": "stat.value;stat.max",
    "area_arcmin2": "phys.angArea",
    "valid_fraction": "stat.filling",
    "spread": "stat.stdev",
    "significance": "stat.snr",
    "ra_error_arcmin": "stat.error;pos.eq.ra",
    "dec_error_arcmin": "stat.error;pos.eq.dec",
    "extent_major_arcmin": "phys.angSize.smajAxis",
    "extent_minor_arcmin": "phys.angSize.sminAxis",
    "extent_angle_deg": "pos.posAng",
    "flags": "meta.code",
    "smoothing_pixels": "stat.param",
    "found_in": "meta.dataset",
    "source_index": "meta.record",
    "separation_arcmin": "pos.angDistance",
    "status": "meta.code.status",
    "known_as": "meta.id.cross",
    "redshift": "src.redshift",
    "redshift_kind": "meta.code;src.redshift",
    "redshift_source": "meta.ref;src.redshift",
}
_UCDS_BY_ENDING = {
    "_status": "meta.code.status",
    "_name": "meta.id.cross",
    "_separation_arcmin": "pos.angDistance",
    "_chance": "stat.probability",
    "_redshift": "src.redshift",
}
_HALF_HEIGHT_SIGMAS = np.sqrt(2 * np.log(2))
_UNKNOWN_EXTENT_ARCMIN = 1.0
_COLOURS = {"known": "green", "new": "red"}


def with_ucds(table: Table) -> Table:
    """A copy whose columns have their UCD in ``meta["ucd"]``, where there is one."""
    table = table.copy()
    for name in table.colnames:
        ending = next((ucd for ending, ucd in _UCDS_BY_ENDING.items() if name.endswith(ending)), None)
        if (ucd := UCDS.get(name, ending)) is not None:
            table[name].meta["ucd"] = ucd
    return table


def write_candidates(path_stem: str | os.PathLike, table: Table, *, provenance: Mapping) -> list[pathlib.Path]:
    """Write ``path_stem``.fits, .ecsv, .vot, .csv, .reg (DS9) and .crtf (CARTA), each with ``provenance``.

    FITS keeps it in the header, ECSV in ``meta``, VOTable as INFO, the others as lines that begin with #. Regions are
    ellipses where a peak is at half its height (1' where that is not known), green for known candidates, red for new
    ones, yellow for others. Returns the paths. Raises InputError where one cannot be written.
    """
    stem = pathlib.Path(path_stem)
    table = with_ucds(table)
    table.meta["provenance"] = {name: str(value) for name, value in provenance.items()}
    paths = write_table(stem, table)
    others = [stem.with_name(stem.name + ending) for ending in (".vot", ".csv", ".reg", ".crtf")]
    write_votable(others[0], table, description="Candidates of a scan by clusterjax", provenance=provenance)
    _write_csv(others[1], table, provenance)
    _write_regions(others[2], others[3], table, provenance)
    return paths + others


def _write_csv(path: pathlib.Path, table: Table, provenance: Mapping) -> None:
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as stream:
        stream.writelines(f"# {name}: {' '.join(str(value).split())}\n" for name, value in provenance.items())
        table.write(stream, format="ascii.csv")


def _write_regions(ds9: pathlib.Path, crtf: pathlib.Path, table: Table, provenance: Mapping) -> None:
    axes = np.stack([np.asarray(table[f"extent_{axis}_arcmin"], float) for axis in ("major", "minor")], axis=1)
    axes *= _HALF_HEIGHT_SIGMAS
    angle = np.nan_to_num(np.asarray(table["extent_angle_deg"], float))
    unknown = ~(np.isfinite(axes) & (axes > 0)).all(axis=1)
    axes[unknown] = _UNKNOWN_EXTENT_ARCMIN
    status = np.asarray(table["status"], str) if "status" in table.colnames else np.full(len(table), "")
    ellipses = Ellipses(
        *(np.asarray(table[name], float) for name in ("ra_deg", "dec_deg")),
        axes,
        angle,
        labels=[str(name) for name in table["name"]],
        colours=[_COLOURS.get(str(one), "yellow") for one in status],
    )
    write_ds9_regions(ds9, ellipses, provenance=provenance)
    write_crtf_regions(crtf, ellipses, provenance=provenance)
