"""How many haloes there are, of which mass and redshift.

Three populations: the *true* counts above the group range (maps), the *group* table (the clustered field of every
cutout and map), and the *training mixture*, flatter in mass, so that networks see massive clusters too.
All masses are true M500c in solar masses; all densities per square degree of sky.
"""

import functools
import importlib.resources
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import gammainc, gammaincinv

# The group table's cells (see group_haloes.csv)
GROUP_REDSHIFT = np.linspace(0.05, 1.75, 35)
GROUP_MASS_MSUN = np.geomspace(5e12, 1.2e14, 40)
_GROUP_DZ = 0.05
_GROUP_DLNM = np.log(24.0) / 39
# Where the group table ends and the true counts of maps begin: the upper edge of its last cell
CLUSTER_MASS_MIN_MSUN = 1.2e14 * np.exp(_GROUP_DLNM / 2)
CLUSTER_MASS_MAX_MSUN = 1.5e15
CLUSTER_REDSHIFT_RANGE = (0.1, 1.8)

_MIXTURE_GAMMA = (4.5, 0.125)  # shape and scale of the training clusters' redshifts
_MIXTURE_FLOOR_MSUN = 1.5e14  # the mass floor that the training mixture was calibrated with


class Haloes(NamedTuple):
    """Masses (Msun) and redshifts of ``n`` haloes."""

    m500c_msun: np.ndarray
    redshift: np.ndarray


class PlacedHaloes(NamedTuple):
    """Haloes with the 0-based pixel positions of their centres.

    ``ln_scatter`` is by how much, in ln, the signal of each (richness, or SZ effect) lies above the mean at its mass;
    None: that is drawn where they are painted.
    """

    haloes: Haloes
    y_pixels: np.ndarray
    x_pixels: np.ndarray
    ln_scatter: np.ndarray | None = None


def log10_cumulative_counts(
    redshift: Float[np.ndarray, "*#n"], m500c_msun: Float[np.ndarray, "*#n"]
) -> Float[np.ndarray, "*n"]:
    """log10 of dN/dz per deg2 above ``m500c_msun``: fit to Tinker et al. (2008) with Planck18.

    Computed with colossus; valid for 0.1 <= z <= 1.8 and 3e13 <= M500c <= 1e15, rms 0.039 dex, greatest error 0.10 dex.
    """
    z, x = redshift, np.log10(m500c_msun / 2e14)
    return (
        -0.5624 + 3.7472 * z - 4.204 * z**2 + 0.9776 * z**3
        + (-1.9174 - 0.9189 * z - 0.508 * z**2) * x
        + (-0.6427 - 1.0323 * z) * x**2
        + (-0.3572 - 0.2989 * z) * x**3
    )  # fmt: skip


@functools.cache
def _cluster_cells() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges in redshift and ln M, and the mean number per deg2 in each cell, of haloes above the group range."""
    z = np.linspace(*CLUSTER_REDSHIFT_RANGE, 171)
    ln_mass = np.linspace(np.log(CLUSTER_MASS_MIN_MSUN), np.log(CLUSTER_MASS_MAX_MSUN), 120)
    centre = 0.5 * (z[1:] + z[:-1])
    above = 10 ** log10_cumulative_counts(centre[:, None], np.exp(ln_mass)[None, :])
    return z, ln_mass, (above[:, :-1] - above[:, 1:]) * np.diff(z)[:, None]


@functools.cache
def group_counts() -> np.ndarray:
    """Mean number of haloes per deg2 in each cell of (GROUP_REDSHIFT, GROUP_MASS_MSUN): Tinker et al. (2008)."""
    with importlib.resources.files(__package__).joinpath("group_haloes.csv").open() as file:
        return np.loadtxt(file, delimiter=",")


@functools.cache
def _group_cdf(mass_min_msun: float, mass_max_msun: float) -> np.ndarray:
    inside = (mass_min_msun <= GROUP_MASS_MSUN) & (mass_max_msun >= GROUP_MASS_MSUN)
    return np.cumsum(np.where(inside, group_counts(), 0.0).ravel())


def cluster_density_per_deg2() -> float:
    """Mean number per deg2 of haloes above the group range, 0.1 <= z <= 1.8."""
    return float(_cluster_cells()[2].sum())


def cluster_cells() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(masses, redshifts, the mean number per deg2 of haloes in each cell (mass, z)) above the group range."""
    z, ln_mass, cells = _cluster_cells()
    return np.exp(0.5 * (ln_mass[1:] + ln_mass[:-1])), 0.5 * (z[1:] + z[:-1]), cells.T


def sample_clusters(rng: np.random.Generator, count: int) -> Haloes:
    """``count`` haloes above the group range, with the true distribution of mass and redshift."""
    z, ln_mass, cells = _cluster_cells()
    cdf = np.cumsum(cells.ravel())
    iz, im = np.divmod(np.searchsorted(cdf, rng.random(count) * cdf[-1], side="right"), cells.shape[1])
    redshift = z[iz] + rng.random(count) * (z[1] - z[0])
    return Haloes(np.exp(ln_mass[im] + rng.random(count) * (ln_mass[1] - ln_mass[0])), redshift)


def group_density_per_deg2(mass_min_msun: float = 0.0, mass_max_msun: float = np.inf) -> float:
    """Mean number per deg2 of group haloes in the cells whose centres lie within the masses given."""
    return float(_group_cdf(mass_min_msun, mass_max_msun)[-1])


def sample_groups(
    rng: np.random.Generator, count: int, *, mass_min_msun: float = 0.0, mass_max_msun: float = np.inf
) -> Haloes:
    """``count`` group haloes, uniform within the cells of the table whose centres lie within the masses given."""
    cdf = _group_cdf(mass_min_msun, mass_max_msun)
    iz, im = np.divmod(np.searchsorted(cdf, rng.random(count) * cdf[-1], side="right"), len(GROUP_MASS_MSUN))
    mass = GROUP_MASS_MSUN[im] * np.exp((rng.random(count) - 0.5) * _GROUP_DLNM)
    redshift = GROUP_REDSHIFT[iz] + (rng.random(count) - 0.5) * _GROUP_DZ
    return Haloes(np.clip(mass, mass_min_msun, mass_max_msun), redshift)


def sample_training_clusters(
    rng: np.random.Generator,
    count: int,
    *,
    mass_floor_msun: float,
    redshift_max: float,
    redshift_min: float | int = 0.1,
) -> Haloes:
    """The training mixture: M = 1.9e14 exp(Exp(0.38)) within 1.5e14 to 1.5e15, z = Gamma(4.5, 0.125) within 0.1 to 1.6.

    Another ``mass_floor_msun`` moves the whole distribution of masses by the same factor. Redshifts outside the range
    are drawn again (by the inverse of the truncated distribution), so that none piles up at the limits.
    """
    mass = 1.9e14 * (mass_floor_msun / _MIXTURE_FLOOR_MSUN) * np.exp(rng.exponential(0.38, count))
    shape, scale = _MIXTURE_GAMMA
    low, high = gammainc(shape, np.array([redshift_min, redshift_max]) / scale)
    redshift = gammaincinv(shape, low + (high - low) * rng.random(count)) * scale
    return Haloes(np.clip(mass, mass_floor_msun, CLUSTER_MASS_MAX_MSUN), redshift)
