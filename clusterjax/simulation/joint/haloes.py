"""One catalogue of haloes for two surveys: mass, redshift, place, and how each scatters in both."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from clusterjax.simulation.haloes import (
    Haloes,
    PlacedHaloes,
    cluster_density_per_deg2,
    group_density_per_deg2,
    sample_clusters,
    sample_groups,
)
from clusterjax.simulation.infrared.field import GROUP_PAD_PIXELS
from clusterjax.simulation.infrared.members import RICHNESS_SCATTER
from clusterjax.simulation.infrared.psf import PIXEL_SCALE_ARCSEC
from clusterjax.simulation.knobs import JointSky
from clusterjax.simulation.microwave.bands import PIXEL_SCALE_ARCMIN
from clusterjax.simulation.microwave.maps import GROUPS_ABOVE_MSUN

INFRARED_PIXEL_ARCMIN = PIXEL_SCALE_ARCSEC / 60


class JointHaloes(NamedTuple):
    """Haloes at offsets from the centre of both images, along their y and x axes.

    ``ln_richness`` and ``ln_signal`` say by how much, in ln, the number of galaxies and the SZ effect of each lie above
    the mean at its mass.
    """

    haloes: Haloes
    y_arcmin: Float[np.ndarray, " n"]
    x_arcmin: Float[np.ndarray, " n"]
    ln_richness: Float[np.ndarray, " n"]
    ln_signal: Float[np.ndarray, " n"]

    def infrared(self, shape: tuple[int, int]) -> PlacedHaloes:
        """On the pixels of an infrared image of ``shape``, with their richness."""
        return PlacedHaloes(self.haloes, *self._pixels(shape, INFRARED_PIXEL_ARCMIN), self.ln_richness)

    def microwave(self, shape: tuple[int, int]) -> PlacedHaloes:
        """On the pixels of a microwave image of ``shape``, with their SZ effect."""
        return PlacedHaloes(self.haloes, *self._pixels(shape, PIXEL_SCALE_ARCMIN), self.ln_signal)

    def _pixels(self, shape: tuple[int, int], pixel_arcmin: float) -> tuple[np.ndarray, np.ndarray]:
        y, x = ((side - 1) / 2 for side in shape)
        return y + self.y_arcmin / pixel_arcmin, x + self.x_arcmin / pixel_arcmin

    def select(self, rows: Bool[np.ndarray, " n"]) -> "JointHaloes":
        mass, redshift = self.haloes
        return JointHaloes(Haloes(mass[rows], redshift[rows]), *(column[rows] for column in self[1:]))


def join(one: JointHaloes, other: JointHaloes) -> JointHaloes:
    """All haloes of both."""
    haloes = Haloes(*(np.concatenate(pair) for pair in zip(one.haloes, other.haloes, strict=True)))
    return JointHaloes(haloes, *(np.concatenate(pair) for pair in zip(one[1:], other[1:], strict=True)))


def place(
    rng: np.random.Generator, sky: JointSky, haloes: Haloes, y_arcmin: np.ndarray, x_arcmin: np.ndarray
) -> JointHaloes:
    """Haloes at given places, their two scatters drawn with the correlation of ``sky``."""
    first, second = rng.standard_normal((2, len(haloes.redshift)))
    correlation = sky.haloes.scatter_correlation
    second = correlation * first + np.sqrt(1 - correlation**2) * second
    return JointHaloes(haloes, y_arcmin, x_arcmin, RICHNESS_SCATTER * first, sky.microwave.scatter_ln * second)


class Surroundings(NamedTuple):
    """The haloes of an image: those that both surveys see, and the light ones that are but a few galaxies."""

    clusters: JointHaloes  # above the group range
    groups: JointHaloes  # above 3e13 Msun
    light: JointHaloes  # below, about the infrared image alone


def sample_surroundings(
    rng: np.random.Generator,
    sky: JointSky,
    *,
    infrared_side: int,
    microwave_side: int,
    cluster_boost: float = 1.0,
) -> Surroundings:
    """All haloes by chance, at their true densities (clusters ``cluster_boost`` times), about a common centre.

    Over a square of ``microwave_side`` pixels of 0.5' (the periodic grid that an image is cut from), light ones over
    ``infrared_side`` pixels of 2.75" and what sheds light into them.
    """
    wide = microwave_side * PIXEL_SCALE_ARCMIN / 2
    near = (infrared_side / 2 + GROUP_PAD_PIXELS) * INFRARED_PIXEL_ARCMIN
    boost = 1.0 if sky.infrared.groups else 0.0

    def scattered(density_per_deg2: float, half_arcmin: float, sample: Callable[..., Haloes], **masses) -> JointHaloes:
        count = int(rng.poisson(density_per_deg2 * (half_arcmin / 30) ** 2))
        haloes = sample(rng, count, **masses)
        return place(rng, sky, haloes, *rng.uniform(-half_arcmin, half_arcmin, (2, count)))

    heavy, faint = {"mass_min_msun": GROUPS_ABOVE_MSUN}, {"mass_max_msun": GROUPS_ABOVE_MSUN}
    return Surroundings(
        scattered(cluster_density_per_deg2() * cluster_boost, wide, sample_clusters),
        scattered(group_density_per_deg2(**heavy) * boost, wide, sample_groups, **heavy),
        scattered(group_density_per_deg2(**faint) * boost, near, sample_groups, **faint),
    )
