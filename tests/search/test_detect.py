import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from clusterjax.errors import InputError
from clusterjax.odds import log_odds
from clusterjax.search.detect import find_detections, smooth
from clusterjax.search.windows import WindowGrid
from clusterjax.sky.geometry import make_wcs
from clusterjax.sky.skymap import ProbabilityMap, SkyMap

STRIDE, SIZE = 8, 64


def _scores(odds, *, dec_deg=5.0, projection="TAN") -> ProbabilityMap:
    """A score map of given log-odds, stride 8 and window 64 on 2.75" pixels: 22" a grid pixel."""
    map_shape = tuple((length - 1) * STRIDE + SIZE for length in odds.shape)
    wcs = make_wcs(map_shape, ra_deg=0.0, dec_deg=dec_deg, pixel_scale_arcsec=2.75, projection=projection)
    grid = WindowGrid(map_shape, SIZE, STRIDE)
    score = expit(odds).astype(np.float32)
    return ProbabilityMap(score, np.ones(grid.shape, np.float32), grid.wcs(wcs), SIZE, STRIDE)


def _blob(shape, centre, height, sigma=1.5, floor=-6.0):
    y, x = np.indices(shape)
    return floor + (height - floor) * np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / (2 * sigma**2))


def test_log_odds_at_the_ends():
    odds = log_odds(np.array([0.0, 0.5, 1.0, np.nan, 1e-3], np.float32))
    assert odds[[0, 1, 2]] == pytest.approx([-16, 0, 16])
    assert np.isnan(odds[3])
    assert expit(odds[4]) == pytest.approx(1e-3, rel=1e-5)


def test_smoothing_keeps_a_constant_and_knows_nan():
    values = np.full((9, 9), 3.0)
    values[4, 4] = np.nan
    assert np.allclose(smooth(values, 1.5)[np.isfinite(values)], 3)
    assert np.isnan(smooth(values, 1.5)[4, 4])


@settings(deadline=None, max_examples=25)
@given(y=st.floats(6, 18), x=st.floats(6, 18), height=st.floats(3, 40))
def test_a_peak_is_refined_below_the_stride(y, x, height):
    """Peaks of log-odds above 16 are plateaus of score 1: their centroid is still good."""
    found = find_detections(_scores(_blob((25, 25), (y, x), height)), threshold=0.5, min_separation_arcmin=1.5)
    assert len(found) == 1
    assert np.hypot(found["y_pixels"][0] - (8 * y + 31.5), found["x_pixels"][0] - (8 * x + 31.5)) < 2.5


@pytest.mark.parametrize("plateau", [(3, 3), (4, 4), (2, 5), (9, 9)])
def test_a_plateau_of_equal_scores_is_one_detection_at_its_centre(plateau):
    odds = np.full((20, 20), -5.0)
    odds[6 : 6 + plateau[0], 9 : 9 + plateau[1]] = 30.0
    found = find_detections(_scores(odds), threshold=0.9, min_separation_arcmin=1.5)
    assert len(found) == 1
    assert (found["peak_score"][0], found["detection_id"][0]) == (1, 1)
    assert found["y_pixels"][0] == pytest.approx(8 * (6 + (plateau[0] - 1) / 2) + 31.5, abs=0.5)
    assert found["x_pixels"][0] == pytest.approx(8 * (9 + (plateau[1] - 1) / 2) + 31.5, abs=0.5)
    assert found["area_arcmin2"][0] == pytest.approx(np.prod(plateau) * (22 / 60) ** 2, rel=0.6)


def test_a_lower_peak_beside_does_not_pull_the_position():
    odds = np.full((30, 30), -6.0)
    odds[9:12, 9:12] = 8
    odds[9:12, 13:15] = 7.5
    found = find_detections(_scores(odds), threshold=0.5, min_separation_arcmin=3.5, smoothing_pixels=0)
    assert len(found) == 1
    assert found["x_pixels"][0] == pytest.approx(8 * 10 + 31.5, abs=0.5)


def test_noise_on_a_plateau_does_not_split_it():
    """Twenty clusters as the network sees them: plateaus 2.5 grid pixels wide with ragged tops."""
    rng = np.random.default_rng(7)
    odds = np.full((100, 100), -6.0)
    centres = [(y, x) for y in range(10, 100, 20) for x in range(12, 100, 25)]
    for centre in centres:
        odds = np.maximum(odds, np.minimum(_blob(odds.shape, centre, 14, sigma=1.8), 6.0))
    found = find_detections(_scores(odds + rng.normal(0, 1.5, odds.shape)), threshold=0.9, min_separation_arcmin=1.5)
    assert len(found) == len(centres)


