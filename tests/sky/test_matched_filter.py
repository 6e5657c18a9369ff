"""The filter against closed forms for white noise, and against a least-squares fit done by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterjax.sky.matched_filter import MatchedFilter

PIXEL = 1e-4  # radians
SIGMA = 2.5 * PIXEL  # of the Gaussian profile
ELL = np.linspace(0, np.sqrt(2) * np.pi / PIXEL, 4000)


def gaussian_filter(noise=(1.0,), response=(1.0,)):
    """For Gaussian profiles of unit peak times ``response``, in white noise of ``noise`` per pixel in each band."""
    profile = 2 * np.pi * SIGMA**2 * np.exp(-0.5 * (ELL * SIGMA) ** 2)
    power = np.square(noise) * PIXEL**2
    covariance = np.broadcast_to(np.diag(power), (len(ELL), len(noise), len(noise)))
    return MatchedFilter(ELL, profile[:, None] * np.array(response), covariance, PIXEL)


def bump(y, x, shape=(64, 80)):
    distance2 = (np.arange(shape[0])[:, None] - y) ** 2 + (np.arange(shape[1])[None, :] - x) ** 2
    return np.exp(-0.5 * distance2 * (PIXEL / SIGMA) ** 2)


def test_noise_of_the_amplitude():
    """In white noise sigma^2 = noise^2 / sum of the squared profile = noise^2 / (pi s^2), s in pixels."""
    assert gaussian_filter((3.0,)).sigma == pytest.approx(3.0 / np.sqrt(np.pi * 2.5**2), rel=1e-4)


@settings(max_examples=15, deadline=None)
@given(st.floats(20, 44), st.floats(20, 60), st.floats(0.5, 50))
def test_amplitude_and_place(y, x, amplitude):
    find = gaussian_filter((2.0,))
    snr = find(amplitude * bump(y, x)[..., None])
    peak = np.unravel_index(np.argmax(snr), snr.shape)
    assert np.hypot(peak[0] - y, peak[1] - x) <= 0.75
    # At a pixel d from the centre the profile overlaps with itself by exp(-d^2 / 4 s^2).
    offset2 = (round(y) - y) ** 2 + (round(x) - x) ** 2
    expected = amplitude / find.sigma * np.exp(-offset2 / (4 * 2.5**2))
    assert snr[round(y), round(x)] == pytest.approx(expected, rel=0.03)


def test_two_bands_are_the_least_squares_fit():
    """Independent white bands: weights of response / noise^2, as for any linear fit."""
    rng = np.random.default_rng(0)
    noise, response = np.array([1.0, 3.0]), np.array([1.0, -2.0])
    maps = rng.normal(size=(64, 80, 2)) * noise + 4 * bump(30, 40)[..., None] * response
    maps -= maps.mean(axis=(0, 1))
    template = bump(30, 40)[..., None] * response
    template -= template.mean(axis=(0, 1))
    weight = template / noise**2
    amplitude = np.sum(weight * maps) / np.sum(weight * template)
    error = np.sum(weight * template) ** -0.5
    assert gaussian_filter(noise, response)(maps)[30, 40] == pytest.approx(amplitude / error, rel=0.01)


def test_unit_variance_on_noise():
    snr = gaussian_filter((2.0,))(2.0 * np.random.default_rng(1).normal(size=(6, 128, 128, 1)))
    assert snr.shape == (6, 128, 128)
    assert np.std(snr) == pytest.approx(1, abs=0.03)


def test_a_zero_point_a_gradient_and_gaps_are_no_signal():
    find = gaussian_filter()
    y, x = np.indices((64, 80))
    plain = bump(32, 40)[..., None]
    np.testing.assert_allclose(find(plain + 1e3), find(plain), atol=0.02)
    # A periodic grid would make a step of 80 at the edge; mirrored, a slope stays below its own steepness.
    slope = np.diff(find(0.1 * (y + x)[..., None]), axis=1)
    np.testing.assert_allclose(slope[32, 20:60], 0.1 * np.sum(bump(32, 40)) / np.sqrt(np.pi * 2.5**2), rtol=0.01)
    assert slope.max() < 1.02 * slope[32, 40]
    assert slope.min() > -0.02 * slope[32, 40]
    holes = plain.copy()
    holes[:8] = np.nan
    np.testing.assert_allclose(find(holes)[20:], find(plain)[20:], atol=0.02)
    np.testing.assert_array_equal(find(np.full((16, 16, 1), np.nan)), 0)


def test_a_map_smaller_than_the_mirror():
    assert gaussian_filter()(np.zeros((5, 7, 1))).shape == (5, 7)
