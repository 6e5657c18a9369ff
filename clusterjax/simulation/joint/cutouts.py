"""Simulated joint cutouts: W1 and W2 of 2.75" pixels and 98, 150, 220 GHz of 0.5' pixels about one position.

Both are of as many pixels, so the infrared bands show 2.9' of the sky and the microwave bands 32': one image (y, x,
band) whose bands have pixels of two scales. Flips and quarter turns about the centre are the same for both.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from clusterjax.errors import InputError
from clusterjax.simulation.cutout import POSITIVE_TYPE, Cutout
from clusterjax.simulation.haloes import Haloes, PlacedHaloes, sample_groups, sample_training_clusters
from clusterjax.simulation.infrared import cutouts as infrared
from clusterjax.simulation.infrared.field import GROUP_COLOUR_SCATTER, GROUP_PAD_PIXELS, member_sources, sample_field
from clusterjax.simulation.infrared.populations import Sources
from clusterjax.simulation.joint.haloes import INFRARED_PIXEL_ARCMIN, JointHaloes, join, place, sample_surroundings
from clusterjax.simulation.knobs import JOINT_OBJECT_TYPES, JointSky
from clusterjax.simulation.microwave import cutouts as microwave
from clusterjax.simulation.microwave.bands import PIXEL_SCALE_ARCMIN, survey_of, sz_uk_per_y
from clusterjax.simulation.microwave.flat_sky import PIXEL_RADIANS, padded_side
from clusterjax.simulation.microwave.painting import paint_haloes
from clusterjax.simulation.microwave.profiles import compton_y_transform
from clusterjax.simulation.microwave.sources import PointSources, sources_in_haloes
from clusterjax.simulation.microwave.surroundings import Setting, Signal, halo_transform, paint_cutout, setting_of

NO_CLUSTER_WITHIN_ARCMIN = 10.0  # of the centre, but for the object itself
_SIZE_RATIO = 1.3  # between the sizes that the surroundings' haloes are painted at


@dataclasses.dataclass
class _Object:
    """What is near the centre: a halo, sources of the infrared or microwave image, or nothing."""

    halo: JointHaloes | None = None
    infrared: Sources | None = None
    microwave: PointSources | None = None
    redshift: float = np.nan
    seek_extremum: bool = False


def _training_cluster(rng, sky: JointSky) -> Haloes:
    knobs = sky.haloes
    return sample_training_clusters(rng, 1, mass_floor_msun=knobs.mass_floor_msun, redshift_max=knobs.redshift_max)


def _near_centre(rng, sky: JointSky, haloes: Haloes) -> _Object:
    return _Object(place(rng, sky, haloes, *rng.normal(0, sky.haloes.centre_sigma_arcmin, (2, 1))))


def _cluster(rng, sky, size):
    return _near_centre(rng, sky, _training_cluster(rng, sky))


def _group(rng, sky, size):
    low, high = microwave.GROUP_MASSES_MSUN
    return _near_centre(rng, sky, sample_groups(rng, 1, mass_min_msun=low, mass_max_msun=high))


def _near_miss(rng, sky, size):
    distance, angle = rng.uniform(*microwave.NEAR_MISS_ARCMIN, 1), rng.uniform(0, 2 * np.pi, 1)
    return _Object(place(rng, sky, _training_cluster(rng, sky), distance * np.sin(angle), distance * np.cos(angle)))


def _random(rng, sky, size):
    return _Object()


def _cmb_extremum(rng, sky, size):
    # The microwave image is moved so that the extremum is in the middle: its haloes are then not the infrared's.
    return _Object(seek_extremum=True)


def _dusty(rng, sky, size):
    middle = np.array([(size - 1) / 2])
    return _Object(microwave=microwave.source_at(rng, sky.microwave, "dusty", middle, middle))


def _infrared_object(object_type: str) -> Callable[..., _Object]:
    """Stars and galaxies are seen in the infrared alone."""

    def sample(rng, sky, size):
        found = infrared.sample_object(rng, sky.infrared, object_type, size=size)
        return _Object(infrared=found.sources, redshift=found.redshift)

    return sample


def _active_galaxy(object_type: str) -> Callable[..., _Object]:
    """An AGN of the infrared that is a radio galaxy at the same place: faint (agn), or bright (radio)."""

    def sample(rng, sky, size):
        found = infrared.sample_object(rng, sky.infrared, "agn", size=size)
        middle, scale = (size - 1) / 2, INFRARED_PIXEL_ARCMIN / PIXEL_SCALE_ARCMIN
        y, x = (np.array([middle + scale * (at - middle)]) for at in (found.y_pixels, found.x_pixels))
        return _Object(infrared=found.sources, microwave=microwave.source_at(rng, sky.microwave, object_type, y, x))

    return sample


_RECIPES: dict[str, Callable[[np.random.Generator, JointSky, int], _Object]] = {
    "cluster": _cluster,
    "random": _random,
    "galaxy": _infrared_object("galaxy"),
    "star": _infrared_object("star"),
    "agn": _active_galaxy("agn"),
    "group": _group,
    "pair": _infrared_object("pair"),
    "bright_star": _infrared_object("bright_star"),
    "radio": _active_galaxy("radio"),
    "dusty": _dusty,
    "cmb_extremum": _cmb_extremum,
    "near_miss": _near_miss,
}
assert tuple(_RECIPES) == JOINT_OBJECT_TYPES


def simulate_cutout(sky: JointSky, object_type: str, rng: np.random.Generator, *, size: int = 64) -> Cutout:
    """One cutout of ``size`` x ``size`` pixels, infrared bands first, with an object of a type near the centre.

    Both images hold the same haloes: the object's, groups (in the microwave above 3e13 Msun) and, 10' and more from the
    centre, clusters. Infrared bands in Vega nMgy, microwave bands in µK, as those of either sky alone.
    ``centre_y_pixels`` and ``centre_x_pixels`` are on the infrared pixels, NaN where it is not seen there. Raises
    :class:`InputError` for an unknown type.
    """
    if object_type not in _RECIPES:
        raise InputError(f"object_type={object_type!r} is unknown; use one of {', '.join(JOINT_OBJECT_TYPES)}")
    positive = object_type == POSITIVE_TYPE
    target = _RECIPES[object_type](rng, sky, size)
    setting = setting_of(sky.microwave, size, tsz_painted=True)
    clusters, groups, light = sample_surroundings(rng, sky, infrared_side=size, microwave_side=padded_side(size))
    clusters = clusters.select(np.hypot(clusters.y_arcmin, clusters.x_arcmin) > NO_CLUSTER_WITHIN_ARCMIN)
    # No negative has such a halo near it: beside a positive one goes with the label, and is no part of the sky behind.
    heavy = groups.haloes.m500c_msun > infrared.NEGATIVE_FREE_OF_MSUN
    heavy &= np.hypot(groups.y_arcmin, groups.x_arcmin) <= NO_CLUSTER_WITHIN_ARCMIN
    groups, beside = groups.select(~heavy | positive), groups.select(heavy & positive)
    infrared_image, infrared_level = _paint_infrared(rng, sky, target, join(light, groups), size, object_type)
    microwave_image, microwave_level = _paint_microwave(rng, sky, setting, target, join(groups, clusters), beside, size)
    centre_y, centre_x = (size - 1) / 2, (size - 1) / 2
    redshift, mass = target.redshift, np.nan
    if target.halo is not None:
        placed = target.halo.infrared((size, size))
        (mass,), (redshift,) = placed.haloes
        centre_y, centre_x = placed.y_pixels[0], placed.x_pixels[0]
    return Cutout(
        image=np.concatenate([infrared_image, microwave_image], axis=-1),
        label=int(positive),
        object_type=object_type,
        redshift=float(redshift),
        m500c_msun=float(mass),
        centre_y_pixels=float(centre_y),
        centre_x_pixels=float(centre_x),
        levels=dict(zip(levels_of(sky), [*infrared_level.tolist(), *microwave_level.tolist()], strict=True)),
    )


def levels_of(sky: JointSky) -> tuple[str, ...]:
    """Names of the levels that a cutout has, infrared bands first."""
    return infrared.LEVELS + microwave.levels_of(sky.microwave)


def _paint_infrared(rng, sky: JointSky, target: _Object, haloes: JointHaloes, size: int, object_type: str):
    reach = (size / 2 + GROUP_PAD_PIXELS) * INFRARED_PIXEL_ARCMIN
    near = np.maximum(np.abs(haloes.y_arcmin), np.abs(haloes.x_arcmin)) < reach
    own = target.infrared
    if target.halo is not None:
        scatter = GROUP_COLOUR_SCATTER if object_type == "group" else sky.infrared.colour_scatter
        own = member_sources(rng, target.halo.infrared((size, size)), scatter)
    field = sample_field(rng, sky.infrared, (size, size), groups=haloes.select(near).infrared((size, size)))
    return infrared.paint_cutout(rng, sky.infrared, field, own, size=size, is_star=object_type == "bright_star")


def _paint_microwave(
    rng, sky: JointSky, setting: Setting, target: _Object, haloes: JointHaloes, beside: JointHaloes, size: int
):
    """``beside`` are those of ``haloes`` that go with the label."""
    knobs, grid = sky.microwave, setting.field.padded
    placed, own = haloes.microwave((size, size)), target.microwave
    if target.halo is not None:
        own = sources_in_haloes(rng, knobs, target.halo.microwave((size, size)))

    def paint(haloes: PlacedHaloes) -> np.ndarray:
        y_transform = paint_haloes(
            rng, knobs, *haloes[:3], grid, pixel_radians=PIXEL_RADIANS, ln_scatter=haloes.ln_scatter,
            size_ratio=_SIZE_RATIO,
        )  # fmt: skip
        return sz_uk_per_y(survey_of(knobs)).astype(np.float32)[:, None, None] * y_transform

    def signal() -> tuple[Signal, Signal]:
        painted = paint(placed)
        with_label = paint(beside.microwave((size, size))) if len(beside.y_arcmin) else 0.0
        if target.halo is not None:
            halo = target.halo.microwave((size, size))
            (mass,), (redshift,) = halo.haloes
            profile = compton_y_transform(setting.ell, knobs.mass_ratio * mass, redshift, profile=knobs.profile)
            profile = profile * np.exp(halo.ln_scatter[0])
            own_halo = halo_transform(knobs, profile, halo.y_pixels[0], halo.x_pixels[0], grid)
            return painted + own_halo, own_halo + with_label
        return painted, with_label

    return paint_cutout(rng, knobs, setting, own, signal, seek_extremum=target.seek_extremum)
