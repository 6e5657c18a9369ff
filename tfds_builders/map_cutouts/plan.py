"""Which cutouts a data set of local maps holds: known objects, empty sky, and the split of each."""

import dataclasses
import glob
import pathlib
from collections.abc import Sequence

import numpy as np
from astropy.table import Table, vstack

from clusterjax.errors import InputError
from clusterjax.simulation.cutout import POSITIVE_TYPE
from clusterjax.sky.catalogues import read_table, with_positions
from clusterjax.sky.open_map import open_map
from clusterjax.sky.reader import MapReader
from clusterjax.sky.regions import lies_inside_split, sky_block, split_of_block
from clusterjax.sky.selection import draw_empty_positions

SPLITS = ("train", "validation", "test")
EMPTY = "random"
_TYPE_NAMES = ("object_type", "label", "class", "type")  # of the catalogue's column, if it has one
_NUMBERS = ("redshift", "m500c_msun")


@dataclasses.dataclass(frozen=True)
class Selection:
    """What is asked for."""

    size: int  # pixels a side
    exclusion_arcmin: float  # empty positions keep so far from every known object
    random_per_object: float
    block_nside: int
    seed: int


def expand(maps: Sequence[str]) -> tuple[str, ...]:
    """File names with ``*`` or ``?`` as the files that fit, in order. :class:`InputError` where none does."""
    files: list[str] = []
    for name in maps:
        found = sorted(glob.glob(name)) if set(name) & set("*?") else [name]
        if not found:
            raise InputError(f"config.data.maps: no file fits {name}")
        files += found
    return tuple(files)


def open_entry(name: str, bands: Sequence[str] | None = None) -> MapReader:
    """The map of one entry of ``config.data.maps``: a path, or one a band joined by ``+``."""
    return open_map(name.split("+"), bands=bands)


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
    for name in _NUMBERS:
        values = table[columns[name]] if name in columns else np.full(len(table), np.nan)
        objects[name] = np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan)
    return objects


def plan_map(sky: MapReader, objects: Table, selection: Selection, number: int) -> Table:
    """The cutouts of map ``number``: a row each with its split. Those that would reach into another are left out.

    A cutout's half-diagonal is kept inside its split's blocks, so that no two splits share a pixel of sky.
    """
    known = objects[sky.contains(objects["ra_deg"], objects["dec_deg"])]
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
    nothing = np.full(count, np.nan)
    known.remove_column("map")
    empty = Table({"ra_deg": ra, "dec_deg": dec, "object_type": np.full(count, EMPTY)})
    for name in _NUMBERS:
        empty[name] = nothing
    rows = vstack([Table(known, copy=True), empty], metadata_conflicts="silent")
    position = np.asarray(rows["ra_deg"], float), np.asarray(rows["dec_deg"], float)
    margin = selection.size / np.sqrt(2) * sky.pixel_scale_arcsec / 60
    rows["sky_block"] = sky_block(*position, nside=selection.block_nside)
    rows["split"] = split_of_block(np.asarray(rows["sky_block"]))
    rows["map"] = np.full(len(rows), number, int)
    return rows[lies_inside_split(*position, margin_arcmin=margin, nside=selection.block_nside)]


def plan(maps: Sequence[str], catalogue: str, selection: Selection) -> tuple[Table, MapReader]:
    """All cutouts of all maps, and the first map: bands, units and scale of the data set are its own.

    Raises :class:`InputError` for maps of other bands or pixels than the first, and for a split without
    cutouts of both kinds.
    """
    if not maps:
        raise InputError("config.data.maps is empty; give FITS maps, the files of one map's bands joined by +")
    objects = read_objects(catalogue)
    first, parts = None, []
    for number, name in enumerate(maps):
        sky = open_entry(name, first and first.bands)
        if first is None:
            first = sky
        elif abs(sky.pixel_scale_arcsec / first.pixel_scale_arcsec - 1) > 0.01:
            raise InputError(
                f'{name} has {sky.pixel_scale_arcsec:.3f}" pixels, {maps[0]} has {first.pixel_scale_arcsec:.3f}"; '
                "all maps of a data set must have the same"
            )
        file = pathlib.Path(name.split("+")[0]).name
        here = (objects["map"] == file) | (objects["map"] == "")
        parts.append(plan_map(sky, objects[here], selection, number))
    rows = vstack(parts, metadata_conflicts="silent")
    _check(rows, catalogue)
    return rows, first


def _check(rows: Table, catalogue: str) -> None:
    for split in SPLITS:
        empty = np.asarray(rows["object_type"])[np.asarray(rows["split"]) == split] == EMPTY
        if empty.all() or not empty.any():
            raise InputError(
                f"the maps hold {int(np.sum(~empty))} objects of {pathlib.Path(catalogue).name} and "
                f"{int(np.sum(empty))} empty positions in the sky blocks of the {split} split; both are needed. Give "
                "larger maps, or smaller blocks: config.data.block_nside=32 or 64"
            )