def test_smoothing_takes_single_windows_and_keeps_clusters():
    rng = np.random.default_rng(3)
    odds = np.maximum(rng.normal(-4, 2.5, (80, 80)), _blob((80, 80), (40, 40), 9, sigma=2))
    numbers = {}
    for smoothing in (0, None, 8):
        found = find_detections(_scores(odds), threshold=0.5, min_separation_arcmin=1.5, smoothing_pixels=smoothing)
        numbers[smoothing] = len(found)
        assert np.hypot(found["y_pixels"][0] - 351.5, found["x_pixels"][0] - 351.5) < 8
    assert numbers[0] > 3 * numbers[None] > 3
    assert numbers[8] == 1


def test_two_that_are_near_and_two_that_are_not():
    near = np.maximum(_blob((30, 30), (10, 10), 8, 1), _blob((30, 30), (10, 13), 5, 1))
    assert len(find_detections(_scores(near), threshold=0.5, min_separation_arcmin=1.5)) == 1
    both = find_detections(_scores(near), threshold=0.5, min_separation_arcmin=0.8)
    assert len(both) == 2
    assert both["score"][0] > both["score"][1]


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    low=st.floats(0.05, 0.6),
    high=st.floats(0.6, 0.99),
    separation=st.floats(0.4, 4),
    holes=st.floats(0, 0.5),
)
def test_a_higher_threshold_keeps_those_above_it(seed, low, high, separation, holes):
    rng = np.random.default_rng(seed)
    odds = np.where(rng.random((30, 40)) < holes, np.nan, rng.normal(0, 3, (30, 40)))
    scores = _scores(odds, dec_deg=75.0, projection="CAR")
    if not np.isfinite(odds).any():
        return
    many = find_detections(scores, threshold=low, min_separation_arcmin=separation)
    few = find_detections(scores, threshold=high, min_separation_arcmin=separation)
    kept = many[many["log_odds"] >= np.log(high / (1 - high))]
    assert len(few) == len(kept)
    for name in ("ra_deg", "dec_deg", "score", "peak_score"):
        assert np.array_equal(few[name], kept[name])
    assert (np.diff(many["score"]) <= 0).all()
    # Each peak, before it is refined by half the separation at most, is as far from the others as asked.
    if len(many) > 1:
        where = SkyCoord(many["ra_deg"], many["dec_deg"])
        nearest = where.match_to_catalog_sky(where, nthneighbor=2)[1].arcmin.min()
        assert nearest > 0


def test_peaks_are_separated_on_the_sky_where_the_pixels_are_not_square():
    """At dec 75 in CAR a grid pixel is 22" by 5.7": two peaks 8 columns apart are nearer than 1.5'."""
    odds = np.maximum(_blob((30, 60), (10, 20), 8, 1), _blob((30, 60), (10, 28), 6, 1))
    for projection, number in (("CAR", 1), ("TAN", 2)):
        scores = _scores(odds, dec_deg=75.0, projection=projection)
        assert len(find_detections(scores, threshold=0.5, min_separation_arcmin=1.5)) == number


def test_nothing_found_is_an_empty_table_with_units():
    found = find_detections(_scores(np.full((5, 5), -4.0)), threshold=0.9, min_separation_arcmin=1.5)
    assert len(found) == 0
    assert str(found["ra_deg"].unit) == "deg"
    assert all(found[name].description for name in found.colnames)
    assert found.colnames[:5] == ["detection_id", "ra_deg", "dec_deg", "x_pixels", "y_pixels"]


def test_what_cannot_be_searched():
    scores = _scores(np.full((5, 5), np.nan))
    with pytest.raises(InputError, match="score map is empty"):
        find_detections(scores, threshold=0.9, min_separation_arcmin=1.5)
    with pytest.raises(InputError, match=r"search\.threshold=1\.5"):
        find_detections(scores, threshold=1.5, min_separation_arcmin=1.5)
    with pytest.raises(InputError, match=r"search\.min_separation_arcmin=0"):
        find_detections(scores, threshold=0.5, min_separation_arcmin=0)
    with pytest.raises(InputError, match=r"smoothing_pixels=-1 must be 0"):
        find_detections(scores, threshold=0.5, min_separation_arcmin=1, smoothing_pixels=-1)


def test_any_statistic_can_stand_for_the_log_odds():
    """A map of S/N: its peaks above a S/N, at their pixels, valid ones alone."""
    snr = np.zeros((60, 80))
    snr[20, 30], snr[40, 60], snr[50, 10] = 6.0, 4.5, 9.0
    valid = np.ones(snr.shape, bool)
    valid[45:] = False
    wcs = make_wcs(snr.shape, ra_deg=30, dec_deg=5, pixel_scale_arcsec=30.0)
    sky = SkyMap(np.zeros((*snr.shape, 1), np.float32), wcs, valid, ("SNR",))
    found = find_detections(
        ProbabilityMap.from_log_odds(snr, sky),
        threshold=1 / (1 + np.exp(-4.0)),
        min_separation_arcmin=2.0,
        smoothing_pixels=0,
    )
    np.testing.assert_allclose(found["log_odds"], [6.0, 4.5], rtol=1e-5)
    assert found["y_pixels"].tolist() == [20.0, 40.0]
    assert found["x_pixels"].tolist() == [30.0, 60.0]
