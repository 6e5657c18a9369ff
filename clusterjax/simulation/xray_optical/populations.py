"""What shines in X-rays and how it looks on a plate: fluxes, masses, galaxies of clusters, counterparts of AGN.

X-ray fluxes are 0.5-2 keV in erg/s/cm2. [~]: from memory of the literature.
"""

import numpy as np
from jaxtyping import Float

from clusterjax.simulation.cosmology import (
    OMEGA_M,
    Values,
    angular_diameter_distance_mpc,
    distance_modulus,
    theta500_arcmin,
)
from clusterjax.simulation.haloes import Haloes
from clusterjax.simulation.infrared.members import characteristic_w1, sample_members
from clusterjax.simulation.xray_optical import plates

_MPC_CM = 3.0857e24
# L500 (0.1-2.4 keV) = 10^0.274 E(z)^(7/3) (M500/3.9e14)^1.64 1e44 erg/s: Arnaud et al. (2010), as in MCXC
_LOG_L, _SLOPE_L, _PIVOT_MSUN = 0.274, 1.64, 3.9e14
_SOFT_SHARE = 0.62  # of 0.1-2.4 keV that is 0.5-2 keV, for plasmas of a few keV [~]
_SCATTER_LN_MASS = 0.25  # of the mass at a luminosity: 0.4 in ln L
_MASS_RANGE_MSUN = (2e13, 1.5e15)
_CORE_OVER_R500, _CORE_SCATTER_LN = 0.15, 0.35  # of beta-models with beta = 2/3: Pacaud et al. (2016) [~]
# N(>S) per deg2 of AGN: 85 at 1e-14 (Mateos et al. 2008), slopes 1.6 above and 0.7 below [~]
_AGN_BREAK, _AGN_DENSITY, _AGN_STEEP, _AGN_FLAT = 1e-14, 85.0, 1.6, 0.7
_AGN_FAINTEST = 1.5e-15  # fainter ones are part of the background
_XO_SCATTER = 0.5  # of log10(fX / fR) about 0: Maccacaro et al. (1988)
# R* of passive cluster galaxies: M* = -22.0 (Popesso et al. 2005) and 0.8 mag of K-correction and ageing a unit z [~]
_M_STAR_R, _K_PER_Z = -22.0, 0.8
_BCG_RADIUS_MPC = 0.02  # of half the light of a brightest cluster galaxy, in a cluster of 3e14 Msun [~]


def power_law(rng: np.random.Generator, low: float, high: float, slope: float = 1.0) -> float:
    """One draw with N(>S) proportional to S^-``slope`` between ``low`` and ``high``."""
    ends = np.array([low, high]) ** -slope
    return float((ends[1] + rng.random() * (ends[0] - ends[1])) ** (-1 / slope))


def mass_of_flux(flux_cgs: float, redshift: float) -> float:
    """M500 (Msun) whose mean flux that is; the K-correction is left out."""
    distance = 10 ** ((distance_modulus(redshift) - 25) / 5) * _MPC_CM
    luminosity = 4 * np.pi * distance**2 * flux_cgs / _SOFT_SHARE / 1e44
    growth = np.sqrt(OMEGA_M * (1 + redshift) ** 3 + 1 - OMEGA_M)
    return float(_PIVOT_MSUN * (luminosity / (10**_LOG_L * growth ** (7 / 3))) ** (1 / _SLOPE_L))


def sample_mass(rng: np.random.Generator, flux_cgs: float, redshift: float) -> float:
    mass = mass_of_flux(flux_cgs, redshift) * np.exp(rng.normal(0, _SCATTER_LN_MASS))
    return float(np.clip(mass, *_MASS_RANGE_MSUN))


def sample_core_radius(rng: np.random.Generator, mass_msun: float, redshift: float, low: float, high: float) -> float:
    """Arcsec, within [``low``, ``high``]."""
    mean = _CORE_OVER_R500 * theta500_arcmin(mass_msun, redshift) * 60
    return float(np.clip(mean * np.exp(rng.normal(0, _CORE_SCATTER_LN)), low, high))


def agn_density_per_deg2(flux_cgs: float) -> float:
    """AGN brighter than that."""
    slope = _AGN_STEEP if flux_cgs > _AGN_BREAK else _AGN_FLAT
    return _AGN_DENSITY * (flux_cgs / _AGN_BREAK) ** -slope


def sample_agn(rng: np.random.Generator, area_deg2: float, density_scale: float = 1.0) -> Float[np.ndarray, " n"]:
    """Fluxes of the field's AGN down to 1.5e-15."""
    total = agn_density_per_deg2(_AGN_FAINTEST)
    density = rng.random(rng.poisson(total * density_scale * area_deg2)) * total
    slope = np.where(density < _AGN_DENSITY, _AGN_STEEP, _AGN_FLAT)
    return np.minimum(_AGN_BREAK * (np.maximum(density, 1e-9) / _AGN_DENSITY) ** (-1 / slope), 1e-12)


def agn_magnitude(rng: np.random.Generator, flux_cgs: Values) -> Values:
    """R, from log10(fX/fR) = log10(fX) + R/2.5 + 5.5."""
    ratio = rng.normal(0, _XO_SCATTER, np.shape(flux_cgs))
    return 2.5 * (ratio - np.log10(flux_cgs) - 5.5)


def characteristic_r(redshift: Values) -> Values:
    """R* of cluster galaxies: 16.4 at z = 0.1, 19.2 at 0.3, 21.4 at 0.6."""
    return distance_modulus(redshift) + _M_STAR_R + _K_PER_Z * redshift


def cluster_galaxies(
    rng: np.random.Generator, mass_msun: float, redshift: float, y: float, x: float, size: int
) -> plates.Objects:
    """The galaxies that a plate shows, about (``y``, ``x``), the brightest first: members as in the infrared."""
    pixel_arcsec = plates.FIELD_ARCMIN * 60 / size
    haloes = Haloes(np.array([mass_msun]), np.array([redshift]))
    members = sample_members(rng, haloes, pixel_scale_arcsec=pixel_arcsec)
    r_mag = members.w1_mag - characteristic_w1(members.redshift) + characteristic_r(members.redshift)
    rows, columns = y + members.dy_pixels, x + members.dx_pixels
    inside = (np.abs(rows - size / 2) < size / 2) & (np.abs(columns - size / 2) < size / 2)
    shown = inside & (r_mag < plates.FAINTEST_MAG)
    drawn = plates.galaxies(rng, rows[shown], columns[shown], r_mag[shown])
    if shown[0]:  # brightest cluster galaxies are large and round
        radius_mpc = _BCG_RADIUS_MPC * (mass_msun / 3e14) ** 0.3
        arcsec = np.rad2deg(radius_mpc / angular_diameter_distance_mpc(redshift)) * 3600
        drawn.radius_arcsec[0] = max(drawn.radius_arcsec[0], arcsec)
        drawn.axis_ratio[0] = rng.uniform(0.65, 0.95)
    return drawn
