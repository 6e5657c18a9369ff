"""Which cutouts a data set of local maps holds: known objects, empty sky, and the split of each."""

import glob
import pathlib
from collections.abc import Sequence

import numpy as np
from astropy.table import Table, vstack

from clusterjax.errors import InputError
from clusterjax.simulation.cutout import POSITIVE_TYPE
from clusterjax.sky.catalogues import read_table, redshift_kinds, with_positions
from clusterjax.sky.open_map import open_map
from clusterjax.sky.reader import MapReader
from clusterjax.sky.selection import AVOIDED, draw_empty_positions
from clusterjax.sky.units import in_units_of
from tfds_builders.planning import NUMBERS, Selection, assign_splits, check_splits, empty_rows

_TYPE_NAMES = ("object_type", "label", "class", "type")  # of the catalogue's column, if it has one


def expand(maps: Sequence[str]) -> tuple[str, ...]:
    """File names with ``*`` or ``?`` as the files that fit, in order. :class:`InputError` where none does."""
    files: list[str] = []
    for name in maps:
        found = sorted(glob.glob(name)) if set(name) & set("*?") else [name]
        if not found:
            raise InputError(f"config.data.maps: no file fits {name}")
        files += found
    return tuple(files)


def open_entry(name: str, bands: Sequence[str] | None = None, units: str = "") -> MapReader:
    """The map of one entry of ``config.data.maps``: a path, or one a band joined by ``+``; in ``units``."""
    return in_units_of(open_map(name.split("+"), bands=bands), units)


def open_alike(maps: Sequence[str]) -> list[MapReader]:
    """All maps of a data set, in the first one's units. Raises InputError for other bands or pixels than its."""
    readers: list[MapReader] = []
    for name in maps:
        sky = open_entry(name, *((readers[0].bands, readers[0].units) if readers else ()))
        if readers and abs(sky.pixel_scale_arcsec / readers[0].pixel_scale_arcsec - 1) > 0.01:
            raise InputError(
                f'{name} has {sky.pixel_scale_arcsec:.3f}" pixels, {maps[0]} has '
                f'{readers[0].pixel_scale_arcsec:.3f}"; all maps of a data set must have the same'
            )
        readers.append(sky)
    return readers


def map_of(maps: Sequence[MapReader], ra_deg: np.ndarray, dec_deg: np.ndarray) -> np.ndarray:
    """Number of the first map with a valid pixel at each ICRS position; -1 for none."""
    number = np.full(len(ra_deg), -1)
    for index, sky in enumerate(maps):
        left = np.flatnonzero(number < 0)
        number[left[sky.contains(ra_deg[left], dec_deg[left])]] = index
    return number


def read_objects(path: str) -> Table:
    """The catalogue with ``ra_deg``, ``dec_deg``, ``object_type`` (cluster where it names none), redshift and mass.

    ``map`` is the file of the one map that an object belongs to, where the catalogue says (maps of the same sky with
    different clusters injected); empty for all.

    Raises :class:`InputError` for a catalogue without rows.
    """
    if not path:
        raise InputError("config.data.catalogue is empty; give a table of known objects with ra and dec")
    table = with_positions(read_table(path))
    if not len(table):
        raise InputError(f"{path} has no rows with a position")
    columns = {name.lower(): name for name in table.colnames}
    named = next((columns[name] for name in _TYPE_NAMES if name in columns), None)
    types = np.full(len(table), POSITIVE_TYPE) if named is None else np.asarray(table[named]).astype(str)
    objects = Table({"ra_deg": table["ra_deg"], "dec_deg": table["dec_deg"], "object_type": types})
    of_map = table[columns["map"]] if "map" in columns else np.full(len(table), "")
    objects["map"] = [pathlib.Path(str(name)).name for name in of_map]
    kinds = redshift_kinds(table)
    objects["redshift_kind"] = np.full(len(table), "", "U4") if kinds is None else kinds
    for name in NUMBERS:
        values = table[columns[name]] if name in columns else np.full(len(table), np.nan)
        objects[name] = np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan)
    return objects


def plan_map(sky: MapReader, objects: Table, selection: Selection, number: int) -> Table:
    """The cutouts of map ``number``: a row each with its split. Those that would reach into another are left out."""
    known = objects[sky.contains(objects["ra_deg"], objects["dec_deg"])]
    known = known[known["object_type"] != AVOIDED]
    rng = np.random.default_rng([selection.seed, number])
    count = round(selection.random_per_object * len(known))
    ra, dec = draw_empty_positions(
        rng,
        sky,
        count,
        known_ra_deg=np.asarray(objects["ra_deg"], float),
        known_dec_deg=np.asarray(objects["dec_deg"], float),
        exclusion_arcmin=selection.exclusion_arcmin,
    )
    known.remove_column("map")
    rows = vstack([Table(known, copy=True), empty_rows(ra, dec)], metadata_conflicts="silent")
    rows = assign_splits(rows, selection, float(sky.pixel_scale_arcsec))
    rows["map"] = np.full(len(rows), number, int)
    return rows


def plan(maps: Sequence[str], catalogue: str, selection: Selection) -> tuple[Table, MapReader]:
    """All cutouts of all maps, and the first map: bands, units and scale of the data set are its own.

    Others are converted to its units.

    Raises :class:`InputError` for maps of other bands or pixels than the first, and for a split without
    cutouts of both kinds.
    """
    if not maps:
        raise InputError("config.data.maps is empty; give FITS maps, the files of one map's bands joined by +")
    objects = read_objects(catalogue)
    readers, parts = open_alike(maps), []
    for number, (name, sky) in enumerate(zip(maps, readers, strict=True)):
        file = pathlib.Path(name.split("+")[0]).name
        here = (objects["map"] == file) | (objects["map"] == "")
        parts.append(plan_map(sky, objects[here], selection, number))
    rows = vstack(parts, metadata_conflicts="silent")
    check_splits(
        rows,
        where="the maps",
        objects=pathlib.Path(catalogue).name,
        remedy="Give larger maps, or smaller blocks: config.data.block_nside=32 or 64",
    )
    return rows, readers[0]
