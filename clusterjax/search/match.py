"""Detections against true or known sources: completeness, purity, false detections, and their curve."""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np
from astropy import units as u
from astropy.stats import binom_conf_interval
from astropy.table import Column, Table, hstack
from jaxtyping import Float

from clusterjax.errors import InputError
from clusterjax.sky.catalogues import crossmatch, positions
from clusterjax.sky.offset_skies import chance_match_rate
from clusterjax.sky.skymap import ProbabilityMap


@dataclasses.dataclass(frozen=True, eq=False)
class Matching:
    """Detections and sources matched one to one, nearest first, within ``radius_arcmin``.

    ``detections`` has the new columns source_index (row of its source, -1 for none) and separation_arcmin (NaN);
    ``sources`` has detection_index, separation_arcmin and searched (True where it lies on a scored window's pixel:
    where it could have been found). A detection is true when it has a source, searched or not.
    """

    detections: Table
    sources: Table
    radius_arcmin: float | int | np.ndarray

    @property
    def detection_is_true(self) -> np.ndarray:
        return np.asarray(self.detections["source_index"]) >= 0

    @property
    def source_is_found(self) -> np.ndarray:
        return np.asarray(self.sources["detection_index"]) >= 0

    def pairs(self) -> Table:
        """One row a match: the detection's columns, then the source's as source_*."""
        detections = self.detections[self.detection_is_true]
        sources = self.sources[np.asarray(detections["source_index"], int)]
        sources.remove_columns(["separation_arcmin", "detection_index"])
        sources.rename_columns(sources.colnames, [f"source_{name}" for name in sources.colnames])
        detections.remove_column("source_index")
        return hstack([detections, sources], metadata_conflicts="silent")


def match_radii(
    sources: Table, radius_arcmin: float | int, *, fraction_of_theta500: float = 0.5
) -> Float[np.ndarray, " source"]:
    """The radius (arcmin) within which a detection is of each source.

    A fraction of theta500 where the table has a column ``theta500_arcmin``: the galaxies of a near cluster spread over
    several arcmin, and their peak is not its centre. Never less than ``radius_arcmin``, nor more than twice that,
    beyond which chance matches take over.
    """
    radii = np.full(len(sources), float(radius_arcmin))
    if "theta500_arcmin" in sources.colnames:
        theta500 = np.ma.filled(np.ma.asarray(sources["theta500_arcmin"], dtype=float), np.nan)
        extent = np.nan_to_num(fraction_of_theta500 * theta500)
        radii = np.clip(extent, radius_arcmin, 2 * radius_arcmin)
    return radii


def match_detections(
    detections: Table,
    sources: Table,
    *,
    radius_arcmin: float | int | np.ndarray,
    probability_map: ProbabilityMap | None = None,
) -> Matching:
    """Match ``detections`` with ``sources`` (any table with RA and Dec).

    ``radius_arcmin`` is one for all, or one for each source (see :func:`match_radii`). Without ``probability_map``
    every source counts as searched. Raises InputError for a table without positions and a radius that is not above 0.
    """
    pairs = crossmatch(detections, sources, radius_arcmin)
    detections, sources = detections.copy(), sources.copy()
    for table, own, other, name in (
        (detections, "index_a", "index_b", "source_index"),
        (sources, "index_b", "index_a", "detection_index"),
    ):
        index = np.full(len(table), -1)
        separation = np.full(len(table), np.nan)
        index[pairs[own]] = pairs[other]
        separation[pairs[own]] = pairs["separation_arcmin"]
        table[name] = Column(index, description="row of the match in the other table, from 0; -1: none")
        table["separation_arcmin"] = Column(separation, unit=u.arcmin, description="distance to the match")
    searched = np.ones(len(sources), bool)
    if probability_map is not None:
        searched = probability_map.contains(*positions(sources))
    sources["searched"] = Column(searched, description="lies where a window was scored")
    return Matching(detections, sources, radius_arcmin)


def _fraction(found: int, number: int) -> tuple[float, float, float]:
    """found / number with its 68.3 % Jeffreys interval; NaN without any (Brown, Cai & DasGupta 2001)."""
    if not number:
        return math.nan, math.nan, math.nan
    low, high = binom_conf_interval(found, number, interval="jeffreys")
    return found / number, float(low), float(high)


