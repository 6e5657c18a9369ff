"""Candidates of several score maps of one sky, or of one map smoothed over several scales: each object once."""

from collections.abc import Mapping, Sequence

import numpy as np
from astropy.table import Column, Table, vstack

from clusterjax.odds import log_odds, logistic
from clusterjax.search.candidates import characterise
from clusterjax.search.detect import find_detections, smoothed_log_odds
from clusterjax.search.significance import NullDistribution, fit_null
from clusterjax.sky.catalogues import pairs_within, positions
from clusterjax.sky.skymap import ProbabilityMap

Smoothing = float | int | None


def merge_detections(
    tables: Mapping[str, Table], *, radius_arcmin: float | int, rank_by: str = "significance"
) -> Table:
    """The rows of all ``tables`` by descending ``rank_by``, without those near a higher one of another table.

    Near is within ``radius_arcmin`` of a row that stays; rows of one table never take each other's place. A column
    ``found_in`` has the names of all tables with a row so near, in their order, separated by "; ", and detection_id is
    numbered anew. Rows whose rank is NaN are last. The tables have ra_deg and dec_deg, and the columns of the first.
    """
    names = list(tables)
    parts = [Table(table, copy=True) for table in tables.values()]
    origin = np.repeat(np.arange(len(names)), [len(part) for part in parts])
    merged = vstack(parts, metadata_conflicts="silent")
    order = np.argsort(-np.nan_to_num(np.asarray(merged[rank_by], float), nan=-np.inf), kind="stable")
    merged, origin = merged[order], origin[order]
    near: list[list[int]] = [[] for _ in origin]
    first, second, _ = pairs_within(positions(merged), positions(merged), radius_arcmin)
    for a, b in zip(first, second, strict=True):
        if origin[a] != origin[b]:
            near[a].append(int(b))
    stays = np.ones(len(merged), bool)
    for row, others in enumerate(near):
        if stays[row]:
            stays[[other for other in others if other > row]] = False
    found_in = [
        "; ".join(names[one] for one in sorted({origin[row], *origin[near[row]]})) for row in np.flatnonzero(stays)
    ]
    merged = merged[stays]
    merged["found_in"] = Column(np.array(found_in, str), description="where it was found, in the order of their search")
    merged["detection_id"] = np.arange(1, len(merged) + 1)
    return merged


def find_at_scales(
    probability_map: ProbabilityMap,
    *,
    threshold: float | int,
    min_separation_arcmin: float | int,
    smoothing_pixels: Smoothing = None,
    further_smoothings: Sequence[float | int] = (),
) -> Table:
    """:func:`~clusterjax.search.detect.find_detections` at several smoothings of one map, each object once.

    Smoothed further, a map's noise and its peaks are lower: the threshold there is that of the same significance above
    the map's own null distribution, and ``score`` and ``log_odds`` are what the first smoothing has at that
    significance. So candidates of different scales compare, and those at a higher threshold are those at a lower one
    with a score above it. ``smoothing_pixels`` says at which scale an object stands out most, NaN for the default one.
    """
    options = {"min_separation_arcmin": min_separation_arcmin}
    first = find_detections(probability_map, threshold=threshold, smoothing_pixels=smoothing_pixels, **options)
    if not further_smoothings:
        return first
    null = fit_null(smoothed_log_odds(probability_map, smoothing_pixels))
    floor = float(log_odds(np.array(threshold)))
    tables = {}
    for smoothing in (smoothing_pixels, *further_smoothings):
        found = first
        if tables:
            own = fit_null(smoothed_log_odds(probability_map, smoothing))
            same = float(logistic(np.array(_from_one_null_to_another(floor, null, own))))
            found = find_detections(probability_map, threshold=same, smoothing_pixels=smoothing, **options)
            odds = _from_one_null_to_another(np.asarray(found["log_odds"], float), own, null)
            found["log_odds"][:], found["score"][:] = odds, logistic(odds)
        text = "sigma of the smoothing at which it stands out most"
        found["smoothing_pixels"] = Column(
            np.full(len(found), np.nan if smoothing is None else smoothing), unit="pix", description=text
        )
        tables[f"{smoothing:g} pixels" if smoothing is not None else "default"] = found
    return merge_detections(tables, radius_arcmin=min_separation_arcmin, rank_by="log_odds")


def _from_one_null_to_another(odds, one: NullDistribution, other: NullDistribution):
    """The log-odds of the same significance; the same log-odds where a map has no noise to tell it by."""
    if not (one.spread > 0 and other.spread > 0):
        return odds
    return other.centre + (odds - one.centre) * (other.spread / one.spread)


def characterise_at_scales(
    detections: Table, probability_map: ProbabilityMap, *, smoothing_pixels: Smoothing = None
) -> tuple[Table, NullDistribution]:
    """:func:`~clusterjax.search.candidates.characterise` of :func:`find_at_scales`' candidates, each at its own scale.

    The null distribution is that of the first scale, ``smoothing_pixels``.
    """
    if "smoothing_pixels" not in detections.colnames or not len(detections):
        return characterise(detections, probability_map, smoothing_pixels=smoothing_pixels)
    null = fit_null(smoothed_log_odds(probability_map, smoothing_pixels))
    scales = np.asarray(detections["smoothing_pixels"], float)
    parts, places = [], []
    for scale in np.unique(scales):  # NaN once
        rows = np.flatnonzero(np.isnan(scales) if np.isnan(scale) else scales == scale)
        places.append(rows)
        smoothing = None if np.isnan(scale) else float(scale)
        parts.append(characterise(detections[rows], probability_map, smoothing_pixels=smoothing)[0])
    result = vstack(parts, metadata_conflicts="silent")[np.argsort(np.concatenate(places))]
    result["significance"][:] = null.significance(result["log_odds"])
    return result, null
