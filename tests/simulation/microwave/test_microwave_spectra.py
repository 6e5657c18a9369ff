"""Powers against the published numbers, drawn fields against their powers, painted points against their transform."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterjax.simulation.knobs import MicrowaveSky
from clusterjax.simulation.microwave import spectra
from clusterjax.simulation.microwave.bands import SURVEYS, beam_transform
from clusterjax.simulation.microwave.flat_sky import (
    PIXEL_RADIANS,
    GaussianField,
    deposit_transform,
    grid_ell,
    point_transform,
)


def d_ell(c_ell, ell):
    return c_ell * ell * (ell + 1) / (2 * np.pi)


def test_cmb_goes_through_its_table():
    ell = np.array([2.0, 220.0, 540.0, 1000.0, 3000.0, 10000.0])
    # CAMB's own values, not all of them knots of the spline
    expected = [1022, 5729, 2590, 1032.5, 28.03, 0.1024]
    np.testing.assert_allclose(d_ell(spectra.cmb_power(ell), ell), expected, rtol=0.03)


def test_foregrounds_at_their_pivot():
    """ACT DR6 at 150 GHz, ell 3000: tSZ 3.50, kSZ 0.99, CIB 7.65 and 3.81, radio 2.89, dust 7.97 at ell 500."""
    ell = np.array([3000.0])
    total = d_ell(spectra.foreground_power(np.array([150.0]), ell)[0, 0, 0], 3000.0)
    assert total == pytest.approx(3.50 + 0.99 + 7.65 + 3.81 + 2.89 + 7.97 * 6**-0.6, rel=1e-6)
    bare = spectra.foreground_power(np.array([150.0]), ell, tsz_scale=0.0, radio_scale=0.0, dust_scale=0.0)
    assert d_ell(bare[0, 0, 0], 3000.0) == pytest.approx(0.99 + 7.65 + 3.81, rel=1e-6)


def test_correlated_sz_and_infrared():
    """At 150 GHz, ell 3000, xi = 0.064 takes 2 xi sqrt(3.50 x 3.81) away; above the null it adds."""
    nu, ell = np.array([97.8, 150.0, 250.0]), np.array([300.0, 3000.0, 20_000.0])
    plain, correlated = (spectra.foreground_power(nu, ell, tsz_cib_correlation=xi) for xi in (0.0, 0.064))
    change = d_ell(correlated - plain, ell[:, None, None])
    assert change[1, 1, 1] == pytest.approx(-2 * 0.064 * np.sqrt(3.50 * 3.81), rel=1e-6)
    assert (change[:, 2, 2] > 0).all()
    assert np.linalg.eigvalsh(spectra.foreground_power(nu, ell, tsz_cib_correlation=1.0)).min() > 0
    np.testing.assert_array_equal(
        spectra.foreground_power(nu, ell, tsz_scale=0.0, tsz_cib_correlation=0.064),
        spectra.foreground_power(nu, ell, tsz_scale=0.0),
    )
    sky = MicrowaveSky(tsz_cib_correlation=0.064)
    assert (spectra.map_covariance(sky, ell)[:, 1, 1] < spectra.map_covariance(MicrowaveSky(), ell)[:, 1, 1]).all()


def test_thermal_sz_and_radio_fall_with_frequency_and_dust_rises():
    nu, ell = np.array(SURVEYS["act_dr6"].frequency_ghz), np.array([3000.0])
    parts = {
        "tsz": {"radio_scale": 0.0, "dust_scale": 0.0},
        "radio": {"tsz_scale": 0.0, "dust_scale": 0.0},
        "dust": {"tsz_scale": 0.0, "radio_scale": 0.0},
    }
    bare = spectra.foreground_power(nu, ell, tsz_scale=0.0, radio_scale=0.0, dust_scale=0.0)[0]
    auto = {name: np.diag(spectra.foreground_power(nu, ell, **kwargs)[0] - bare) for name, kwargs in parts.items()}
    assert auto["tsz"][0] > auto["tsz"][1] > 1000 * auto["tsz"][2]
    assert auto["radio"][0] > auto["radio"][1] > auto["radio"][2]
    assert auto["dust"][0] < auto["dust"][1] < auto["dust"][2]


@pytest.mark.parametrize("one_over_f", [False, True])
def test_a_drawn_field_has_the_power_that_was_asked_for(one_over_f):
    sky = MicrowaveSky(one_over_f=one_over_f)
    field = GaussianField(functools.partial(spectra.map_covariance, sky), (192, 192))
    rng = np.random.default_rng(1)
    ell = grid_ell(field.padded)
    total = 0
    for _ in range(12):
        modes = field.draw_transform(rng)
        total = total + np.einsum("iyx,jyx->yxij", modes, modes.conj()).real
    measured = total / 12 * PIXEL_RADIANS**2 / np.prod(field.padded)
    for low, high in ((400, 800), (1500, 2500), (5000, 7000), (12000, 15000)):
        ring = (ell > low) & (ell < high)
        ratio = measured[ring].mean(axis=0) / spectra.map_covariance(sky, ell[ring]).mean(axis=0)
        tolerance = 6 / np.sqrt(12 * ring.sum())
        np.testing.assert_allclose(np.diag(ratio), 1, atol=tolerance)


def test_long_waves_make_up_for_what_a_small_grid_cannot_hold():
    """The variance of a pixel is that of all waves, long ones included; a large grid holds most of them itself."""
    sky = MicrowaveSky(noise_scale=1e-3)
    rng = np.random.default_rng(2)

    def variance(size, draws):
        field = GaussianField(functools.partial(spectra.map_covariance, sky), (size, size))
        maps = (field.cut(field.draw_transform(rng)) + field.draw_long_waves(rng) for _ in range(draws))
        return np.mean([np.mean(one[1] ** 2) for one in maps])

    ell = np.arange(2.0, 21600.0)
    # Those longer than 8 deg are missing: they are a constant over any cutout.
    expected = np.trapezoid(ell / (2 * np.pi) * spectra.map_covariance(sky, ell)[:, 1, 1], ell)
    lost = np.trapezoid((ell / (2 * np.pi) * spectra.map_covariance(sky, ell)[:, 1, 1])[:40], ell[:40])
    assert variance(64, 400) == pytest.approx(expected - lost, rel=0.2)
    assert variance(512, 12) == pytest.approx(expected - lost, rel=0.3)


@settings(max_examples=20, deadline=None)
@given(st.floats(-0.5, 63.49), st.floats(-0.5, 63.49))
def test_a_point_between_pixels_is_painted_where_it_is(y, x):
    """Through a beam, alone or with others, against the beam's own Gaussian at the distance of each pixel."""
    survey, shape = SURVEYS["act_dr5"], (64, 64)
    beam = beam_transform(survey, grid_ell(shape))[..., 1]
    alone = np.fft.irfft2(point_transform(y, x, shape) * beam, s=shape)
    image = np.fft.irfft2(deposit_transform(np.array([y]), np.array([x]), np.ones((1, 1)), shape)[0] * beam, s=shape)
    np.testing.assert_allclose(image, alone, atol=4e-3 * alone.max())
    offsets = [(np.arange(64) - centre + 32) % 64 - 32 for centre in (y, x)]
    sigma = survey.beam_fwhm_arcmin[1] / np.sqrt(8 * np.log(2)) / 0.5
    distance2 = offsets[0][:, None] ** 2 + offsets[1][None, :] ** 2
    expected = np.exp(-0.5 * distance2 / sigma**2) / (2 * np.pi * sigma**2)
    np.testing.assert_allclose(image, expected, atol=4e-3 * expected.max())
