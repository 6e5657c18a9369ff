"""Battaglia's pressure profile: masses, units and closed forms, its projection by brute force, and beside Arnaud's."""

import astropy.constants as const
import astropy.units as u
import numpy as np
import pytest
from astropy.cosmology import FlatLambdaCDM
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import j0

from clusterjax.errors import InputError
from clusterjax.simulation.cosmology import r500_mpc
from clusterjax.simulation.haloes import Haloes
from clusterjax.simulation.knobs import MicrowaveSky
from clusterjax.simulation.microwave import battaglia, profiles
from clusterjax.simulation.microwave.bands import ARCMIN
from clusterjax.simulation.microwave.flat_sky import PIXEL_RADIANS, grid_ell, point_transform
from clusterjax.simulation.microwave.likelihood import cluster_signals
from clusterjax.simulation.microwave.painting import paint_haloes
from clusterjax.simulation.microwave.pressure import pressure_500, universal_pressure

COSMOLOGY = FlatLambdaCDM(H0=70, Om0=0.3)


@pytest.mark.parametrize(("mass", "redshift"), [(1e14, 0.1), (5e14, 0.6), (1e15, 1.5)])
def test_mass_within_r200(mass, redshift):
    """Of an NFW profile with Duffy's concentration, the mass within the radius of 500 times the critical density."""
    m200 = float(battaglia.m200c_msun(mass, redshift))
    c = 5.71 * (m200 * 0.7 / 2e12) ** -0.084 * (1 + redshift) ** -0.47

    def inside(x):  # of R200, in M200
        return (np.log1p(c * x) - c * x / (1 + c * x)) / (np.log1p(c) - c / (1 + c))

    x500 = brentq(lambda x: inside(x) / x**3 - 2.5, 0.1, 1.0)
    assert m200 * inside(x500) == pytest.approx(mass, rel=1e-5)


def test_pressure_written_out_with_astropys_units():
    """Eqs. 9 to 11 at 0.3 Mpc, of 3e14 Msun at z = 0.5."""
    mass, z = 3e14, 0.5
    m200 = float(battaglia.m200c_msun(mass, z))
    density = COSMOLOGY.critical_density(z)
    r200 = ((3 * m200 * u.Msun / (4 * np.pi * 200 * density)) ** (1 / 3)).to(u.Mpc)
    p200 = (const.G * m200 * u.Msun * 200 * density * 0.157 / (2 * r200)).to_value(u.keV / u.cm**3)
    m14, x = m200 / 1e14, 0.3 / r200.value
    p0 = 18.1 * m14**0.154 * 1.5**-0.758
    xc, beta = 0.497 * m14**-0.00865 * 1.5**0.731, 4.35 * m14**0.0393 * 1.5**0.415
    expected = p200 * p0 / 1.932 * (x / xc) ** -0.3 * (1 + x / xc) ** -beta
    assert battaglia.electron_pressure(0.3, mass, z) == pytest.approx(expected, rel=1e-3)
    assert battaglia.electron_pressure(8.1 * xc * r200.value, mass, z) == 0


@pytest.mark.parametrize(("mass", "redshift"), [(2e14, 0.2), (3e14, 0.5), (6e14, 1.2)])
def test_transform_is_that_of_the_projected_pressure(mass, redshift):
    """y along the line of sight by the trapezoidal rule, then its Hankel transform; at 0 the whole signal."""
    distance = COSMOLOGY.angular_diameter_distance(redshift).value
    _, angle, _ = battaglia.total_signal(mass, redshift)
    edge = battaglia.U_MAX * float(angle) * distance
    cross_section = (const.sigma_T / (const.m_e * const.c**2)).to_value(u.cm**3 / u.keV / u.Mpc)
    radius = np.geomspace(1e-4, 0.99999, 160) * edge
    # Along the line of sight l = r sinh t: dense where the profile is steep.
    t = np.linspace(0, 1, 1500)[:, None] * np.arccosh(edge / radius)
    on_line = battaglia.electron_pressure(radius * np.cosh(t), mass, redshift)
    y = 2 * np.trapezoid(on_line * radius * np.cosh(t), t, axis=0)
    fine = np.geomspace(radius[0], radius[-1], 20_000)
    y = np.exp(np.interp(np.log(fine), np.log(radius), np.log(y))) * cross_section
    for ell in (0.0, 1000.0, 4000.0, 10_000.0):
        expected = 2 * np.pi * np.trapezoid(y * j0(ell * fine / distance) * fine, fine) / distance**2
        found = profiles.compton_y_transform(np.float64(ell), mass, redshift, profile="battaglia")
        assert found == pytest.approx(expected, rel=0.01)


