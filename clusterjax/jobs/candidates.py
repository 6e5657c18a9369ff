"""What the job scan says of its candidates: their qualities, flags and names, and what catalogues know of them."""

import dataclasses
import re
from collections.abc import Mapping, Sequence

import numpy as np
from astropy.table import Column, Table

from clusterjax.config import SearchConfig
from clusterjax.errors import InputError
from clusterjax.search.designations import designations
from clusterjax.search.flags import names_of, set_catalogue_flags
from clusterjax.search.known import KnownObjects, mark_known
from clusterjax.search.match import match_radii
from clusterjax.search.scales import characterise_at_scales
from clusterjax.sky.catalogues import read_table, with_positions
from clusterjax.sky.merging import merge_catalogues
from clusterjax.sky.moc import read_coverage
from clusterjax.sky.skymap import ProbabilityMap
from clusterjax.sky.surveys.registry import read_catalogue


@dataclasses.dataclass(frozen=True, eq=False)
class Catalogues:
    """What candidates are compared with: ``known`` objects, all of them in one table of ``sources`` (None for none),
    and what ``flagging`` names flags after."""

    known: Sequence[KnownObjects]
    sources: Table | None
    flagging: Mapping[str, Table]


def describe_candidates(
    search: SearchConfig, detections: Table, probability_map: ProbabilityMap, catalogues: Catalogues
) -> tuple[Table, dict]:
    """(``detections`` with names, significance, errors, extent, flags and what catalogues know of them, a summary)."""
    candidates, null = characterise_at_scales(detections, probability_map, smoothing_pixels=search.smoothing_pixels)
    candidates, flags = set_catalogue_flags(candidates, catalogues.flagging, radius_arcmin=search.flag_radius_arcmin)
    names = designations(candidates["ra_deg"], candidates["dec_deg"], acronym=search.acronym)
    text = "by the position (ICRS), truncated as the IAU asks for"
    candidates.add_column(Column(np.array(names, str), description=text), index=0, name="name")
    summary = {"null_centre": null.centre, "null_spread": null.spread, "null_asymmetry": null.asymmetry}
    summary["flags"] = {name: dataclasses.asdict(flag) for name, flag in flags.items()}
    summary["num_unflagged"] = int(sum(not names_of(int(value), flags) for value in candidates["flags"]))
    if catalogues.known:
        candidates, summary["catalogues"] = mark_known(
            candidates, catalogues.known, radius_arcmin=search.match_radius_arcmin, inside=probability_map.contains
        )
    return candidates, summary


def read_catalogues(search: SearchConfig) -> Catalogues:
    """``search.catalogue`` with ``search.footprints``, and ``search.flag_catalogues``.

    Of a single catalogue, sources are the table of its file, with all columns; of several each object is in it once.
    Raises InputError for a name that two have, for a footprint of a catalogue that is not given, and for what cannot be
    read.
    """
    flagging = {
        name: with_positions(read_table(file)) for name, file in _named_files(search.flag_catalogues, "flag_catalogues")
    }
    footprints = dict(_named_files(search.footprints, "footprints"))
    known: dict[str, KnownObjects] = {}
    for entry in search.catalogue:
        table, label = read_catalogue(entry), _label(entry)
        if label in known:
            raise InputError(f"search.catalogue has two catalogues called {label!r}; write NAME=FILE for one of them")
        file = footprints.pop(label, None)
        known[label] = KnownObjects(label, table, None if file is None else read_coverage(file))
    if footprints:
        raise InputError(
            f"search.footprints has {', '.join(footprints)}, which search.catalogue has not; it has "
            f"{', '.join(known) or 'none'}"
        )
    objects, sources = list(known.values()), None
    if len(objects) > 1:
        sources = merge_catalogues([one.table for one in objects], radius_arcmin=search.match_radius_arcmin)
    elif objects:
        sources = with_positions(read_table(search.catalogue[0].rpartition("=")[2]))
        objects = [dataclasses.replace(objects[0], radii_arcmin=match_radii(sources, search.match_radius_arcmin))]
    return Catalogues(objects, sources, flagging)


def _label(entry: str) -> str:
    """What begins the names of a catalogue's columns: its NAME, or the file's without what follows the first dot."""
    name, _, file = entry.rpartition("=")
    label = name or re.split(r"[\\/]", file)[-1].partition(".")[0]
    return re.sub(r"\W", "_", label) or "catalogue"


def _named_files(entries: Sequence[str], field: str) -> list[tuple[str, str]]:
    """NAME=FILE as (NAME, FILE)."""
    pairs = []
    for entry in entries:
        name, _, file = entry.partition("=")
        if not (name and file):
            raise InputError(f"search.{field} has {entry!r}; write NAME=FILE")
        if name in dict(pairs):
            raise InputError(f"search.{field} has the name {name!r} twice")
        pairs.append((name, file))
    return pairs
