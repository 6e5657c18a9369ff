"""The unclustered sky: field galaxies, stars, AGN; and the W1-W2 colour of old galaxies. Vega magnitudes throughout."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

# Differential number counts: W1, log10 of dN/dm per deg2 and mag
_GALAXY_W1 = np.array([10, 11, 12, 13, 14, 15, 15.5, 16, 16.5, 17, 17.5, 18, 18.5, 19, 20, 21.0])
_GALAXY_COUNTS = np.array([-0.1, 0.5, 1.1, 1.7, 2.3, 2.9, 3.18, 3.43, 3.68, 3.92, 4.10, 4.25, 4.38, 4.50, 4.68, 4.8])
# Stars at a galactic latitude of 60 deg
_STAR_W1 = np.array([6, 8.25, 9.25, 10.25, 11.25, 12.25, 13.25, 14.25, 15.25, 16.25, 17.25, 18.25])
_STAR_COUNTS = np.array([-0.2, 0.7, 0.9, 1.18, 1.7, 2.07, 2.33, 2.55, 2.73, 2.88, 2.98, 3.05])

# Median redshift of field galaxies of each W1
_REDSHIFT_W1 = np.array([13, 14.5, 15.5, 16.5, 17.5, 18.5, 20.5])
_REDSHIFT_MEDIAN = np.array([0.07, 0.15, 0.25, 0.45, 0.75, 0.95, 1.2])
_REDSHIFT_SHAPE = 2.5

# W1-W2 of a passive galaxy (Bruzual & Charlot 2003, formed at z about 2.4) at each redshift
_COLOUR_Z = np.array([0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5])
_COLOUR = np.array(
    [0.146, 0.215, 0.315, 0.282, 0.220, 0.125, 0.028, -0.006, 0.045, 0.137, 0.240, 0.359, 0.474, 0.575, 0.661, 0.723]
)

FIELD_COLOUR_SCATTER = 0.15
STAR_COLOUR_SCATTER = 0.06
AGN_PER_DEG2 = 67.5  # W1-W2 > 0.8 and W2 < 15.2: Yan et al. (2013)
AGN_COLOUR_MIN = 0.8
AGN_W2_MAX = 15.2
BRIGHTEST_STAR_W1 = 6.0
_FAINTEST_W1 = 21.0


class Sources(NamedTuple):
    """Point sources of ``n`` positions: pixels (0 at the centre of the first pixel), W1 and W1-W2 in Vega mag."""

    y_pixels: np.ndarray
    x_pixels: np.ndarray
    w1_mag: np.ndarray
    colour: np.ndarray


def join(parts: list[Sources]) -> Sources:
    """All sources of ``parts``, in their order."""
    return Sources(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


class MagnitudeCounts:
    """Number counts between two magnitudes, log-linear between the points of a table and constant beyond it."""

    def __init__(self, w1: np.ndarray, log10_counts: np.ndarray, *, bright: float, faint: float, keep=None):
        """``keep(w1)`` gives the share of the counts that is left at each magnitude; all of it when None."""
        self._grid = np.linspace(bright, faint, 4001)
        density = 10 ** np.interp(self._grid, w1, log10_counts)
        if keep is not None:
            density = density * keep(self._grid)
        steps = 0.5 * (density[1:] + density[:-1]) * np.diff(self._grid)
        self._cumulative = np.concatenate([[0.0], np.cumsum(steps)])
        self.per_deg2 = float(self._cumulative[-1])

    def brighter_than(self, w1: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
        """The number per deg2 brighter than ``w1``."""
        return np.interp(w1, self._grid, self._cumulative)

    def sample(self, rng: np.random.Generator, count: int) -> Float[np.ndarray, " n"]:
        """``count`` magnitudes."""
        return np.interp(rng.random(count) * self._cumulative[-1], self._cumulative, self._grid)


def galaxy_counts(keep: Callable[[np.ndarray], np.ndarray] | None = None) -> MagnitudeCounts:
    """Field galaxies; ``keep(w1)`` is the share that is left at each magnitude."""
    return MagnitudeCounts(_GALAXY_W1, _GALAXY_COUNTS, bright=10.0, faint=_FAINTEST_W1, keep=keep)


def galaxy_density(w1_mag: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """dN/dm per deg2 and mag of all field galaxies, in groups or not."""
    return 10 ** np.interp(w1_mag, _GALAXY_W1, _GALAXY_COUNTS)


FIELD_GALAXIES = galaxy_counts()
STARS = MagnitudeCounts(_STAR_W1, _STAR_COUNTS, bright=BRIGHTEST_STAR_W1, faint=20.0)


def passive_colour(redshift: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """C(z): W1-W2 (Vega) of a passive galaxy; held at its end values outside 0.05 <= z <= 1.5."""
    return np.interp(redshift, _COLOUR_Z, _COLOUR)


def field_redshift(rng: np.random.Generator, w1_mag: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Redshifts of field galaxies: Gamma with shape 2.5 and a median that grows with W1, within 0.01 to 2.2.

    Medians 0.07, 0.15, 0.25, 0.45, 0.75, 0.95 at W1 = 13, 14.5, 15.5, 16.5, 17.5, 18.5 (approximate).
    """
    # The median of a Gamma distribution is its scale times (shape - 1/3), to 1 % for shapes above 1.
    scale = np.interp(w1_mag, _REDSHIFT_W1, _REDSHIFT_MEDIAN) / (_REDSHIFT_SHAPE - 1 / 3)
    return np.clip(rng.standard_gamma(_REDSHIFT_SHAPE, len(w1_mag)) * scale, 0.01, 2.2)


def field_colour(rng: np.random.Generator, redshift: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """W1-W2 of field galaxies: C(z) with a scatter of 0.15 mag."""
    return passive_colour(redshift) + rng.normal(0, FIELD_COLOUR_SCATTER, len(redshift))


def star_density_factor(galactic_latitude_deg: float) -> float:
    """Density of stars relative to that at a latitude of 60 deg: (sin 60 / sin b)^1.3, not below 5 deg."""
    return (np.sin(np.radians(60)) / np.sin(np.radians(max(abs(galactic_latitude_deg), 5.0)))) ** 1.3


def sample_agn(rng: np.random.Generator, count: int) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """W1 and W1-W2 of AGN: colour N(1.1, 0.2) above 0.8; W2 < 15.2, counts as 10^(0.5 W2) (approximate)."""
    colour = rng.normal(1.1, 0.2, count)
    while (blue := colour <= AGN_COLOUR_MIN).any():
        colour[blue] = rng.normal(1.1, 0.2, int(blue.sum()))
    w2 = AGN_W2_MAX + np.log10(1 - rng.random(count)) / 0.5
    return np.maximum(w2, 8.0) + colour, colour
