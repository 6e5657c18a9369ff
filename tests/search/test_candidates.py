import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from scipy.special import expit

from clusterjax.search.candidates import characterise
from clusterjax.search.detect import find_detections
from clusterjax.search.flags import BASE_FLAGS
from clusterjax.sky.geometry import pixel_to_sky
from tests.search.score_maps import GRID_ARCMIN, add_peaks, gaussian_field, score_map


def _candidates(scores, threshold, separation=3.0):
    found = find_detections(scores, threshold=threshold, min_separation_arcmin=separation, smoothing_pixels=0)
    return characterise(found, scores, smoothing_pixels=0)


@pytest.mark.parametrize(
    ("height", "spread", "correlation"), [(8.0, 0.5, 1.2), (8.0, 1.0, 1.2), (12.0, 0.5, 2.0), (6.0, 0.6, 0.7)]
)
def test_errors_are_those_of_planted_peaks(height, spread, correlation):
    """256 peaks in noise of known spread: their distances from where they were planted, in errors, spread as 1."""
    rng = np.random.default_rng(5)
    field = gaussian_field((420, 420), spread=spread, correlation_pixels=correlation, seed=6) - 6.0
    places = np.stack(np.meshgrid(np.arange(16), np.arange(16), indexing="ij"), axis=-1).reshape(-1, 2) * 25.0 + 20
    places += rng.uniform(-0.5, 0.5, places.shape)
    scores = score_map(add_peaks(field, places, height, 2.0), dec_deg=60.0)
    candidates, null = _candidates(scores, float(expit(-6 + 0.6 * height)))
    planted = SkyCoord(*pixel_to_sky(scores.wcs, *places.T), unit="deg")
    found = SkyCoord(candidates["ra_deg"], candidates["dec_deg"])
    nearest, separation, _ = found.match_to_catalog_sky(planted)
    assert len(set(nearest[separation.arcmin < 1.5])) > 250
    east, north = (angle.arcmin for angle in planted[nearest].spherical_offsets_to(found))
    for offset, name in ((east, "ra_error_arcmin"), (north, "dec_error_arcmin")):
        pull = (offset / candidates[name])[separation.arcmin < 1.5]
        assert 1.4826 * np.median(np.abs(pull)) == pytest.approx(1, abs=0.17)
        assert np.std(pull) == pytest.approx(1.1, abs=0.2)
    assert null.spread == pytest.approx(spread, rel=0.1)
    assert np.median(candidates["significance"]) == pytest.approx(height / spread, rel=0.15)


def test_errors_grow_with_the_noise():
    """To first order in it, where it is more than what whole pixels do."""
    errors = {}
    for spread in (0.4, 0.8):
        field = add_peaks(gaussian_field((120, 120), spread=spread, correlation_pixels=1.5) - 6, [(60, 60)], 10.0, 3.0)
        errors[spread] = float(_candidates(score_map(field), 0.9)[0]["dec_error_arcmin"][0])
    assert errors[0.8] == pytest.approx(2 * errors[0.4], rel=0.25)


@pytest.mark.parametrize("projection", ["TAN", "CAR"])
def test_extent_is_the_sigma_on_the_sky(projection):
    """A noiseless Gaussian peak; at dec 60 a column of a CAR map is half as wide as a row is high."""
    columns = 2.0 if projection == "CAR" else 1.0
    noise = gaussian_field((140, 140), spread=1e-3, correlation_pixels=1.0) - 6.0
    field = add_peaks(noise, [(70.3, 69.6)], 12.0, (3.0, 2.0 * columns))
    candidate = _candidates(score_map(field, dec_deg=60.0, projection=projection), 0.9)[0][0]
    assert candidate["extent_major_arcmin"] == pytest.approx(3.0 * GRID_ARCMIN, rel=0.03)
    assert candidate["extent_minor_arcmin"] == pytest.approx(2.0 * GRID_ARCMIN, rel=0.03)
    assert min(candidate["extent_angle_deg"], 180 - candidate["extent_angle_deg"]) < 3  # rows go north


def test_position_angle_goes_from_north_to_east():
    """A ridge from the south-east to the north-west: east is where columns fall."""
    y, x = np.mgrid[:101, :101] - 50.0
    along, across = (y + x) / np.sqrt(2), (y - x) / np.sqrt(2)
    field = gaussian_field((101, 101), spread=1e-3, correlation_pixels=1.0) - 6.0
    field += 12 * np.exp(-(along**2) / (2 * 4**2) - across**2 / (2 * 2**2))
    candidate = _candidates(score_map(field, dec_deg=0.0), 0.9)[0][0]
    assert candidate["extent_angle_deg"] == pytest.approx(135, abs=1.5)
    field = field[:, ::-1].copy()
    assert _candidates(score_map(field, dec_deg=0.0), 0.9)[0][0]["extent_angle_deg"] == pytest.approx(45, abs=1.5)


def test_flags_say_what_is_wrong():
    field = gaussian_field((120, 120), spread=0.3, correlation_pixels=1.0) - 6.0
    peaks = {"edge": (2, 60), "hole": (60, 60), "masked": (30, 30), "low": (90, 30), "good": (90, 90), "high": (30, 90)}
    add_peaks(field, peaks.values(), 12.0, 1.5)
    add_peaks(field, [peaks["high"]], 40.0, 1.5)
    field[60, 63] = np.nan
    valid = np.ones(field.shape, np.float32)
    valid[30, 30], valid[90, 30] = 0.95, 0.7
    candidates, _ = _candidates(score_map(field, valid_fraction=valid), 0.9)
    expected = {"edge": {"edge"}, "hole": {"edge"}, "masked": {"masked"}, "low": {"edge", "masked"}, "good": set(),
                "high": {"saturated"}}  # fmt: skip
    assert len(candidates) == len(peaks)
    for name, (y, x) in peaks.items():
        distance = np.hypot(candidates["score_y_pixels"] - y, candidates["score_x_pixels"] - x)
        value = int(candidates["flags"][np.argmin(distance)])
        assert {flag for flag, bit in BASE_FLAGS.items() if value & bit.bit} == expected[name], name


def test_two_in_one_are_blended():
    field = gaussian_field((80, 80), spread=0.3, correlation_pixels=1.0) - 6.0
    add_peaks(field, [(40, 35), (40, 40.5)], 10.0, 2.0)
    add_peaks(field, [(15, 60)], 10.0, 2.0)
    candidates, _ = _candidates(score_map(field), 0.9, separation=1.0)
    blended = np.asarray(candidates["flags"]) & BASE_FLAGS["blended"].bit > 0
    assert sorted(zip(candidates["score_y_pixels"], blended, strict=True)) == [(15, False), (40, True), (40, True)]


def test_none_found_has_all_columns():
    candidates, null = _candidates(score_map(gaussian_field((40, 40), spread=0.3, correlation_pixels=1.0) - 6), 0.9)
    assert len(candidates) == 0
    assert null.spread > 0
    assert {"significance", "ra_error_arcmin", "extent_angle_deg", "flags"} <= set(candidates.colnames)
