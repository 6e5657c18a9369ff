"""Galaxies of clusters and groups: how many, how bright, where, of which colour.

Drawn for many haloes in one call, since a cutout's field holds about twenty groups and a loop over them would cost
more than everything else together.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from clusterjax.simulation.cosmology import distance_modulus, theta500_arcmin
from clusterjax.simulation.haloes import Haloes

LUMINOSITY_SLOPE = -0.84  # Schechter alpha: Lin et al. (2004)
CONCENTRATION_200 = 2.9  # of galaxies: Lin et al. (2004)
_R500_OVER_R200 = 1.0 / 1.5
CONCENTRATION_500 = CONCENTRATION_200 * _R500_OVER_R200
POPULATED_RADIUS_R500 = 2.0
RICHNESS_SCATTER = 0.25  # of ln N500
FAINTEST_W1 = 20.5
_FAINTEST_LUMINOSITY = 0.003  # L/L*, of nearby groups
_RICHNESS_LUMINOSITY = 0.0619  # L/L* at M_K = -21, the limit down to which N500 counts
_BCG_SCATTER_MAG = 0.35
_BCG_OFFSET_PIXELS = 1.0


def _luminosity_table() -> tuple[np.ndarray, np.ndarray]:
    """L/L* and the number below it, of L^alpha exp(-L)."""
    luminosity = np.geomspace(_FAINTEST_LUMINOSITY, 16.0, 3000)
    density = luminosity**LUMINOSITY_SLOPE * np.exp(-luminosity)
    steps = 0.5 * (density[1:] + density[:-1]) * np.diff(luminosity)
    return luminosity, np.concatenate([[0.0], np.cumsum(steps)])


def _nfw_mass(x):
    return np.log1p(x) - x / (1 + x)


_LUMINOSITY, _NUMBER_BELOW = _luminosity_table()
_NUMBER_TOTAL = _NUMBER_BELOW[-1]
_NUMBER_N500 = _NUMBER_TOTAL - np.interp(_RICHNESS_LUMINOSITY, _LUMINOSITY, _NUMBER_BELOW)
_RADIUS = np.linspace(0.0, POPULATED_RADIUS_R500, 2001)
_RADIUS_CDF = _nfw_mass(_RADIUS * CONCENTRATION_500) / _nfw_mass(POPULATED_RADIUS_R500 * CONCENTRATION_500)
# N(2 R500) / N500
_POPULATED_OVER_500 = _nfw_mass(POPULATED_RADIUS_R500 * CONCENTRATION_500) / _nfw_mass(CONCENTRATION_500)


def characteristic_w1(redshift: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """m*(z) in W1 (Vega): cubic fit to redMaPPer's mstar_wise_W1 table, rms 0.017 mag for 0.5 < z < 1.6."""
    z = redshift
    return distance_modulus(z) - 24.119 - 5.2267 * z + 2.6496 * z**2 - 0.5299 * z**3


