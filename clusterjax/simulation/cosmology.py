"""Distances and angular sizes in the mocks' cosmology: flat LCDM, H0 = 70 km/s/Mpc, Om0 = 0.3.

The infrared recipes (m*, richness) are tied to this cosmology; halo counts are Planck18 and come as tables. Tabulated
once to z = 3, because a cutout asks for hundreds of distances and ``astropy.cosmology`` costs a millisecond a call.
"""

import numpy as np
from jaxtyping import Float

Values = Float[np.ndarray, "..."] | float  # arrays that broadcast, or one number

H0_KM_S_MPC = 70.0
OMEGA_M = 0.3
REDSHIFT_LIMIT = 3.0

_SPEED_OF_LIGHT_KM_S = 299792.458
_CRITICAL_DENSITY = 2.7753662e11 * (H0_KM_S_MPC / 100) ** 2  # at z = 0, Msun per Mpc^3: 3 H0^2 / (8 pi G)
_ARCMIN_PER_RADIAN = 180 * 60 / np.pi


def _comoving_distance_table() -> tuple[np.ndarray, np.ndarray]:
    z = np.linspace(0.0, REDSHIFT_LIMIT, 6001)
    inverse = _SPEED_OF_LIGHT_KM_S / H0_KM_S_MPC / np.sqrt(OMEGA_M * (1 + z) ** 3 + 1 - OMEGA_M)
    steps = 0.5 * (inverse[1:] + inverse[:-1]) * np.diff(z)
    return z, np.concatenate([[0.0], np.cumsum(steps)])


_Z, _COMOVING = _comoving_distance_table()


def angular_diameter_distance_mpc(redshift: Values) -> Values:
    """D_A in Mpc, 0 <= z <= 3 (clamped beyond); within 1e-5 of astropy."""
    return np.interp(redshift, _Z, _COMOVING) / (1 + redshift)


def distance_modulus(redshift: Values) -> Values:
    """DM = 5 log10(D_L / 10 pc), mag, 0 < z <= 3 (clamped beyond)."""
    return 5 * np.log10(np.interp(redshift, _Z, _COMOVING) * (1 + redshift)) + 25


def r500_mpc(m500c_msun: Values, redshift: Values) -> Values:
    """Radius (Mpc, proper) within which the mean density is 500 times the critical one at that redshift."""
    critical = _CRITICAL_DENSITY * (OMEGA_M * (1 + redshift) ** 3 + 1 - OMEGA_M)
    return (3 * m500c_msun / (4 * np.pi * 500 * critical)) ** (1 / 3)


def theta500_arcmin(m500c_msun: Values, redshift: Values) -> Values:
    """The angle that R500 subtends, arcmin."""
    return r500_mpc(m500c_msun, redshift) / angular_diameter_distance_mpc(redshift) * _ARCMIN_PER_RADIAN
