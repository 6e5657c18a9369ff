import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterjax.search.significance import NullDistribution, fit_null, null_autocorrelation
from tests.search.score_maps import add_peaks, gaussian_field


@settings(deadline=None, max_examples=20)
@given(centre=st.floats(-8, 3), spread=st.floats(0.1, 3), seed=st.integers(0, 10**6), holes=st.floats(0, 0.9))
def test_a_gaussian_field_gives_its_own_mean_and_sigma(centre, spread, seed, holes):
    rng = np.random.default_rng(seed)
    field = rng.normal(centre, spread, (200, 200))
    field[rng.random(field.shape) < holes] = np.nan
    null = fit_null(field)
    # Errors of the median and of the difference of quantiles, of 4000 values or more, five times.
    assert null.centre == pytest.approx(centre, abs=0.1 * spread)
    assert null.spread == pytest.approx(spread, rel=0.13)
    assert null.asymmetry == pytest.approx(1, abs=0.2)
    assert null.significance(centre + 5 * spread) == pytest.approx(5, rel=0.2)


def test_what_stands_out_is_not_in_the_null():
    """A planted peak of known height over known noise has the significance that it was given."""
    field = gaussian_field((400, 400), spread=0.8, correlation_pixels=1.2) - 5.0
    without = fit_null(field)
    peaks = [(y, x) for y in range(20, 400, 60) for x in range(20, 400, 60)]
    with_peaks = fit_null(add_peaks(field, peaks, 12.0, 2.0))
    # 49 peaks with 63 pixels each above a spread: 1.9 % of the map.
    assert with_peaks.centre - without.centre == pytest.approx(1.25 * 0.019 * 0.8, rel=0.6)
    assert with_peaks.spread == pytest.approx(without.spread, rel=0.03)
    assert with_peaks.significance(-5.0 + 12.0) == pytest.approx(15, rel=0.05)


def test_asymmetry_tells_of_a_heavier_upper_half():
    rng = np.random.default_rng(2)
    assert fit_null(rng.gumbel(0, 1, (300, 300))).asymmetry == pytest.approx(1.394, abs=0.05)  # of its quantiles
    assert fit_null(-rng.gumbel(0, 1, (300, 300))).asymmetry == pytest.approx(1 / 1.394, abs=0.03)


def test_a_map_at_its_limit_has_no_significance():
    field = np.full((50, 50), -16.0)
    field[:10] = 3.0
    null = fit_null(field)
    assert null.spread == 0
    assert np.isnan(null.significance([3.0, -16.0])).all()


def test_correlation_is_that_of_the_smoothing():
    """White noise through a Gaussian of sigma s is correlated as exp(-d^2 / 4 s^2); holes and peaks change nothing."""
    field = gaussian_field((600, 500), spread=2.0, correlation_pixels=1.5, seed=4) + 1.0
    assert field.std() == pytest.approx(2.0, rel=0.03)  # the field is what the closed form says
    field = add_peaks(field, [(100, 100), (300, 200)], 40.0, 3.0)
    field[np.random.default_rng(1).random(field.shape) < 0.2] = np.nan
    correlation = null_autocorrelation(field, fit_null(field), 5)
    y, x = np.mgrid[-5:6, -5:6]
    np.testing.assert_allclose(correlation, np.exp(-(y**2 + x**2) / (4 * 1.5**2)), atol=0.05)
    assert correlation[5, 5] == 1
    np.testing.assert_allclose(correlation, correlation[::-1, ::-1], atol=1e-9)


def test_correlation_of_nothing():
    flat = null_autocorrelation(np.full((40, 40), -16.0), NullDistribution(-16.0, 0.0, np.nan), 2)
    assert (flat == 0).all()
