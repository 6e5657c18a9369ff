"""The thermal SZ effect of a cluster: the universal pressure profile of Arnaud et al. (2010), projected.

y(theta) = sigma_T / (m_e c^2) * integral of the electron pressure along the line of sight, within 5 R500.
"""

import functools

import numpy as np

from clusterjax.simulation.cosmology import H0_KM_S_MPC, OMEGA_M, Values, r500_mpc, theta500_arcmin
from clusterjax.simulation.microwave.bands import ARCMIN

# Eq. 12 and table 1 of Arnaud et al. (2010), generalised NFW
P0_H70, C500, GAMMA, ALPHA, BETA = 8.403, 1.177, 0.3081, 1.0510, 5.4905
RADIUS_MAX_R500 = 5.0
Y_PER_KEV_CM3_MPC = 6.6524587e-25 / 510.99895 * 3.0856776e24  # sigma_T / (m_e c^2): y per keV cm^-3 Mpc
_TRANSFORM_K_MAX = 250.0


def universal_pressure(radius_r500: Values) -> Values:
    """The dimensionless profile p(x), x = r / R500 > 0, for h70 = 1."""
    cx = C500 * radius_r500
    return P0_H70 / (cx**GAMMA * (1 + cx**ALPHA) ** ((BETA - GAMMA) / ALPHA))


def pressure_500(m500c_msun: Values, redshift: Values) -> Values:
    """keV cm^-3: 1.65e-3 E^(8/3) (M500 / 3e14 h70^-1)^(2/3 + 0.12) h70^2 (eq. 13, with the mean deviation of eq. 9)."""
    expansion = np.sqrt(OMEGA_M * (1 + redshift) ** 3 + 1 - OMEGA_M)
    h70 = H0_KM_S_MPC / 70
    return 1.65e-3 * expansion ** (8 / 3) * (m500c_msun / 3e14 * h70) ** (2 / 3 + 0.12) * h70**2


def volume_integral(radius_r500: float) -> float:
    """I(x) = integral of 3 p(u) u^2 du from 0 to x: 0.6145 for 1 and 1.1037 for 5 as published (eq. 18)."""
    x = np.geomspace(1e-5, radius_r500, 6000)
    return float(np.trapezoid(3 * universal_pressure(x) * x**3, np.log(x)))


@functools.cache
def _projected_table() -> tuple[np.ndarray, np.ndarray]:
    """Log impact parameter and log of the line-of-sight integral, in units of R500."""
    impact = np.geomspace(1e-3, RADIUS_MAX_R500 * 0.9999, 300)
    values = []
    for b in impact:
        # l = b sinh t: dense where the profile is steep
        t = np.linspace(0, np.arccosh(RADIUS_MAX_R500 / b), 800)
        values.append(2 * np.trapezoid(universal_pressure(b * np.cosh(t)) * b * np.cosh(t), t))
    return np.log(impact), np.log(values)


def projected_pressure(impact_r500: Values) -> Values:
    """Integral of p along the line of sight within the sphere of 5 R500, units of R500; constant within 0.001 R500."""
    log_b, log_value = _projected_table()
    clipped = np.clip(impact_r500, np.exp(log_b[0]), np.exp(log_b[-1]))
    return np.where(impact_r500 < RADIUS_MAX_R500, np.exp(np.interp(np.log(clipped), log_b, log_value)), 0.0)


def amplitude(m500c_msun: Values, redshift: Values) -> Values:
    """What :func:`projected_pressure` is multiplied with to give y."""
    return pressure_500(m500c_msun, redshift) * r500_mpc(m500c_msun, redshift) * Y_PER_KEV_CM3_MPC


def compton_y(theta_arcmin: Values, m500c_msun: Values, redshift: Values) -> Values:
    """Compton y at an angle from the centre, for the mass that enters the profile."""
    return amplitude(m500c_msun, redshift) * projected_pressure(theta_arcmin / theta500_arcmin(m500c_msun, redshift))


@functools.cache
def _transform_table() -> tuple[np.ndarray, np.ndarray]:
    """The projection's Fourier transform is the profile's own at the same wave number (projection-slice theorem)."""
    # Logarithmic in the cusp, then fine enough for 40 points a period of the highest wave number.
    x = np.concatenate([np.geomspace(1e-5, 0.05, 800), np.linspace(0.05, RADIUS_MAX_R500, 8000)[1:]])
    k = np.concatenate([[0.0], np.geomspace(1e-2, _TRANSFORM_K_MAX, 600)])
    weight = 4 * np.pi * universal_pressure(x) * x**2
    return k, np.array([np.trapezoid(weight * np.sinc(value * x / np.pi), x) for value in k])


def transform_of_profile(k: Values) -> Values:
    """2-d Fourier transform of :func:`projected_pressure` at wave numbers in 1 / R500; 0 beyond 250."""
    table_k, value = _transform_table()
    return np.interp(k, table_k, value, right=0.0)


def compton_y_transform(ell: Values, m500c_msun: Values, redshift: Values) -> Values:
    """Integral of y exp(i ell theta) over the sky, sr."""
    theta500 = theta500_arcmin(m500c_msun, redshift) * ARCMIN
    return amplitude(m500c_msun, redshift) * theta500**2 * transform_of_profile(ell * theta500)
