"""Simulated microwave cutouts: one object (or none) near the centre of a sky that is drawn afresh each time."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from clusterjax.errors import InputError
from clusterjax.simulation.cosmology import theta500_arcmin
from clusterjax.simulation.cutout import POSITIVE_TYPE, Cutout
from clusterjax.simulation.haloes import Haloes, sample_groups, sample_training_clusters
from clusterjax.simulation.knobs import MICROWAVE_OBJECT_TYPES, MicrowaveSky
from clusterjax.simulation.levels import name_levels
from clusterjax.simulation.microwave.bands import PIXEL_SCALE_ARCMIN, survey_of
from clusterjax.simulation.microwave.profiles import compton_y_transform
from clusterjax.simulation.microwave.sources import PointSources, cluster_sources, dusty_sources, radio_sources
from clusterjax.simulation.microwave.surroundings import Signal, halo_transform, paint_cutout, setting_of

_CENTRE_SCATTER_PIXELS = 0.5  # of single sources
GROUP_MASSES_MSUN = (3e13, 1.2e14)
NEAR_MISS_ARCMIN = (4.0, 10.0)
_FLUX_MJY = {"agn": (2.0, 10.0), "radio": (10.0, 200.0), "dusty": (8.0, 60.0)}


@dataclasses.dataclass
class _Object:
    """An object near the centre: a halo's SZ effect or sources, on the padded grid's pixels."""

    y_pixels: float
    x_pixels: float
    redshift: float = np.nan
    m500c_msun: float = np.nan
    sources: PointSources | None = None
    seek_extremum: bool = False


def _log_uniform(rng, low: float, high: float) -> np.ndarray:
    return np.exp(rng.uniform(np.log(low), np.log(high), 1))


def _halo(rng, sky: MicrowaveSky, haloes: Haloes, y: float, x: float) -> _Object:
    target = _Object(y, x, float(haloes.redshift[0]), float(haloes.m500c_msun[0]))
    if rng.random() < sky.radio_in_clusters:
        target.sources = cluster_sources(rng, sky, np.array([y]), np.array([x]), theta500_arcmin(*haloes))
    return target


def _training_cluster(rng, sky: MicrowaveSky) -> Haloes:
    return sample_training_clusters(rng, 1, mass_floor_msun=sky.mass_floor_msun, redshift_max=sky.redshift_max)


def _cluster(rng, sky, middle):
    dy, dx = rng.uniform(-1, 1, 2) * sky.centre_offset_arcmin / PIXEL_SCALE_ARCMIN
    return _halo(rng, sky, _training_cluster(rng, sky), middle + dy, middle + dx)


def _near_miss(rng, sky, middle):
    distance = rng.uniform(*NEAR_MISS_ARCMIN) / PIXEL_SCALE_ARCMIN
    angle = rng.uniform(0, 2 * np.pi)
    return _halo(
        rng, sky, _training_cluster(rng, sky), middle + distance * np.sin(angle), middle + distance * np.cos(angle)
    )


def _group(rng, sky, middle):
    low, high = GROUP_MASSES_MSUN
    dy, dx = rng.uniform(-1, 1, 2) * sky.centre_offset_arcmin / PIXEL_SCALE_ARCMIN
    return _halo(rng, sky, sample_groups(rng, 1, mass_min_msun=low, mass_max_msun=high), middle + dy, middle + dx)


def _random(rng, sky, middle):
    return _Object(middle, middle)


def _cmb_extremum(rng, sky, middle):
    return _Object(middle, middle, seek_extremum=True)


def source_at(rng, sky: MicrowaveSky, object_type: str, y: np.ndarray, x: np.ndarray) -> PointSources:
    """One source of the type agn, radio or dusty at a place in pixels, given as arrays of one."""
    flux = _log_uniform(rng, *_FLUX_MJY[object_type])
    return dusty_sources(sky, y, x, flux) if object_type == "dusty" else radio_sources(rng, sky, y, x, flux)


def _source(object_type: str, rng, sky, middle):
    y, x = middle + rng.normal(0, _CENTRE_SCATTER_PIXELS, (2, 1))
    return _Object(float(y[0]), float(x[0]), sources=source_at(rng, sky, object_type, y, x))


_RECIPES: dict[str, Callable[[np.random.Generator, MicrowaveSky, float], _Object]] = {
    "cluster": _cluster,
    "random": _random,
    "agn": functools.partial(_source, "agn"),
    "radio": functools.partial(_source, "radio"),
    "dusty": functools.partial(_source, "dusty"),
    "group": _group,
    "cmb_extremum": _cmb_extremum,
    "near_miss": _near_miss,
}
assert tuple(_RECIPES) == MICROWAVE_OBJECT_TYPES


def levels_of(sky: MicrowaveSky) -> tuple[str, ...]:
    """Names of the levels that a cutout has."""
    return name_levels(survey_of(sky).bands)


def simulate_cutout(
    sky: MicrowaveSky, object_type: str, rng: np.random.Generator, *, size: int = 64, paint_sources: bool = True
) -> Cutout:
    """One cutout of ``size`` x ``size`` pixels of 0.5 arcmin with an object of ``object_type`` near its centre.

    Three bands in µK of the CMB, each with its median over the cutout subtracted. With the object come the CMB,
    foregrounds (the SZ effect of unseen haloes among them) as one Gaussian field, radio and dusty galaxies, and noise.
    Without ``paint_sources`` it is the same sky, from the same random numbers, but for these galaxies.
    Raises :class:`InputError` for an unknown type.
    """
    if object_type not in _RECIPES:
        raise InputError(f"object_type={object_type!r} is unknown; use one of {', '.join(MICROWAVE_OBJECT_TYPES)}")
    setting = setting_of(sky, size)
    target = _RECIPES[object_type](rng, sky, (size - 1) / 2)

    def signal() -> tuple[Signal, Signal]:
        if not np.isfinite(target.m500c_msun):
            return 0.0, 0.0
        mass = sky.mass_ratio * target.m500c_msun
        y_transform = compton_y_transform(setting.ell, mass, target.redshift, profile=sky.profile)
        y_transform *= np.exp(rng.normal(0, sky.scatter_ln))
        halo = halo_transform(sky, y_transform, target.y_pixels, target.x_pixels, setting.field.padded)
        return halo, halo

    image, level = paint_cutout(
        rng, sky, setting, target.sources, signal, seek_extremum=target.seek_extremum, paint_sources=paint_sources
    )
    return Cutout(
        image=image,
        label=int(object_type == POSITIVE_TYPE),
        object_type=object_type,
        redshift=target.redshift,
        m500c_msun=target.m500c_msun,
        centre_y_pixels=target.y_pixels,
        centre_x_pixels=target.x_pixels,
        own_sources=0 if target.sources is None else len(target.sources.flux_mjy),
        levels=dict(zip(levels_of(sky), level.tolist(), strict=True)),
    )
