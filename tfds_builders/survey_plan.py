"""Which cutouts a data set of the real sky holds: clusters of catalogues, what is taken for them, empty sky."""

import dataclasses
import re
from collections.abc import Callable

import numpy as np
from astropy.table import Table, vstack

from clusterjax.config import SurveyConfig
from clusterjax.errors import InputError
from clusterjax.simulation.cutout import POSITIVE_TYPE
from clusterjax.sky.footprint import Footprint, OnMaps, footprint_of
from clusterjax.sky.merging import is_near, merge_catalogues
from clusterjax.sky.selection import draw_away_from
from clusterjax.sky.surveys.downloads import Downloader
from clusterjax.sky.surveys.registry import read_catalogue
from tfds_builders.planning import EMPTY, Selection, assign_splits, check_splits, empty_rows

_NEGATIVES_APART_ARCMIN = 0.5  # entries of two catalogues of stars, galaxies or AGN that are one object
_REMEDY = (
    "Give larger catalogues, a larger config.data.survey.max_objects, or smaller blocks: config.data.block_nside=32"
)


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """Objects of one kind of split: what is found there, and all that empty sky must keep away from."""

    objects: Table
    known: Table
    footprint: Footprint | OnMaps


Covered = Callable[[np.ndarray, np.ndarray], np.ndarray]


def plan_survey(
    config: SurveyConfig,
    selection: Selection,
    pixel_scale_arcsec: float,
    downloader: Downloader,
    covered: Covered | None = None,
) -> Table:
    """A row a cutout: position, type, numbers, ``catalogues`` and ``names`` (all that an object has), block, split.

    Negatives and empty positions lie in the footprint of the clusters and keep ``selection.exclusion_arcmin`` from
    every cluster of any catalogue, also of those held out. A catalogue that is held out has a split ``test_<name>``:
    its clusters in the test split's blocks (of the others, training has seen the sky), with empty positions of its own
    footprint. Such a cluster may be in a catalogue that is trained on too; its sky is not.

    ``covered(ra_deg, dec_deg)`` says where there are pixels, if not everywhere: nothing lies elsewhere.

    Raises :class:`InputError` for catalogues without clusters, and for a split without cutouts of both kinds.
    """
    if not config.catalogues:
        raise InputError("config.data.survey.catalogues is empty; give at least one catalogue of clusters")
    tables = [_clusters(entry, downloader) for entry in config.catalogues]
    held_out = {_split_name(table): table for table in (_clusters(entry, downloader) for entry in config.held_out)}
    clusters = merge_catalogues(tables, radius_arcmin=config.merge_radius_arcmin)
    known = vstack([one["ra_deg", "dec_deg"] for one in (*tables, *held_out.values())], metadata_conflicts="silent")
    rng = np.random.default_rng([selection.seed, 0])
    clusters, footprint = _within(clusters, covered, ", ".join(config.catalogues))
    if config.max_objects is not None:
        clusters = _some(clusters, config.max_objects, rng)
        _, footprint = _within(clusters, covered, "")
    negatives = _negatives(config, selection, downloader, known, footprint, len(clusters), rng)
    sample = Sample(vstack([clusters, *negatives], metadata_conflicts="silent"), known, footprint)
    rows = [assign_splits(_with_empty(sample, len(clusters), selection, rng), selection, pixel_scale_arcsec)]
    for name, table in held_out.items():
        rows.append(_held_out(name, table, known, config, selection, pixel_scale_arcsec, covered))
    result = vstack(rows, metadata_conflicts="silent")
    result.remove_columns(["catalogue", "name"])
    check_splits(result, where="the catalogues", objects=", ".join(config.catalogues), remedy=_REMEDY)
    return result


def _clusters(entry: str, downloader: Downloader) -> Table:
    table = read_catalogue(entry, downloader)
    table = table[np.asarray(table["object_type"]) == POSITIVE_TYPE]
    if not len(table):
        raise InputError(f"{entry} has no clusters; config.data.survey.negatives is for other objects")
    return table