def completeness_in_bins(matching: Matching, column: str, edges: Sequence[float | int] | np.ndarray) -> Table:
    """The found fraction of the searched sources, in bins [low, high) of a ``column`` of theirs (mass, redshift).

    Columns low, high, num_sources, num_found, completeness, completeness_low, completeness_high (68.3 % Jeffreys
    interval); NaN in bins without sources.
    """
    if column not in matching.sources.colnames:
        raise InputError(f"the sources have no column {column!r}; they have {', '.join(matching.sources.colnames)}")
    values = np.ma.filled(np.ma.asarray(matching.sources[column], dtype=float), np.nan)
    searched = np.asarray(matching.sources["searched"], bool)
    unit = matching.sources[column].unit
    rows = []
    for low, high in itertools.pairwise(edges):
        chosen = searched & (values >= low) & (values < high)
        number, found = int(chosen.sum()), int((chosen & matching.source_is_found).sum())
        rows.append((float(low), float(high), number, found, *_fraction(found, number)))
    names = ("low", "high", "num_sources", "num_found", "completeness", "completeness_low", "completeness_high")
    kinds = (float, float, int, int, float, float, float)
    table = Table(rows=rows or None, names=names, dtype=kinds)
    table["low"].unit = table["high"].unit = unit
    return table


def summarise(matching: Matching, probability_map: ProbabilityMap) -> dict:
    """Completeness, purity, false detections per deg2 and the chance-match rate, JSON-able (NaN where undefined)."""
    searched = np.asarray(matching.sources["searched"], bool)
    found = int((searched & matching.source_is_found).sum())
    true = int(matching.detection_is_true.sum())
    number = len(matching.detections)
    area = probability_map.area_deg2
    radii = np.asarray(matching.radius_arcmin)
    completeness = _fraction(found, int(searched.sum()))
    purity = _fraction(true, number)
    chance, chance_error = chance_match_rate(
        matching.detections, matching.sources, matching.radius_arcmin, inside=probability_map.contains
    )
    return {
        "area_deg2": area,
        "match_radius_arcmin": float(np.min(radii)) if radii.size else math.nan,
        "match_radius_max_arcmin": float(np.max(radii)) if radii.size else math.nan,
        "num_detections": number,
        "num_true": true,
        "num_false": number - true,
        "num_sources": int(searched.sum()),
        "num_found": found,
        **dict(zip(("completeness", "completeness_low", "completeness_high"), completeness, strict=True)),
        **dict(zip(("purity", "purity_low", "purity_high"), purity, strict=True)),
        "false_per_deg2": (number - true) / area,
        "chance_match_rate": chance,
        "chance_match_rate_error": chance_error,
    }


def completeness_curve(
    detections: Table,
    sources: Table,
    *,
    radius_arcmin: float | int | np.ndarray,
    probability_map: ProbabilityMap,
    complete_for: Sequence[bool] | np.ndarray | None = None,
    num_thresholds: int = 50,
) -> Table:
    """Completeness, purity and false detections per deg2 as the threshold rises.

    ``detections`` are those at the lowest threshold of interest; they are cut at ``num_thresholds`` quantiles of
    their ``log_odds`` and matched anew each time, so that what a cut removes takes no source. ``complete_for``
    chooses the sources that completeness is of (the massive ones, say); a detection of any source is true.

    Columns threshold (a score), log_odds, num_detections, completeness, purity, false_per_deg2, by rising threshold.
    """
    wanted = np.ones(len(sources), bool) if complete_for is None else np.asarray(complete_for, bool)
    area = probability_map.area_deg2
    log_odds = np.asarray(detections["log_odds"], float)
    cuts = (
        np.unique(np.quantile(log_odds, np.linspace(0, 1, num_thresholds), method="nearest")) if len(log_odds) else []
    )
    searched = probability_map.contains(*positions(sources)) & wanted
    rows = []
    for cut in cuts:
        kept = detections[log_odds >= cut]
        matching = match_detections(kept, sources, radius_arcmin=radius_arcmin)
        false = len(kept) - int(matching.detection_is_true.sum())
        completeness = matching.source_is_found[searched].mean() if searched.any() else math.nan
        rows.append((1 / (1 + np.exp(-cut)), cut, len(kept), completeness, 1 - false / len(kept), false / area))
    names = ("threshold", "log_odds", "num_detections", "completeness", "purity", "false_per_deg2")
    table = Table(rows=rows or None, names=names, dtype=(float, float, int, float, float, float))
    table["false_per_deg2"].unit = u.deg**-2
    return table
