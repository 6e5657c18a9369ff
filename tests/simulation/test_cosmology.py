import astropy.units as u
import numpy as np
import pytest
from astropy.cosmology import FlatLambdaCDM

from clusterjax.simulation.cosmology import (
    angular_diameter_distance_mpc,
    distance_modulus,
    r500_mpc,
    theta500_arcmin,
)

ASTROPY = FlatLambdaCDM(H0=70, Om0=0.3, Tcmb0=0)
REDSHIFT = np.array([0.03, 0.1, 0.5, 1.0, 1.75, 2.9])


def test_distances_are_those_of_astropy():
    expected = ASTROPY.angular_diameter_distance(REDSHIFT).to_value(u.Mpc)
    np.testing.assert_allclose(angular_diameter_distance_mpc(REDSHIFT), expected, rtol=1e-5)
    np.testing.assert_allclose(distance_modulus(REDSHIFT), ASTROPY.distmod(REDSHIFT).value, atol=5e-5)


def test_r500_encloses_500_times_astropys_critical_density():
    mass = np.geomspace(5e12, 1.5e15, len(REDSHIFT))
    volume = 4 / 3 * np.pi * (r500_mpc(mass, REDSHIFT) * u.Mpc) ** 3
    ratio = (mass * u.Msun / volume / ASTROPY.critical_density(REDSHIFT)).to_value("")
    np.testing.assert_allclose(ratio, 500, rtol=2e-4)


@pytest.mark.parametrize(
    ("redshift", "mpc", "arcmin"), [(0.2, 0.95, 4.81), (0.5, 0.85, 2.32), (1.0, 0.70, 1.45), (1.5, 0.58, 1.14)]
)
def test_size_of_a_cluster_of_3e14(redshift, mpc, arcmin):
    mass, z = np.array([3e14]), np.array([redshift])
    assert r500_mpc(mass, z)[0] == pytest.approx(mpc, abs=0.006)
    assert theta500_arcmin(mass, z)[0] == pytest.approx(arcmin, abs=0.01)