def test_volume_integral():
    for slope in (4.0, 5.5, 7.0):
        expected, _ = quad(lambda x, b=slope: 4 * np.pi * x**1.7 * (1 + x) ** -b, 0, battaglia.U_MAX)
        assert battaglia.volume_integral(slope) == pytest.approx(expected, rel=1e-6)
        assert battaglia.unit_transform(0.0, slope) == pytest.approx(1)


def test_signal_within_r500_is_near_arnauds():
    """Of the same true mass, with a hydrostatic bias of 0.85 in Arnaud's: within 15 % from 3e14 to 1e15 Msun."""
    share = np.linspace(1e-4, 1, 4000)
    for mass, redshift in ((3e14, 0.1), (3e14, 0.5), (1e15, 0.5)):
        signals = []
        for profile, within in ((battaglia.electron_pressure, mass), (arnaud_pressure, 0.85 * mass)):
            radius = share * r500_mpc(within, redshift)
            signals.append(np.trapezoid(radius**2 * profile(radius, within, redshift), radius))
        assert signals[0] / signals[1] == pytest.approx(1, abs=0.15)


def arnaud_pressure(radius_mpc, mass, redshift):
    return pressure_500(mass, redshift) * universal_pressure(radius_mpc / r500_mpc(mass, redshift))


def test_painted_haloes_are_their_own_transforms():
    """Three haloes of other sizes and shapes on one grid, each within 2 % of the signal at a cluster's scales."""
    sky = MicrowaveSky(profile="battaglia", mass_ratio=1.0, scatter_ln=0.0)
    haloes = Haloes(np.array([2e14, 5e14, 9e14]), np.array([0.3, 0.9, 1.4]))
    y, x = np.array([20.0, 60.3, 90.0]), np.array([30.0, 80.0, 25.5])
    grid = (120, 128)
    painted = paint_haloes(np.random.default_rng(0), sky, haloes, y, x, grid, pixel_radians=PIXEL_RADIANS)
    ell = grid_ell(grid)
    expected = sum(
        profiles.compton_y_transform(ell, mass, z, profile="battaglia") / PIXEL_RADIANS**2 * point_transform(a, b, grid)
        for mass, z, a, b in zip(*haloes, y, x, strict=True)
    )
    low = ell < 6000
    assert np.abs(painted - expected)[low].max() < 0.02 * np.abs(expected).max()


def test_the_sky_by_its_knob():
    """Clusters of the other profile, and templates and amplitudes with it."""
    with pytest.raises(InputError, match=r"microwave.profile='nfw' is unknown; use one of arnaud, battaglia"):
        profiles.halo_signal("nfw", 1e14, 0.5)
    arnaud, other = (cluster_signals(MicrowaveSky(profile=name), 16) for name in profiles.PROFILES)
    assert not np.allclose(arnaud[1], other[1], rtol=0.02)
    assert arnaud[0].shape == other[0].shape
    total, angle, _ = profiles.halo_signal("arnaud", 3e14, 0.5)
    assert angle == pytest.approx(2.32 * ARCMIN, rel=0.01)
    assert profiles.compton_y_transform(np.zeros(1), 3e14, 0.5, profile="arnaud")[0] == pytest.approx(total)
