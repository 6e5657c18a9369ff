"""Candidates of several scales and several maps: each object once."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from clusterjax.search.candidates import characterise
from clusterjax.search.detect import find_detections, smoothed_log_odds
from clusterjax.search.scales import characterise_at_scales, find_at_scales, merge_detections
from tests.search.score_maps import GRID_ARCMIN, STRIDE, add_peaks, gaussian_field, score_map

SCALES = (8.0, 40.0)  # pixels of the map: one and five of the score map
SEPARATION = 1.5


def table_of(rng, number, size_arcmin=6.0):
    ra, dec = 10 + rng.uniform(0, size_arcmin / 60, number), 5 + rng.uniform(0, size_arcmin / 60, number)
    rows = {
        "detection_id": np.arange(1, number + 1),
        "ra_deg": ra,
        "dec_deg": dec,
        "significance": rng.normal(size=number),
    }
    return Table(rows)


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10**6), numbers=st.lists(st.integers(0, 12), min_size=1, max_size=3), radius=st.floats(0.3, 3)
)
def test_merging_against_a_plain_loop(seed, numbers, radius):
    rng = np.random.default_rng(seed)
    tables = {f"map {index}": table_of(rng, number) for index, number in enumerate(numbers)}
    rows = sorted(
        ((row["significance"], name, row["ra_deg"], row["dec_deg"]) for name, table in tables.items() for row in table),
        reverse=True,
    )
    places = SkyCoord([row[2] for row in rows], [row[3] for row in rows], unit="deg") if rows else None
    kept, expected = [], []
    for index, (significance, name, _, _) in enumerate(rows):
        distance = places[index].separation(places).arcmin
        if all(rows[other][1] == name or distance[other] > radius for other in kept):
            kept.append(index)
            names = {name} | {rows[other][1] for other in range(len(rows)) if distance[other] <= radius}
            expected.append((significance, "; ".join(sorted(names))))
    merged = merge_detections(tables, radius_arcmin=radius)
    assert list(zip(merged["significance"], merged["found_in"], strict=True)) == expected
    assert merged["detection_id"].tolist() == list(range(1, len(expected) + 1))


@pytest.fixture(scope="module")
def scores():
    """A narrow object, a wide one of which each pixel is hardly above the noise, and noise."""
    odds = gaussian_field((160, 160), spread=2.0, correlation_pixels=0.8, seed=4) - 6
    add_peaks(odds, [(40, 40)], 14.0, 1.8)
    return score_map(add_peaks(odds, [(110, 110)], 5.0, 8.0))


def arcmin_from(found, scores, y, x):
    ra, dec = scores.wcs.wcs_pix2world(x, y, 0)
    return SkyCoord(found["ra_deg"], found["dec_deg"]).separation(SkyCoord(ra, dec, unit="deg")).arcmin


def find(scores, threshold=0.5, further=SCALES[1:]):
    options = {"min_separation_arcmin": SEPARATION, "smoothing_pixels": SCALES[0], "further_smoothings": further}
    return find_at_scales(scores, threshold=threshold, **options)


def test_a_wide_object_stands_out_at_its_own_scale(scores):
    one, both = find(scores, 0.1, further=()), find(scores, 0.1)
    narrow, wide = (arcmin_from(both, scores, *place).argmin() for place in ((40, 40), (110, 110)))
    assert both["smoothing_pixels"][narrow] == SCALES[0]
    assert both["smoothing_pixels"][wide] == SCALES[1]
    assert arcmin_from(both, scores, 110, 110)[wide] < 3 * GRID_ARCMIN
    at_one = one[arcmin_from(one, scores, 110, 110) < 8 * GRID_ARCMIN]
    assert both["log_odds"][wide] > np.max(at_one["log_odds"], initial=-16) + 1
    # The narrow one, seen at both, is one candidate, and says so.
    assert (arcmin_from(both, scores, 40, 40) < SEPARATION).sum() == 1
    assert both["found_in"][narrow] == "8 pixels; 40 pixels"
    assert both["log_odds"][narrow] == pytest.approx(one["log_odds"].max())


def test_a_wider_scale_has_the_threshold_of_the_same_significance(scores):
    """Of pure noise, both scales' peaks exceed the same number of spreads, measured here by quantiles."""
    found = find(scores, threshold=float(expit(-3.0)))
    nulls = []
    for scale in SCALES:
        odds = smoothed_log_odds(scores, scale)
        low, centre = np.quantile(odds, [0.158655, 0.5])
        nulls.append((centre, centre - low))
    significance = (-3.0 - nulls[0][0]) / nulls[0][1]
    alone = find_detections(
        scores, threshold=float(expit(nulls[1][0] + significance * nulls[1][1])),
        min_separation_arcmin=SEPARATION, smoothing_pixels=SCALES[1],
    )  # fmt: skip
    wide = found[found["smoothing_pixels"] == SCALES[1]]
    assert 0 < len(wide) <= len(alone)
    for row in wide:
        same = alone[np.argmin(abs(alone["ra_deg"] - row["ra_deg"]) + abs(alone["dec_deg"] - row["dec_deg"]))]
        spreads = (same["log_odds"] - nulls[1][0]) / nulls[1][1]
        assert row["log_odds"] == pytest.approx(nulls[0][0] + spreads * nulls[0][1], abs=1e-3)
        assert row["score"] == pytest.approx(expit(row["log_odds"]), abs=1e-6)