def richness_n500(m500c_msun: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Mean number of galaxies brighter than M_K = -21 within R500: Lin et al. (2004, 2006), no evolution."""
    return 56 * (m500c_msun / 2.7e14) ** 0.84


def luminosity_fraction(luminosity: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Number of galaxies above L/L* = ``luminosity`` (0.003 to 16), relative to the number above M_K = -21."""
    return (_NUMBER_TOTAL - np.interp(luminosity, _LUMINOSITY, _NUMBER_BELOW)) / _NUMBER_N500


def expected_counts(w1_mag: Float[np.ndarray, " m"], haloes: Haloes) -> Float[np.ndarray, "m n"]:
    """dN/dm of the galaxies that :func:`sample_members` draws for each halo, at each W1, on average."""
    mass, redshift = haloes
    m_star = characteristic_w1(redshift)
    w1 = w1_mag[:, None]
    luminosity = 10 ** (-0.4 * (w1 - m_star))
    drawn = (luminosity > _FAINTEST_LUMINOSITY) & (w1 < FAINTEST_W1)
    schechter = luminosity ** (LUMINOSITY_SLOPE + 1) * np.exp(-luminosity) * 0.4 * np.log(10) / _NUMBER_N500
    number = richness_n500(mass) * np.exp(RICHNESS_SCATTER**2 / 2) * _POPULATED_OVER_500
    bcg = np.exp(-0.5 * ((w1 - _bcg_w1(mass, m_star)) / _BCG_SCATTER_MAG) ** 2) / (
        np.sqrt(2 * np.pi) * _BCG_SCATTER_MAG
    )
    return np.where(drawn, number * schechter, 0.0) + bcg


def _bcg_w1(mass: np.ndarray, m_star: np.ndarray) -> np.ndarray:
    return m_star - 1.3 - 0.5 * np.log10(mass / 3e14)


class Members(NamedTuple):
    """Galaxies of several haloes: the halo of each, offset from its centre in pixels, W1 (Vega), redshift."""

    halo: Int[np.ndarray, " n"]
    dy_pixels: Float[np.ndarray, " n"]
    dx_pixels: Float[np.ndarray, " n"]
    w1_mag: Float[np.ndarray, " n"]
    redshift: Float[np.ndarray, " n"]


def sample_members(
    rng: np.random.Generator,
    haloes: Haloes,
    *,
    pixel_scale_arcsec: float,
    ln_scatter: Float[np.ndarray, " n"] | None = None,
) -> Members:
    """Galaxies to W1 = 20.5 within 2 R500 of each halo, the brightest (BCG) of each first, in the haloes' order.

    Number: N500 with log-normal scatter 0.25 (or the ``ln_scatter`` given), scaled to 2 R500 by an NFW profile of
    c200 = 2.9 and to the faint limit by the luminosity function L^-0.84 exp(-L). Positions: NFW, spherical, in
    projection. BCG: m* - 1.3 - 0.5 log10(M/3e14) with a scatter of 0.35 mag, a Gaussian of one pixel from the centre.
    """
    mass, redshift = haloes
    count = len(mass)
    m_star = characteristic_w1(redshift)
    faintest = np.maximum(10 ** (-0.4 * (FAINTEST_W1 - m_star)), _FAINTEST_LUMINOSITY)
    number_below = np.interp(faintest, _LUMINOSITY, _NUMBER_BELOW)
    scatter = rng.normal(0, RICHNESS_SCATTER, count) if ln_scatter is None else ln_scatter
    mean = richness_n500(mass) * np.exp(scatter) * _POPULATED_OVER_500 * (_NUMBER_TOTAL - number_below) / _NUMBER_N500
    halo = np.repeat(np.arange(count), rng.poisson(mean))
    total = len(halo)

    below = number_below[halo]
    luminosity = np.interp(below + rng.random(total) * (_NUMBER_TOTAL - below), _NUMBER_BELOW, _LUMINOSITY)
    w1 = m_star[halo] - 2.5 * np.log10(luminosity)

    theta500_pixels = theta500_arcmin(mass, redshift) * 60 / pixel_scale_arcsec
    radius = np.interp(rng.random(total), _RADIUS_CDF, _RADIUS) * theta500_pixels[halo]
    radius *= np.sqrt(1 - rng.uniform(-1, 1, total) ** 2)  # projected along an isotropic line of sight
    angle = rng.uniform(0, 2 * np.pi, total)

    bcg_w1 = _bcg_w1(mass, m_star) + rng.normal(0, _BCG_SCATTER_MAG, count)
    bcg_dy, bcg_dx = rng.normal(0, _BCG_OFFSET_PIXELS, (2, count))
    all_haloes = np.concatenate([np.arange(count), halo])
    return Members(
        all_haloes,
        np.concatenate([bcg_dy, radius * np.sin(angle)]),
        np.concatenate([bcg_dx, radius * np.cos(angle)]),
        np.concatenate([bcg_w1, w1]),
        redshift[all_haloes],
    )
