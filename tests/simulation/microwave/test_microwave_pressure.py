"""The pressure profile: published integrals and amplitudes, and its projection by brute force."""

import astropy.constants as const
import astropy.units as u
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import j0

from clusterjax.simulation.cosmology import theta500_arcmin
from clusterjax.simulation.microwave import pressure
from clusterjax.simulation.microwave.bands import ARCMIN


def test_published_integrals():
    """Arnaud et al. (2010), eq. 18: I(1) = 0.6145, I(5) = 1.1037."""
    assert pressure.volume_integral(1.0) == pytest.approx(0.6145, rel=1e-3)
    assert pressure.volume_integral(5.0) == pytest.approx(1.1037, rel=1e-3)


@pytest.mark.parametrize(("redshift", "y0"), [(0.5, 7.7e-5), (1.0, 1.39e-4)])
def test_central_compton_y(redshift, y0):
    """Of 3e14 Msun, at 0.02 theta500."""
    angle = 0.02 * theta500_arcmin(3e14, redshift)
    assert pressure.compton_y(angle, 3e14, redshift) == pytest.approx(y0, rel=0.01)


def test_amplitude_in_units():
    """sigma_T / (m_e c^2) P500 R500 with astropy's constants."""
    cross_section = (const.sigma_T / (const.m_e * const.c**2)).to_value(u.cm**3 / u.keV / u.Mpc)
    expected = cross_section * pressure.pressure_500(5e14, 0.4) * pressure.r500_mpc(5e14, 0.4)
    assert pressure.amplitude(5e14, 0.4) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("impact", [0.01, 0.1, 0.5, 1.0, 3.0])
def test_projection(impact):
    end = np.sqrt(25 - impact**2)
    expected, _ = quad(lambda z: 2 * pressure.universal_pressure(np.hypot(z, impact)), 0, end, limit=200)
    assert pressure.projected_pressure(impact) == pytest.approx(expected, rel=2e-3)


def test_nothing_beyond_five_radii():
    np.testing.assert_array_equal(pressure.projected_pressure(np.array([5.0, 7.0])), 0)


@pytest.mark.parametrize("k", [0.0, 0.5, 3.0, 20.0])
def test_transform_is_that_of_the_projection(k):
    """By the Hankel transform of the projected profile."""
    x = np.concatenate([[1e-6], np.geomspace(1e-3, 5, 20_000)])
    expected = 2 * np.pi * np.trapezoid(pressure.projected_pressure(x) * j0(k * x) * x, x)
    assert pressure.transform_of_profile(k) == pytest.approx(expected, rel=4e-3)


def test_transform_at_zero_is_the_integrated_signal():
    """Y within 5 R500 times D_A^-2: 4 pi / 3 R500^3 P500 I(5) sigma_T / (m_e c^2)."""
    theta = theta500_arcmin(4e14, 0.3) * ARCMIN
    expected = 4 * np.pi / 3 * pressure.volume_integral(5.0) * pressure.amplitude(4e14, 0.3) * theta**2
    assert pressure.compton_y_transform(np.array(0.0), 4e14, 0.3) == pytest.approx(expected, rel=1e-4)
