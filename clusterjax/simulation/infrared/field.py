"""The sky between the objects: galaxies (clustered in explicit groups), stars and AGN over a rectangle of pixels."""

import functools
from typing import NamedTuple

import numpy as np

from clusterjax.simulation.haloes import (
    GROUP_MASS_MSUN,
    GROUP_REDSHIFT,
    Haloes,
    PlacedHaloes,
    group_counts,
    group_density_per_deg2,
    sample_groups,
)
from clusterjax.simulation.infrared.members import expected_counts, sample_members
from clusterjax.simulation.infrared.populations import (
    AGN_PER_DEG2,
    FIELD_GALAXIES,
    STAR_COLOUR_SCATTER,
    STARS,
    MagnitudeCounts,
    Sources,
    field_colour,
    field_redshift,
    galaxy_counts,
    galaxy_density,
    join,
    passive_colour,
    sample_agn,
    star_density_factor,
)
from clusterjax.simulation.infrared.psf import PIXEL_SCALE_ARCSEC, PSF_HALF_PIXELS
from clusterjax.simulation.knobs import InfraredSky

GROUP_PAD_PIXELS = 40  # groups centred up to here outside the image still have members in it
GROUP_COLOUR_SCATTER = 0.10
_DEG_PER_PIXEL = PIXEL_SCALE_ARCSEC / 3600


class Field(NamedTuple):
    """One draw of the field. Galaxies of groups are in ``galaxies``; groups' own centres in ``groups``.

    ``host_msun``: the mass of the group that each galaxy belongs to, 0 of none.
    """

    galaxies: Sources
    stars: Sources
    agn: Sources
    groups: PlacedHaloes
    host_msun: np.ndarray

    def sources(self) -> Sources:
        return join([self.galaxies, self.stars, self.agn])

    def without_groups_above(self, m500c_msun: float) -> Sources:
        """All but the galaxies of groups of more than this mass."""
        if not (self.host_msun > m500c_msun).any():
            return self.sources()
        kept = Sources(*(column[self.host_msun <= m500c_msun] for column in self.galaxies))
        return join([kept, self.stars, self.agn])


def uniform_positions(
    rng: np.random.Generator, count: int, shape: tuple[int, int], pad: int
) -> tuple[np.ndarray, np.ndarray]:
    """(y, x) uniform over the area of an image of ``shape`` with ``pad`` more pixels on each side."""
    ny, nx = shape
    return rng.uniform(-0.5 - pad, ny - 0.5 + pad, count), rng.uniform(-0.5 - pad, nx - 0.5 + pad, count)


def area_deg2(shape: tuple[int, int], pad: int = 0) -> float:
    """Area of an image of ``shape`` with ``pad`` more pixels on each side."""
    return (shape[0] + 2 * pad) * (shape[1] + 2 * pad) * _DEG_PER_PIXEL**2


def member_sources(rng: np.random.Generator, placed: PlacedHaloes, colour_scatter: float) -> Sources:
    """The galaxies of ``placed``, with colours C(z) of scatter ``colour_scatter`` (mag)."""
    return _members(rng, placed, colour_scatter)[0]


def _members(rng: np.random.Generator, placed: PlacedHaloes, colour_scatter: float) -> tuple[Sources, np.ndarray]:
    """The same, and the mass of each one's halo."""
    members = sample_members(rng, placed.haloes, pixel_scale_arcsec=PIXEL_SCALE_ARCSEC, ln_scatter=placed.ln_scatter)
    colour = passive_colour(members.redshift) + rng.normal(0, colour_scatter, len(members.halo))
    sources = Sources(
        placed.y_pixels[members.halo] + members.dy_pixels,
        placed.x_pixels[members.halo] + members.dx_pixels,
        members.w1_mag,
        colour,
    )
    return sources, placed.haloes.m500c_msun[members.halo]


@functools.cache
def unclustered_galaxies() -> MagnitudeCounts:
    """The field galaxies that are left when those of the group haloes are drawn one by one: the total stays as it is.

    About 0.3 of them at W1 = 16, 0.75 at 17.7 and 0.93 at 20.
    """
    w1 = np.linspace(10.0, 21.0, 221)
    redshift, mass = (axis.ravel() for axis in np.meshgrid(GROUP_REDSHIFT, GROUP_MASS_MSUN, indexing="ij"))
    in_groups = expected_counts(w1, Haloes(mass, redshift)) @ group_counts().ravel()
    share = np.clip(1 - in_groups / galaxy_density(w1), 0.0, 1.0)
    return galaxy_counts(lambda at: np.interp(at, w1, share))


def _sample_groups(
    rng: np.random.Generator, sky: InfraredSky, shape: tuple[int, int], mass_max_msun: float
) -> PlacedHaloes:
    mean = group_density_per_deg2(0.0, mass_max_msun) * area_deg2(shape, GROUP_PAD_PIXELS) * sky.group_boost
    haloes = sample_groups(rng, rng.poisson(mean), mass_max_msun=mass_max_msun)
    return PlacedHaloes(haloes, *uniform_positions(rng, len(haloes.redshift), shape, GROUP_PAD_PIXELS))


def sample_field(
    rng: np.random.Generator,
    sky: InfraredSky,
    shape: tuple[int, int],
    *,
    group_mass_max_msun: float = np.inf,
    groups: PlacedHaloes | None = None,
) -> Field:
    """Everything that an image of ``shape`` = (ny, nx) pixels holds by chance, to 16 pixels outside it.

    With ``sky.groups`` a part of the galaxies comes in explicit group haloes below ``group_mass_max_msun`` and the
    unclustered rest is thinned, so that the total counts stay as they are. ``groups``: those very ones.
    """
    pad = PSF_HALF_PIXELS
    area = area_deg2(shape, pad)
    counts = unclustered_galaxies() if sky.groups else FIELD_GALAXIES
    w1 = counts.sample(rng, rng.poisson(counts.per_deg2 * area))
    colour = field_colour(rng, field_redshift(rng, w1))
    galaxies = Sources(*uniform_positions(rng, len(w1), shape, pad), w1, colour)

    star_w1 = STARS.sample(rng, rng.poisson(STARS.per_deg2 * area * star_density_factor(sky.galactic_latitude_deg)))
    star_colour = rng.normal(0, STAR_COLOUR_SCATTER, len(star_w1))
    stars = Sources(*uniform_positions(rng, len(star_w1), shape, pad), star_w1, star_colour)

    agn_w1, agn_colour = sample_agn(rng, rng.poisson(AGN_PER_DEG2 * area))
    agn = Sources(*uniform_positions(rng, len(agn_w1), shape, pad), agn_w1, agn_colour)

    if not sky.groups:
        nothing = np.empty(0)
        groups = PlacedHaloes(Haloes(nothing, nothing), nothing, nothing)
        return Field(galaxies, stars, agn, groups, np.zeros(len(w1)))
    groups = _sample_groups(rng, sky, shape, group_mass_max_msun) if groups is None else groups
    members, host_msun = _members(rng, groups, GROUP_COLOUR_SCATTER)
    return Field(join([galaxies, members]), stars, agn, groups, np.concatenate([np.zeros(len(w1)), host_msun]))