def _within(objects: Table, covered: Covered | None, where: str) -> tuple[Table, Footprint | OnMaps]:
    """(those on the maps, the footprint that they tell of)."""
    if covered is not None:
        objects = objects[covered(np.asarray(objects["ra_deg"], float), np.asarray(objects["dec_deg"], float))]
        if not len(objects):
            raise InputError(f"no cluster of {where} lies on a valid pixel of config.data.maps")
    footprint = footprint_of(objects["ra_deg"], objects["dec_deg"])
    return objects, footprint if covered is None else OnMaps(footprint, covered)


def _split_name(table: Table) -> str:
    return re.sub(r"\W", "_", f"test_{table['catalogue'][0]}")


def _some(table: Table, count: int, rng: np.random.Generator) -> Table:
    return table if count >= len(table) else table[np.sort(rng.choice(len(table), count, replace=False))]


def _negatives(
    config: SurveyConfig,
    selection: Selection,
    downloader: Downloader,
    known: Table,
    footprint: Footprint | OnMaps,
    num_clusters: int,
    rng: np.random.Generator,
) -> list[Table]:
    """Equally many of each type, within the footprint and away from every known cluster."""
    if not config.negatives:
        return []
    tables = []
    for entry in config.negatives:
        table = read_catalogue(entry, downloader)
        if np.any(np.asarray(table["object_type"]) == POSITIVE_TYPE):
            raise InputError(f"{entry} has clusters, or no type: write TYPE=FILE, or give it a column object_type")
        table = table[footprint.contains(table["ra_deg"], table["dec_deg"])]
        tables.append(table[~is_near(table, known, selection.exclusion_arcmin)])
    merged = merge_catalogues(tables, radius_arcmin=_NEGATIVES_APART_ARCMIN)
    types = np.asarray(merged["object_type"])
    names = np.unique(types)
    each = round(config.negatives_per_object * num_clusters / max(len(names), 1))
    return [_some(merged[types == name], each, rng) for name in names]


def _with_empty(sample: Sample, num_clusters: int, selection: Selection, rng: np.random.Generator) -> Table:
    """The objects and ``random_per_object`` empty positions for each cluster."""
    ra, dec = draw_away_from(
        lambda number: sample.footprint.draw(rng, number),
        round(selection.random_per_object * num_clusters),
        known_ra_deg=np.asarray(sample.known["ra_deg"], float),
        known_dec_deg=np.asarray(sample.known["dec_deg"], float),
        exclusion_arcmin=selection.exclusion_arcmin,
    )
    empty = empty_rows(ra, dec)
    for name in ("catalogue", "name", "catalogues", "names"):
        empty[name] = np.full(len(empty), "")
    empty["snr"] = np.full(len(empty), np.nan)
    return vstack([sample.objects, empty], metadata_conflicts="silent")


def _held_out(
    name: str,
    table: Table,
    known: Table,
    config: SurveyConfig,
    selection: Selection,
    pixel_scale_arcsec: float,
    covered: Covered | None,
) -> Table:
    # Of its name, so that another held-out catalogue changes nothing.
    rng = np.random.default_rng([selection.seed, 1, *name.encode()])
    objects, footprint = _within(
        merge_catalogues([table], radius_arcmin=config.merge_radius_arcmin), covered, f"the held-out {name}"
    )
    if config.max_objects is not None:
        objects = _some(objects, config.max_objects, rng)
        _, footprint = _within(objects, covered, name)
    sample = Sample(objects, known, footprint)
    rows = assign_splits(_with_empty(sample, len(objects), selection, rng), selection, pixel_scale_arcsec)
    rows = rows[np.asarray(rows["split"]) == "test"]
    types = np.asarray(rows["object_type"])
    if (types == EMPTY).all() or not (types == EMPTY).any():
        raise InputError(f"the held-out catalogue {name} has no clusters, or no empty sky, in the test split's blocks")
    rows["split"] = np.full(len(rows), name)
    return rows
