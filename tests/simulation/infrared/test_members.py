import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from clusterjax.simulation.cosmology import theta500_arcmin
from clusterjax.simulation.haloes import Haloes
from clusterjax.simulation.infrared.members import (
    characteristic_w1,
    luminosity_fraction,
    richness_n500,
    sample_members,
)

CONCENTRATION_500 = 2.9 / 1.5  # of galaxies: Lin et al. (2004), c200 = 2.9


def nfw(x):
    return np.log1p(x) - x / (1 + x)


def many(mass, redshift, number):
    return Haloes(np.full(number, mass), np.full(number, redshift))


@pytest.mark.parametrize(
    ("redshift", "w1"),
    [(0.1, 13.70), (0.2, 14.89), (0.3, 15.49), (0.5, 16.13), (0.75, 16.56), (1.0, 16.87), (1.25, 17.15), (1.5, 17.40)],
)
def test_characteristic_magnitude(redshift, w1):
    assert characteristic_w1(np.array([redshift]))[0] == pytest.approx(w1, abs=0.01)


def test_shape_of_the_luminosity_function():
    """N(> 0.4 L*) / N500 = 0.371 and N(> L*) / N500 = 0.128 (Lin et al. 2004)."""
    fractions = luminosity_fraction(np.array([0.4, 1.0]))
    np.testing.assert_allclose(fractions, [0.371, 0.128], atol=0.001)
    exact = scipy.integrate.quad(lambda x: x**-0.84 * np.exp(-x), 0.1, np.inf)[0]
    exact /= scipy.integrate.quad(lambda x: x**-0.84 * np.exp(-x), 0.0619, np.inf)[0]
    assert luminosity_fraction(np.array([0.1]))[0] == pytest.approx(exact, rel=1e-3)


def test_number_of_members_within_r500():
    mass, redshift, number = 2.7e14, 0.3, 4000
    assert richness_n500(np.array([mass]))[0] == pytest.approx(56)
    members = sample_members(np.random.default_rng(0), many(mass, redshift, number), pixel_scale_arcsec=2.75)
    bright = members.w1_mag[number:] < characteristic_w1(np.array([redshift]))[0] - 2.5 * np.log10(0.4)
    # All members, of a log-normal richness, out to 2 R500; BCGs come first and are not counted among them
    expected = 56 * 0.371 * np.exp(0.25**2 / 2) * nfw(2 * CONCENTRATION_500) / nfw(CONCENTRATION_500)
    assert bright.sum() / number == pytest.approx(expected, rel=0.02)
    per_halo = np.bincount(members.halo[number:], minlength=number)
    assert per_halo.std() / per_halo.mean() == pytest.approx(np.hypot(0.2540, per_halo.mean() ** -0.5), rel=0.05)


def test_members_follow_a_projected_nfw_profile():
    mass, redshift = 5e14, 0.5
    members = sample_members(np.random.default_rng(1), many(mass, redshift, 1000), pixel_scale_arcsec=2.75)
    dy, dx = members.dy_pixels[1000:], members.dx_pixels[1000:]
    r500_pixels = theta500_arcmin(np.array([mass]), np.array([redshift]))[0] * 60 / 2.75
    distance = np.hypot(dy, dx) / r500_pixels

    def density(r):  # members in a shell
        return r / (1 + CONCENTRATION_500 * r) ** 2

    def below(radius):
        """The share of a sphere of 2 R500 within a cylinder: what lies inside it, and parts of the shells beyond."""
        inside = scipy.integrate.quad(density, 0, radius)[0]
        beyond = scipy.integrate.quad(lambda r: density(r) * (1 - np.sqrt(1 - (radius / r) ** 2)), radius, 2)[0]
        return (inside + beyond) / scipy.integrate.quad(density, 0, 2)[0]

    for radius in (0.2, 0.5, 1.0, 1.5):
        assert np.mean(distance < radius) == pytest.approx(below(radius), abs=0.006)
    angle = np.arctan2(dy, dx)
    assert scipy.stats.kstest(angle, scipy.stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 1e-3


def test_brightest_galaxy():
    mass, redshift, number = 3e14, 0.7, 5000
    members = sample_members(np.random.default_rng(2), many(mass, redshift, number), pixel_scale_arcsec=2.75)
    np.testing.assert_array_equal(members.halo[:number], np.arange(number))
    bcg = members.w1_mag[:number]
    assert bcg.mean() == pytest.approx(characteristic_w1(np.array([redshift]))[0] - 1.3, abs=0.02)
    assert bcg.std() == pytest.approx(0.35, rel=0.05)
    assert members.dy_pixels[:number].std() == pytest.approx(1, rel=0.05)


def test_one_call_for_many_haloes_keeps_them_apart():
    haloes = Haloes(np.array([1e15, 5e12, 4e14]), np.array([0.2, 0.6, 1.4]))
    members = sample_members(np.random.default_rng(3), haloes, pixel_scale_arcsec=2.75)
    np.testing.assert_array_equal(members.redshift, haloes.redshift[members.halo])
    number = np.bincount(members.halo)
    assert number[0] > number[2] > number[1] >= 1
    limit = 2 * theta500_arcmin(*haloes) * 60 / 2.75
    assert (np.hypot(members.dy_pixels, members.dx_pixels) <= limit[members.halo] + 6).all()
    assert members.w1_mag.max() <= 20.5 + 2


def test_no_haloes_have_no_members():
    nothing = np.empty(0)
    assert len(sample_members(np.random.default_rng(4), Haloes(nothing, nothing), pixel_scale_arcsec=2.75).halo) == 0
