"""The pressure profile of Battaglia et al. (2012, ApJ 758, 75): simulated clusters with feedback, shapes by M and z.

P_th = P200 P0 u^gamma (1 + u)^-beta with u = r / (x_c R200), eqs. 9 to 11 and table 1 (AGN feedback); the electrons
hold 1 / 1.932 of it (hydrogen's share of the mass is 0.76). Masses are true ones: with it goes ``mass_ratio=1``.
"""

import functools

import numpy as np
from scipy.special import beta as beta_function
from scipy.special import betainc

from clusterjax.simulation.cosmology import (
    H0_KM_S_MPC,
    Values,
    angular_diameter_distance_mpc,
    r500_mpc,
)
from clusterjax.simulation.microwave.pressure import Y_PER_KEV_CM3_MPC

GAMMA = -0.3
ELECTRON_SHARE = 1 / 1.932
BARYON_FRACTION = 0.157  # Planck 2018
U_MAX = 8.0  # the profile is cut there: 4 R200 of 1e14 Msun today
# G Msun 200 rho_c / (2 R200) is of Msun (km/s)^2 Mpc^-3 with this G; one of those is so many keV cm^-3.
_GRAVITY = 4.300917e-9
_KEV_CM3 = 4.224089e-22
_DUFFY = (5.71, -0.084, -0.47)  # c200c = 5.71 (M / 2e12 h^-1)^-0.084 (1 + z)^-0.47, Duffy et al. (2008), table 1
_BETA = np.linspace(3.6, 9.0, 28)  # of the table
_K_MAX = 200.0


def m200c_msun(m500c_msun: Values, redshift: Values) -> Values:
    """The mass within R200 of an NFW halo of such a mass within R500."""
    amplitude, slope, evolution = _DUFFY
    pivot = 2e12 / (H0_KM_S_MPC / 100)
    mass = 1.4 * np.asarray(m500c_msun, float)
    radius = np.full(np.shape(mass), 0.65)  # R500 / R200
    for _ in range(40):
        c = amplitude * (mass / pivot) ** slope * (1 + np.asarray(redshift)) ** evolution
        radius = (_nfw(c * radius) / _nfw(c) / 2.5) ** (1 / 3)
        mass = m500c_msun / (2.5 * radius**3)
    return mass


def _nfw(x):
    return np.log1p(x) - x / (1 + x)


def outer_slope(m200c: Values, redshift: Values) -> Values:
    """beta: 4.35 (M200 / 1e14)^0.0393 (1 + z)^0.415."""
    return 4.35 * (m200c / 1e14) ** 0.0393 * (1 + redshift) ** 0.415


def core_radius_r200(m200c: Values, redshift: Values) -> Values:
    """x_c: 0.497 (M200 / 1e14)^-0.00865 (1 + z)^0.731."""
    return 0.497 * (m200c / 1e14) ** -0.00865 * (1 + redshift) ** 0.731


def electron_pressure(radius_mpc: Values, m500c_msun: Values, redshift: Values) -> Values:
    """keV cm^-3 at a radius from the centre; 0 beyond the cut."""
    normalisation, scale, slope = _physical(m500c_msun, redshift)
    u = radius_mpc / scale
    return np.where(u < U_MAX, normalisation * u**GAMMA * (1 + u) ** -slope, 0.0)


def _physical(m500c_msun, redshift) -> tuple[Values, Values, Values]:
    """(keV cm^-3, Mpc, beta): electron pressure is the first times u^gamma (1 + u)^-beta, u = r over the second."""
    mass = m200c_msun(m500c_msun, redshift)
    r200 = r500_mpc(2.5 * mass, redshift)  # 500 times the density with 2.5 times the mass
    p0 = 18.1 * (mass / 1e14) ** 0.154 * (1 + redshift) ** -0.758
    density = mass / (4 / 3 * np.pi * r200**3)  # 200 times the critical
    p200 = _GRAVITY * mass * density * BARYON_FRACTION / (2 * r200) * _KEV_CM3
    return p200 * p0 * ELECTRON_SHARE, core_radius_r200(mass, redshift) * r200, outer_slope(mass, redshift)


def total_signal(m500c_msun: Values, redshift: Values) -> tuple[Values, Values, Values]:
    """(Compton y integrated over the sky in sr, the core's angle in radians, beta)."""
    normalisation, scale, slope = _physical(m500c_msun, redshift)
    angle = scale / angular_diameter_distance_mpc(redshift)
    return Y_PER_KEV_CM3_MPC * normalisation * scale * angle**2 * volume_integral(slope), angle, slope


def volume_integral(slope: Values) -> Values:
    """Integral of 4 pi u^2 u^gamma (1 + u)^-beta to the cut, by the incomplete beta function."""
    a = 3 + GAMMA
    return 4 * np.pi * beta_function(a, slope - a) * betainc(a, slope - a, U_MAX / (1 + U_MAX))


@functools.cache
def _table() -> tuple[np.ndarray, np.ndarray]:
    """Wave numbers in 1 / core radius, and for each of the slopes the profile's transform over its value at 0."""
    u = np.concatenate([np.geomspace(1e-5, 0.05, 400), np.linspace(0.05, U_MAX, 5000)[1:]])
    k = np.concatenate([[0.0], np.geomspace(1e-2, _K_MAX, 400)])
    profile = 4 * np.pi * u ** (2 + GAMMA) * (1 + u) ** -_BETA[:, None]
    steps = np.diff(u)
    weight = profile * 0.5 * (np.append(steps, 0) + np.append(0, steps))  # the trapezoidal rule
    value = weight @ np.sinc(u[:, None] * k / np.pi)
    return k, value / value[:, :1]


def unit_transform(k: Values, slope: float) -> Values:
    """2-d Fourier transform of the projected profile over its integral, k in 1 / core radius; 0 beyond 200."""
    table_k, values = _table()
    place = np.clip((slope - _BETA[0]) / (_BETA[1] - _BETA[0]), 0, len(_BETA) - 1.000001)
    low = int(place)
    share = place - low
    return np.interp(k, table_k, (1 - share) * values[low] + share * values[low + 1], right=0.0)
