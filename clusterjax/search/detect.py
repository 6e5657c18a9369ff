"""From a map of scores to a table of detections."""

import numpy as np
from astropy import units as u
from astropy.table import Column, Table
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from scipy.spatial import cKDTree

from clusterjax.errors import InputError
from clusterjax.odds import log_odds
from clusterjax.sky.geometry import pixel_area_deg2, pixel_to_sky, unit_vectors
from clusterjax.sky.skymap import ProbabilityMap

# Log-odds are averaged over a Gaussian whose sigma is, by default, this fraction of the window: windows so near to each
# other show almost the same sky, so what only one of them sees is noise. A network trained on clusters off centre has
# wider peaks and gains from more; one trained on centred ones has narrow peaks, which more would wash out.
_SMOOTHING_FRACTION = 1 / 16
# A position is the centroid within this fraction of the window: a cluster is recognised about so far from the centre.
# On a simulated map matches lay 12.7 pixels from the truth (median), with 1/8 and 1/4 13.6 and 14.1.
_CENTROID_FRACTION = 3 / 8
# ... of what lies less than this below the peak: a factor e^2 in odds.
_CENTROID_DEPTH = 2.0

_COLUMNS = (
    ("detection_id", np.int64, None, "number by descending score, from 1"),
    ("ra_deg", np.float64, u.deg, "right ascension (ICRS)"),
    ("dec_deg", np.float64, u.deg, "declination (ICRS)"),
    ("x_pixels", np.float64, u.pix, "column on the scanned map, from 0"),
    ("y_pixels", np.float64, u.pix, "row on the scanned map, from 0"),
    ("score_x_pixels", np.int32, u.pix, "column of the peak on the score map, from 0"),
    ("score_y_pixels", np.int32, u.pix, "row of the peak on the score map, from 0"),
    ("score", np.float32, None, "smoothed score at the peak (uncalibrated); the threshold applies to it"),
    ("log_odds", np.float32, None, "ln(score / (1 - score)), smoothed, within +-16"),
    ("peak_score", np.float32, None, "highest score of a single window about the peak"),
    ("area_arcmin2", np.float32, u.arcmin**2, "area above the threshold that holds the peak"),
    ("valid_fraction", np.float32, None, "fraction of valid pixels of the window at the peak"),
)
_SPREAD = ("spread", np.float32, None, "standard deviation of the networks' scores of the window at the peak")


def smooth(values: Float[np.ndarray, "y x"], sigma_pixels: float | int) -> Float[np.ndarray, "y x"]:
    """Gaussian average of the finite pixels (weights renormalised at NaN and edges); NaN stays NaN."""
    finite = np.isfinite(values)
    kernel = {"sigma": sigma_pixels, "mode": "constant", "truncate": 3.0}
    total = ndimage.gaussian_filter(np.where(finite, values, 0.0), **kernel)
    weight = ndimage.gaussian_filter(finite.astype(float), **kernel)
    return np.where(finite, total / np.where(finite, weight, 1.0), np.nan)


def find_detections(
    probability_map: ProbabilityMap,
    *,
    threshold: float | int,
    min_separation_arcmin: float | int,
    smoothing_pixels: float | int | None = None,
) -> Table:
    """Peaks of the score above ``threshold``, none nearer than ``min_separation_arcmin`` to a higher one.

    Scores saturate, so all is done on log-odds: they are averaged over a Gaussian of sigma ``smoothing_pixels`` of
    the scanned map (a sixteenth of the window if None; 0 for none), local maxima are taken (of a plateau of equal
    values, one), the lower of two that are too near on the sky is dropped, highest first, and each is moved to the
    centroid of the log-odds about it. Detections at a higher threshold are exactly those at a lower one whose
    ``score`` is above it (only ``area_arcmin2`` differs).

    Returns a table sorted by descending score, possibly empty: detection_id, ra_deg, dec_deg, x_pixels, y_pixels
    (0-based, on the scanned map), score_x_pixels, score_y_pixels (the peak itself, on the score map), score, log_odds,
    peak_score, area_arcmin2, valid_fraction; and spread, where the map has one.
    """
    if not 0.0 <= threshold <= 1.0:
        raise InputError(f"search.threshold={threshold!r} must lie within [0, 1]")
    if not min_separation_arcmin > 0:
        raise InputError(f"search.min_separation_arcmin={min_separation_arcmin!r} must be above 0")
    odds = smoothed_log_odds(probability_map, smoothing_pixels)
    floor = float(log_odds(np.array(threshold)))
    above = np.where(np.isfinite(odds), odds, -np.inf) >= floor
    peaks = _separate(_local_maxima(odds, above), odds, probability_map, min_separation_arcmin)
    return _table(probability_map, odds, above, peaks, centroid_radius(probability_map))


def smoothed_log_odds(
    probability_map: ProbabilityMap, smoothing_pixels: float | int | None = None
) -> Float[np.ndarray, "ny nx"]:
    """What detections are peaks of; ``smoothing_pixels`` as in :func:`find_detections`. NaN where not scored."""
    if smoothing_pixels is not None and not smoothing_pixels >= 0:
        raise InputError(f"smoothing_pixels={smoothing_pixels!r} must be 0 or above")
    if not np.isfinite(probability_map.score).any():
        raise InputError("the score map is empty: none of its windows was scored")
    if smoothing_pixels is None:
        smoothing_pixels = _SMOOTHING_FRACTION * probability_map.window_pixels
    return smooth(log_odds(probability_map.score), smoothing_pixels / probability_map.stride_pixels)