@pytest.mark.parametrize("high", [0.05, 0.3, 0.9])
def test_a_higher_threshold_keeps_those_above_it(scores, high):
    many, few = find(scores, threshold=0.005), find(scores, threshold=high)
    kept = many[many["log_odds"] >= np.log(high / (1 - high))]
    assert len(few) == len(kept)
    for name in ("ra_deg", "dec_deg", "log_odds", "smoothing_pixels"):
        np.testing.assert_allclose(few[name], kept[name], rtol=1e-6)


def test_each_is_measured_at_its_own_scale(scores):
    found = find(scores)
    described, null = characterise_at_scales(found, scores, smoothing_pixels=SCALES[0])
    assert described["detection_id"].tolist() == found["detection_id"].tolist()
    np.testing.assert_allclose(described["significance"], null.significance(found["log_odds"]), rtol=1e-5)
    assert (np.diff(described["significance"]) <= 0).all()
    for scale in SCALES:
        rows = np.asarray(found["smoothing_pixels"]) == scale
        alone, own_null = characterise(found[rows], scores, smoothing_pixels=scale)
        for name in ("ra_error_arcmin", "extent_major_arcmin", "flags"):
            np.testing.assert_array_equal(described[name][rows], alone[name])
        if scale == SCALES[0]:
            assert own_null == null
    turned, _ = characterise_at_scales(found[::-1], scores, smoothing_pixels=SCALES[0])  # in whatever order they come
    assert turned["detection_id"].tolist() == found["detection_id"].tolist()[::-1]
    assert turned["extent_major_arcmin"].tolist() == described["extent_major_arcmin"].tolist()[::-1]
    # The wide object, blurred by the smoothing it was found with
    wide = arcmin_from(found, scores, 110, 110).argmin()
    expected = np.hypot(8.0, SCALES[1] / STRIDE) * GRID_ARCMIN
    assert described["extent_major_arcmin"][wide] == pytest.approx(expected, rel=0.35)


def test_one_scale_is_as_before(scores):
    found = find(scores, further=())
    plain = find_detections(scores, threshold=0.5, min_separation_arcmin=SEPARATION, smoothing_pixels=SCALES[0])
    assert found.colnames == plain.colnames
    assert all((found[name] == plain[name]).all() for name in plain.colnames)
    nothing = find_at_scales(
        score_map(np.full((30, 30), -9.0)), threshold=0.5, min_separation_arcmin=1, further_smoothings=(9,)
    )
    assert len(nothing) == 0
    assert "found_in" in nothing.colnames
