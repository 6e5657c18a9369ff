"""Simulated unWISE cutouts: one object (or none) near the centre of a field that is drawn afresh each time."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from clusterjax.errors import InputError
from clusterjax.simulation.cutout import POSITIVE_TYPE, Cutout
from clusterjax.simulation.haloes import Haloes, PlacedHaloes, sample_groups, sample_training_clusters
from clusterjax.simulation.infrared.field import (
    GROUP_COLOUR_SCATTER,
    Field,
    member_sources,
    sample_field,
)
from clusterjax.simulation.infrared.populations import (
    STAR_COLOUR_SCATTER,
    Sources,
    field_colour,
    field_redshift,
    join,
    sample_agn,
)
from clusterjax.simulation.infrared.psf import (
    ARTEFACTS_BRIGHTER_THAN_W1,
    BANDS,
    PIXEL_SCALE_ARCSEC,
    StarArtefacts,
    add_star_artefacts,
)
from clusterjax.simulation.infrared.rendering import draw_psf_scale, pixel_noise, render, source_fluxes
from clusterjax.simulation.knobs import OBJECT_TYPES, InfraredSky
from clusterjax.simulation.levels import block_light, median, name_levels

LEVELS = name_levels(BANDS)
NEGATIVE_FREE_OF_MSUN = 1e14  # no halo above this mass lies in the field of a negative
_CENTRE_SCATTER_PIXELS = 1.0  # of single objects: a catalogue position is a pixel off
_GROUP_MASSES_MSUN = (3e13, 1.2e14)
_PAIR_SEPARATION_ARCSEC = (5.0, 25.0)
_LATENT_PROBABILITY = 0.5


class CentralObject(NamedTuple):
    """What a cutout has near its centre."""

    sources: Sources | None
    y_pixels: float
    x_pixels: float
    redshift: float = np.nan
    m500c_msun: float = np.nan


def _halo(rng, sky: InfraredSky, middle: float, haloes: Haloes, colour_scatter: float) -> CentralObject:
    """One halo, miscentred by a Rayleigh distance."""
    dy, dx = rng.normal(0, sky.centre_sigma_pixels, 2)
    placed = PlacedHaloes(haloes, np.array([middle + dy]), np.array([middle + dx]))
    members = member_sources(rng, placed, colour_scatter)
    return CentralObject(members, middle + dy, middle + dx, float(haloes.redshift[0]), float(haloes.m500c_msun[0]))


def _point(rng, middle: float, w1: float, colour: float, redshift: float = np.nan) -> CentralObject:
    y, x = middle + rng.normal(0, _CENTRE_SCATTER_PIXELS, 2)
    return CentralObject(Sources(*(np.array([value]) for value in (y, x, w1, colour))), y, x, redshift)


def _cluster(rng, sky, middle):
    haloes = sample_training_clusters(rng, 1, mass_floor_msun=sky.mass_floor_msun, redshift_max=sky.redshift_max)
    return _halo(rng, sky, middle, haloes, sky.colour_scatter)


def _group(rng, sky, middle):
    low, high = _GROUP_MASSES_MSUN
    haloes = sample_groups(rng, 1, mass_min_msun=low, mass_max_msun=high)
    return _halo(rng, sky, middle, haloes, GROUP_COLOUR_SCATTER)


def _random(rng, sky, middle):
    return CentralObject(None, middle, middle)


def _galaxy(rng, sky, middle):
    w1 = rng.uniform(11, 15, 1)
    redshift = field_redshift(rng, w1)
    return _point(rng, middle, w1[0], field_colour(rng, redshift)[0], float(redshift[0]))


def _pair(rng, sky, middle):
    """Two galaxies of W1 13 to 16.5 at one redshift, 5 to 25 arcsec apart: a would-be BCG and companion."""
    w1 = rng.uniform(13, 16.5, 2)
    redshift = np.repeat(field_redshift(rng, w1[:1]), 2)
    y, x = middle + rng.normal(0, _CENTRE_SCATTER_PIXELS, 2)
    separation = rng.uniform(*_PAIR_SEPARATION_ARCSEC) / PIXEL_SCALE_ARCSEC
    angle = rng.uniform(0, 2 * np.pi)
    half = np.array([-0.5, 0.5]) * separation
    sources = Sources(y + half * np.sin(angle), x + half * np.cos(angle), w1, field_colour(rng, redshift))
    return CentralObject(sources, y, x, float(redshift[0]))


def _star(rng, sky, middle):
    return _point(rng, middle, rng.uniform(8, 13), rng.normal(0, STAR_COLOUR_SCATTER))


def _bright_star(rng, sky, middle):
    """W1 4 to 8: bright enough for a halo, diffraction spikes and a latent image."""
    return _point(rng, middle, rng.uniform(4, ARTEFACTS_BRIGHTER_THAN_W1), rng.normal(0, STAR_COLOUR_SCATTER))


def _agn(rng, sky, middle):
    w1, colour = sample_agn(rng, 1)
    return _point(rng, middle, w1[0], colour[0])


_RECIPES: dict[str, Callable[[np.random.Generator, InfraredSky, float], CentralObject]] = {
    "cluster": _cluster,
    "random": _random,
    "galaxy": _galaxy,
    "star": _star,
    "agn": _agn,
    "group": _group,
    "pair": _pair,
    "bright_star": _bright_star,
}
assert tuple(_RECIPES) == OBJECT_TYPES


def sample_object(rng: np.random.Generator, sky: InfraredSky, object_type: str, *, size: int = 64) -> CentralObject:
    """An object of a type near the centre of a cutout of ``size`` pixels a side."""
    return _RECIPES[object_type](rng, sky, (size - 1) / 2)


def paint_star_artefacts(
    rng: np.random.Generator, image: np.ndarray, stars: Sources, *, spike_angle_rad: float
) -> None:
    """Add, in place, halo, spikes and (for every other star) a latent image to the stars brighter than W1 = 8."""
    fluxes = source_fluxes(stars)
    for i in np.flatnonzero(stars.w1_mag < ARTEFACTS_BRIGHTER_THAN_W1):
        direction, distance = rng.uniform(0, 2 * np.pi), rng.uniform(10, 28)
        share = 10 ** rng.uniform(-4, -3.3) if rng.random() < _LATENT_PROBABILITY else 0.0
        artefacts = StarArtefacts(spike_angle_rad, distance * np.sin(direction), distance * np.cos(direction), share)
        add_star_artefacts(image, stars.y_pixels[i], stars.x_pixels[i], fluxes[:, i], artefacts)


def _tilt(rng: np.random.Generator, size: int) -> np.ndarray:
    """A plane of peak-to-peak 1 over the image, in a random direction."""
    angle = rng.uniform(0, 2 * np.pi)
    axis = np.linspace(-0.5, 0.5, size)
    plane = axis[:, None] * np.sin(angle) + axis[None, :] * np.cos(angle)
    return plane / max(np.ptp(plane), 1e-9)


def simulate_cutout(sky: InfraredSky, object_type: str, rng: np.random.Generator, *, size: int = 64) -> Cutout:
    """One cutout of ``size`` x ``size`` pixels of 2.75 arcsec with an object of ``object_type`` near its centre.

    The background's median over the cutout is subtracted before the noise is added. The field of a negative holds no
    halo above 1e14 Msun (apart from a group at its centre). Raises :class:`InputError` for an unknown type.
    """
    if object_type not in _RECIPES:
        raise InputError(f"object_type={object_type!r} is unknown; use one of {', '.join(OBJECT_TYPES)}")
    positive = object_type == POSITIVE_TYPE
    target = sample_object(rng, sky, object_type, size=size)
    field = sample_field(rng, sky, (size, size), group_mass_max_msun=np.inf if positive else NEGATIVE_FREE_OF_MSUN)
    image, level = paint_cutout(rng, sky, field, target.sources, size=size, is_star=object_type == "bright_star")
    return Cutout(
        image=image,
        label=int(positive),
        object_type=object_type,
        redshift=target.redshift,
        m500c_msun=target.m500c_msun,
        centre_y_pixels=float(target.y_pixels),
        centre_x_pixels=float(target.x_pixels),
        levels=dict(zip(LEVELS, level.tolist(), strict=True)),
    )


def paint_cutout(
    rng: np.random.Generator, sky: InfraredSky, field: Field, own: Sources | None, *, size: int, is_star: bool = False
) -> tuple[Float[np.ndarray, "y x band"], Float[np.ndarray, " band"]]:
    """The image of a field and of the object's ``own`` sources, with noise; ``is_star``: with a bright star's halo.

    With it the field's level, nMgy a pixel: the median of the light of its sources over blocks of the image, without
    groups that are too heavy for a negative's field.
    """
    parts = [field.sources()] if own is None else [own, field.sources()]
    image = render(join(parts), (size, size), psf_scale=draw_psf_scale(rng, sky))
    stars = join([field.stars, own]) if is_star else field.stars
    if (stars.w1_mag < ARTEFACTS_BRIGHTER_THAN_W1).any():
        paint_star_artefacts(rng, image, stars, spike_angle_rad=rng.uniform(0, np.pi / 2))
    noise = pixel_noise(sky)
    if sky.background_gradient:
        image += _tilt(rng, size)[..., None] * (sky.background_gradient * noise)
    image -= median(np.moveaxis(image, -1, 0).reshape(len(BANDS), -1))
    image += rng.standard_normal(image.shape, np.float32) * noise.astype(np.float32)
    # No negative has a heavier group in its field: in a positive one's it goes with the label.
    behind = field.without_groups_above(NEGATIVE_FREE_OF_MSUN)
    level = median(block_light(behind.y_pixels, behind.x_pixels, source_fluxes(behind), size))
    return np.asarray(image, np.float32), level
