"""Conversions against astropy and published numbers; beams and noise against their definitions."""

import astropy.units as u
import numpy as np
import pytest
from astropy.modeling.physical_models import BlackBody
from hypothesis import given
from hypothesis import strategies as st

from clusterjax.errors import InputError
from clusterjax.simulation.knobs import MicrowaveSky
from clusterjax.simulation.microwave import bands
from clusterjax.simulation.microwave.bands import SURVEYS, survey_of


def test_thermal_sz_factor():
    """Effective frequencies of ACT DR6, round ones, and the null at 217.5 GHz."""
    frequencies = np.array([98.0, 150.0, 220.0, 97.8, 149.6, 216.5])
    expected = [-1.5267, -0.9533, 0.0383, -1.5285, -0.9584, -0.0154]
    np.testing.assert_allclose(bands.sz_factor(frequencies), expected, atol=1e-4)
    assert bands.sz_factor(217.4) < 0 < bands.sz_factor(217.6)
    uk = bands.sz_uk_per_y(SURVEYS["act_dr6"]) * 1e-4
    np.testing.assert_allclose(uk, [-416.6, -261.2, -4.2], atol=0.05)


@given(st.floats(20, 900))
def test_intensity_per_temperature_is_the_black_bodys_slope(frequency_ghz):
    step = 1e-3
    low, high = (BlackBody(temperature=(bands.T_CMB_K + d) * u.K) for d in (-step, step))
    slope = (high(frequency_ghz * u.GHz) - low(frequency_ghz * u.GHz)) / (2 * step * 1e6)
    expected = slope.to_value(u.Jy / u.sr)
    assert bands.intensity_per_uk(frequency_ghz) == pytest.approx(expected, rel=2e-5)


def test_flux_to_temperature():
    """1 mJy = 51.2, 29.7, 24.4 µK arcmin² in ACT's bands."""
    survey = SURVEYS["act_dr6"]
    per_arcmin2 = bands.uk_sr_per_mjy(np.array(survey.frequency_ghz)) / bands.ARCMIN**2
    np.testing.assert_allclose(per_arcmin2, [51.2, 29.7, 24.4], atol=0.06)


def test_spectra_are_one_at_their_reference():
    assert bands.power_law_spectrum(150.0, -2.757) == pytest.approx(1)
    assert bands.dust_spectrum(220.0, 1.8, 9.6, reference_ghz=220.0) == pytest.approx(1)
    # A Rayleigh-Jeans temperature of nu^-2.757 is a flux of nu^-0.757.
    nu = np.array([98.0, 220.0])
    flux = bands.power_law_spectrum(nu, -2.757) * bands.intensity_per_uk(nu) / bands.intensity_per_uk(150.0)
    np.testing.assert_allclose(flux, (nu / 150) ** -0.757, rtol=1e-10)


def test_beam_is_the_transform_of_a_gaussian():
    """By its definition: the 2-d transform of a unit Gaussian of that full width at half maximum."""
    survey = SURVEYS["act_dr5"]
    offset = (np.arange(512) - 256) * 0.1 * bands.ARCMIN
    for band, fwhm in enumerate(survey.beam_fwhm_arcmin):
        profile = 0.5 ** ((2 * offset / (fwhm * bands.ARCMIN)) ** 2)
        profile /= profile.sum()
        for ell in (0.0, 2000.0, 6000.0):
            expected = np.sum(profile * np.cos(ell * offset))
            assert bands.beam_transform(survey, np.array(ell))[band] == pytest.approx(expected, rel=1e-3)


def test_white_noise_is_that_of_the_survey():
    survey = SURVEYS["act_dr5"]
    power = bands.noise_power(survey, np.array([500.0, 9000.0]), one_over_f=False)
    per_pixel = np.sqrt(power / (0.5 * bands.ARCMIN) ** 2)  # a pixel of 0.5 arcmin: noise / 0.5
    np.testing.assert_allclose(per_pixel, [[50.0, 50.0, 160.0]] * 2, rtol=1e-12)


def test_noise_rises_to_low_ell_until_plancks_takes_over():
    survey = SURVEYS["act_dr6"]
    ell = np.array([200.0, 6000.0, 20000.0])
    power = bands.noise_power(survey, ell, one_over_f=True)
    white = (np.array(survey.noise_uk_arcmin) * bands.ARCMIN) ** 2
    assert power[2] == pytest.approx(white * (1 + (np.array(survey.knee_ell) / 20000) ** 3), rel=1e-3)
    assert power[1] == pytest.approx(white * (1 + (np.array(survey.knee_ell) / 6000) ** 3), rel=0.02)
    planck = (np.array(survey.companion.noise_uk_arcmin) * bands.ARCMIN) ** 2
    assert (power[0] < planck * 1.3).all()
    assert (power[0] > planck / 2).all()


def test_unknown_survey():
    with pytest.raises(InputError, match=r"microwave\.survey='act' is unknown; use one of act_dr5, act_dr6, planck"):
        survey_of(MicrowaveSky(survey="act"))
