"""Peaks, connected regions, centroids and moments of score maps: photutils, an implementation of its own, agrees."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from photutils.centroids import centroid_com
from photutils.detection import find_peaks
from photutils.segmentation import SourceCatalog, detect_sources
from scipy.special import expit

from clusterjax.search.candidates import _second_moments
from clusterjax.search.detect import centroid_radius, centroid_weights, find_detections, smoothed_log_odds
from clusterjax.search.significance import fit_null
from clusterjax.sky.geometry import pixel_area_deg2
from tests.search.score_maps import add_peaks, gaussian_field, score_map

NO_SEPARATION = 1e-6  # arcmin: every peak is kept
ABOVE_ZERO = 40.0  # photutils takes 0 for what lies beyond a map, and log-odds are as often below it


def above_threshold(threshold):
    """Of log-odds raised by ABOVE_ZERO. Ours count a pixel at the threshold, theirs what exceeds it."""
    return np.nextafter(np.log(threshold / (1 - threshold)), -np.inf) + ABOVE_ZERO - 1e-12


def noise_with_peaks(seed=0, shape=(70, 90)):
    odds = gaussian_field(shape, spread=1.5, correlation_pixels=2, seed=seed) - 4
    return add_peaks(odds, [(20.3, 30.6), (45.0, 60.2), (50.5, 22.4)], 9.0, (2.0, 3.5))


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), threshold=st.floats(0.02, 0.9), holes=st.floats(0, 0.3))
def test_peaks_are_those_of_photutils(seed, threshold, holes):
    odds = noise_with_peaks(seed)
    rng = np.random.default_rng(seed)
    missing = rng.random(odds.shape) < holes
    scores = score_map(np.where(missing, np.nan, odds))
    found = find_detections(scores, threshold=threshold, min_separation_arcmin=NO_SEPARATION, smoothing_pixels=0)
    values = smoothed_log_odds(scores, 0)  # float32 scores as log-odds: no two are equal
    raised = np.where(missing, 0.0, values + ABOVE_ZERO)
    theirs = find_peaks(raised, above_threshold(threshold), footprint=np.ones((3, 3)), mask=missing)
    expected = set() if theirs is None else set(zip(theirs["y_peak"], theirs["x_peak"], strict=True))
    assert set(zip(found["score_y_pixels"], found["score_x_pixels"], strict=True)) == expected


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10**6), threshold=st.floats(0.1, 0.9))
def test_areas_are_those_of_photutils_segments(seed, threshold):
    scores = score_map(noise_with_peaks(seed))
    found = find_detections(scores, threshold=threshold, min_separation_arcmin=NO_SEPARATION, smoothing_pixels=0)
    raised = smoothed_log_odds(scores, 0) + ABOVE_ZERO
    segments = detect_sources(raised, above_threshold(threshold), n_pixels=1, connectivity=4)
    rows, columns = np.asarray(found["score_y_pixels"]), np.asarray(found["score_x_pixels"])
    labels = segments.data[rows, columns]
    assert (labels > 0).all()
    assert set(labels) <= set(segments.labels)  # one that touches a higher one by a corner has no peak of its own
    pixels = np.bincount(segments.data.ravel())[labels]
    expected = pixels * pixel_area_deg2(scores.wcs, rows, columns) * 3600
    np.testing.assert_allclose(found["area_arcmin2"], expected, rtol=1e-5)


def test_centroids_are_those_of_photutils():
    scores = score_map(noise_with_peaks())
    found = find_detections(scores, threshold=0.5, min_separation_arcmin=3.0, smoothing_pixels=4)
    assert len(found) >= 3
    values = smoothed_log_odds(scores, 4)
    radius = centroid_radius(scores)
    for row in found:
        peak = (row["score_y_pixels"], row["score_x_pixels"])
        y, x = np.indices(values.shape)
        excess = values - (values[peak] - 2)
        inside = (excess > 0) & (np.hypot(y - peak[0], x - peak[1]) <= radius)
        connected = detect_sources(np.where(inside, excess, 0), 0, n_pixels=1, connectivity=4).data
        their_x, their_y = centroid_com(np.where(inside, excess, 0), mask=connected != connected[peak])
        # On the map, windows of 64 pixels every 8: their centres
        assert row["y_pixels"] == pytest.approx(8 * their_y + 31.5, abs=1e-3)
        assert row["x_pixels"] == pytest.approx(8 * their_x + 31.5, abs=1e-3)
        weight, box = centroid_weights(values, np.array(peak), radius)
        assert weight.sum() == pytest.approx(excess[box][weight > 0].sum())


def test_second_moments_are_those_of_photutils():
    """Above half the height, photutils' covariance of a segment, whose moments it takes about its own centroid."""
    scores = score_map(noise_with_peaks(), dec_deg=0.0)
    odds = smoothed_log_odds(scores, 4)
    null = fit_null(odds)
    found = find_detections(scores, threshold=0.5, min_separation_arcmin=3.0, smoothing_pixels=4)
    y, x = np.indices(odds.shape)
    for row in found[:3]:
        peak = np.array([row["score_y_pixels"], row["score_x_pixels"]])
        ours, _ = _second_moments(odds, peak, 8, null, np.zeros(odds.shape, bool))
        level = null.centre + (odds[tuple(peak)] - null.centre) / 2
        near = np.maximum(abs(y - peak[0]), abs(x - peak[1])) <= 8
        excess = np.where(near, odds - level, -1.0)
        segments = detect_sources(excess, 0, n_pixels=1, connectivity=4)
        source = SourceCatalog(np.maximum(excess, 0), segments).select_label(segments.data[tuple(peak)])
        # What is above half its height of a Gaussian has this part of its variance: integrated numerically
        radius = np.linspace(0, np.sqrt(2 * np.log(2)), 20_001)
        above = (np.exp(-(radius**2) / 2) - 0.5) * radius
        part = np.trapezoid(above * radius**2 / 2, radius) / np.trapezoid(above, radius)
        theirs = np.array(source.covariance.value)
        assert ours[1, 1] * part == pytest.approx(theirs[0, 0], rel=1e-4)
        assert ours[0, 0] * part == pytest.approx(theirs[1, 1], rel=1e-4)
        assert ours[0, 1] * part == pytest.approx(theirs[0, 1], rel=1e-3, abs=1e-4)


def test_scores_at_the_threshold_are_above_it():
    """Where the two differ: a plateau is one detection of ours, and of photutils each of its pixels."""
    odds = np.full((20, 20), -5.0)
    odds[6:8, 9:11] = np.float32(3.0)
    scores = score_map(odds)
    found = find_detections(
        scores, threshold=float(expit(2.5)), min_separation_arcmin=NO_SEPARATION, smoothing_pixels=0
    )
    theirs = find_peaks(smoothed_log_odds(scores, 0), 2.5, footprint=np.ones((3, 3)))
    assert (len(found), len(theirs)) == (1, 4)