def centroid_radius(probability_map: ProbabilityMap) -> float:
    """How far from its peak a detection's position is measured, in pixels of the score map."""
    return max(_CENTROID_FRACTION * probability_map.window_pixels / probability_map.stride_pixels, 1.0)


def _local_maxima(odds: np.ndarray, above: np.ndarray) -> np.ndarray:
    """(peak, 2) grid pixels (y, x) that no neighbour exceeds; a plateau gives the pixel nearest to its centroid."""
    filled = np.where(np.isfinite(odds), odds, -np.inf)
    maxima = above & (filled == ndimage.maximum_filter(filled, size=3, mode="constant", cval=-np.inf))
    labels, number = ndimage.label(maxima, structure=np.ones((3, 3)))
    if not number:
        return np.zeros((0, 2), int)
    centroids = np.array(ndimage.center_of_mass(maxima, labels, np.arange(1, number + 1)))
    pixels = np.argwhere(maxima)
    group = labels[maxima] - 1
    distance = ((pixels - centroids[group]) ** 2).sum(axis=1)
    order = np.lexsort((distance, group))
    first = np.unique(group[order], return_index=True)[1]
    return pixels[order[first]]


def _separate(peaks, odds, probability_map: ProbabilityMap, min_separation_arcmin: float | int) -> np.ndarray:
    """Peaks by descending log-odds, without those nearer on the sky to a higher one that stays."""
    order = np.lexsort((peaks[:, 1], peaks[:, 0], -odds[tuple(peaks.T)]))
    peaks = peaks[order]
    if not len(peaks):
        return peaks
    positions = unit_vectors(*pixel_to_sky(probability_map.wcs, peaks[:, 0], peaks[:, 1]))
    chord = 2 * np.sin(np.radians(min_separation_arcmin / 60) / 2)
    tree = cKDTree(positions)
    keep = np.ones(len(peaks), bool)
    for index, position in enumerate(positions):
        if keep[index]:
            near = np.array(tree.query_ball_point(position, chord))
            keep[near[near > index]] = False
    return peaks[keep]


def centroid_weights(
    odds: Float[np.ndarray, "ny nx"], peak: Int[np.ndarray, " 2"], radius_pixels: float | int
) -> tuple[Float[np.ndarray, "y x"], tuple[slice, slice]]:
    """(weights, the box of the grid that they are of): a detection's position is the mean of pixels so weighted.

    The log-odds above what is :data:`_CENTROID_DEPTH` below the ``peak`` (y, x), within ``radius_pixels`` of it and
    connected with it.
    """
    reach = int(radius_pixels)
    box = tuple(
        slice(max(centre - reach, 0), min(centre + reach + 1, length))
        for centre, length in zip(peak, odds.shape, strict=True)
    )
    y, x = np.mgrid[box]
    inside = np.hypot(y - peak[0], x - peak[1]) <= radius_pixels
    excess = odds[box] - (odds[tuple(peak)] - _CENTROID_DEPTH)
    weight = np.where(inside & (excess > 0), excess, 0.0)
    labels, _ = ndimage.label(weight > 0)
    weight[labels != labels[peak[0] - box[0].start, peak[1] - box[1].start]] = 0.0
    return weight, box


def _centroid(
    odds: np.ndarray, peak: np.ndarray, radius_pixels: float | int
) -> tuple[float, float, tuple[slice, slice]]:
    """The centroid (y, x), and the box that it is of."""
    weight, box = centroid_weights(odds, peak, radius_pixels)
    y, x = np.mgrid[box]
    total = weight.sum()
    return float((weight * y).sum() / total), float((weight * x).sum() / total), box


def _table(
    probability_map: ProbabilityMap, odds, above: Bool[np.ndarray, "y x"], peaks, radius_pixels: float | int
) -> Table:
    refined = [_centroid(odds, peak, radius_pixels) for peak in peaks]
    grid_y, grid_x = (np.array([centroid[axis] for centroid in refined], float) for axis in (0, 1))
    y, x = probability_map.map_pixels(grid_y, grid_x)
    ra, dec = pixel_to_sky(probability_map.wcs, grid_y, grid_x) if len(peaks) else (grid_y, grid_x)
    rows, columns = peaks.T
    labels, number = ndimage.label(above)
    pixels_above = np.bincount(labels.ravel(), minlength=number + 1)[labels[rows, columns]]
    area = pixels_above * (pixel_area_deg2(probability_map.wcs, rows, columns) if len(peaks) else 0.0) * 3600
    peak_odds = odds[rows, columns]
    values = {
        "detection_id": np.arange(1, len(peaks) + 1),
        "ra_deg": ra,
        "dec_deg": dec,
        "x_pixels": x,
        "y_pixels": y,
        "score_x_pixels": columns,
        "score_y_pixels": rows,
        "score": 1 / (1 + np.exp(-peak_odds)),
        "log_odds": peak_odds,
        "peak_score": [np.nanmax(probability_map.score[centroid[2]]) for centroid in refined],
        "area_arcmin2": area,
        "valid_fraction": probability_map.valid_fraction[rows, columns],
    }
    described = _COLUMNS
    if probability_map.spread is not None:
        described = (*_COLUMNS, _SPREAD)
        values["spread"] = probability_map.spread[rows, columns]
    columns = [
        Column(np.asarray(values[name], dtype), name=name, unit=unit, description=text)
        for name, dtype, unit, text in described
    ]
    return Table(columns)
