"""Simulated microwave cutouts: one object (or none) near the centre of a sky that is drawn afresh each time."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import scipy.fft
import scipy.ndimage
from jaxtyping import Complex, Float

from clusterjax.errors import InputError
from clusterjax.simulation.cosmology import theta500_arcmin
from clusterjax.simulation.cutout import POSITIVE_TYPE, Cutout
from clusterjax.simulation.haloes import Haloes, sample_groups, sample_training_clusters
from clusterjax.simulation.knobs import MICROWAVE_OBJECT_TYPES, MicrowaveSky
from clusterjax.simulation.microwave.bands import (
    PIXEL_SCALE_ARCMIN,
    beam_transform,
    survey_of,
    sz_uk_per_y,
)
from clusterjax.simulation.microwave.cirrus import Cirrus
from clusterjax.simulation.microwave.flat_sky import (
    PIXEL_RADIANS,
    GaussianField,
    deposit_transform,
    grid_ell,
    point_transform,
)
from clusterjax.simulation.microwave.profiles import compton_y_transform
from clusterjax.simulation.microwave.sources import (
    PointSources,
    cluster_sources,
    dusty_density_per_deg2,
    dusty_sources,
    join,
    radio_density_per_deg2,
    radio_sources,
    sample_dusty,
    sample_radio,
)
from clusterjax.simulation.microwave.spectra import map_covariance

_CENTRE_SCATTER_PIXELS = 0.5  # of single sources
_GROUP_MASSES_MSUN = (3e13, 1.2e14)
_NEAR_MISS_ARCMIN = (4.0, 10.0)
_AGN_FLUX_MJY, _RADIO_FLUX_MJY, _DUSTY_FLUX_MJY = (2.0, 10.0), (10.0, 200.0), (8.0, 60.0)
_EXTREMUM_SMOOTHING_PIXELS = 4.0  # the scale of a cluster
_EXTREMUM_BAND = 1  # f150


@dataclasses.dataclass(frozen=True, eq=False)
class Setting:
    """What all cutouts of one size and sky share, on the periodic grid that they are cut from."""

    field: GaussianField
    ell: Float[np.ndarray, "ky kx"]
    beam: Float[np.ndarray, "band ky kx"]
    cirrus: Cirrus | None  # where dust is not part of ``field``


def setting_of(sky: MicrowaveSky, size: int) -> Setting:
    return _setting(dataclasses.astuple(sky), size)


@functools.lru_cache(maxsize=4)
def _setting(knobs: tuple, size: int) -> Setting:
    sky = MicrowaveSky(*knobs)
    scattered = sky.cirrus_scatter > 0
    field = GaussianField(functools.partial(map_covariance, sky, with_dust=not scattered), (size, size))
    ell = grid_ell(field.padded)
    beam = np.moveaxis(beam_transform(survey_of(sky), ell), -1, 0).astype(np.float32)
    return Setting(field, ell, beam, Cirrus(sky, (size, size)) if scattered else None)


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
    distance = rng.uniform(*_NEAR_MISS_ARCMIN) / PIXEL_SCALE_ARCMIN
    angle = rng.uniform(0, 2 * np.pi)
    return _halo(
        rng, sky, _training_cluster(rng, sky), middle + distance * np.sin(angle), middle + distance * np.cos(angle)
    )


def _group(rng, sky, middle):
    low, high = _GROUP_MASSES_MSUN
    dy, dx = rng.uniform(-1, 1, 2) * sky.centre_offset_arcmin / PIXEL_SCALE_ARCMIN
    return _halo(rng, sky, sample_groups(rng, 1, mass_min_msun=low, mass_max_msun=high), middle + dy, middle + dx)


def _random(rng, sky, middle):
    return _Object(middle, middle)


def _cmb_extremum(rng, sky, middle):
    return _Object(middle, middle, seek_extremum=True)


def _source(rng, middle: float, make: Callable, flux_range: tuple[float, float]) -> _Object:
    y, x = middle + rng.normal(0, _CENTRE_SCATTER_PIXELS, (2, 1))
    return _Object(float(y[0]), float(x[0]), sources=make(y, x, _log_uniform(rng, *flux_range)))


def _agn(rng, sky, middle):
    return _source(rng, middle, functools.partial(radio_sources, rng, sky), _AGN_FLUX_MJY)


def _radio(rng, sky, middle):
    return _source(rng, middle, functools.partial(radio_sources, rng, sky), _RADIO_FLUX_MJY)


def _dusty(rng, sky, middle):
    return _source(rng, middle, functools.partial(dusty_sources, sky), _DUSTY_FLUX_MJY)


_RECIPES: dict[str, Callable[[np.random.Generator, MicrowaveSky, float], _Object]] = {
    "cluster": _cluster,
    "random": _random,
    "agn": _agn,
    "radio": _radio,
    "dusty": _dusty,
    "group": _group,
    "cmb_extremum": _cmb_extremum,
    "near_miss": _near_miss,
}
assert tuple(_RECIPES) == MICROWAVE_OBJECT_TYPES


def field_sources(rng: np.random.Generator, sky: MicrowaveSky, shape: tuple[int, int]) -> PointSources:
    """Radio and dusty galaxies at random over ``shape`` pixels, at their true densities."""
    area_deg2 = shape[0] * shape[1] * (PIXEL_SCALE_ARCMIN / 60) ** 2
    counts = rng.poisson(np.array([radio_density_per_deg2(sky), dusty_density_per_deg2()]) * area_deg2)
    parts = []
    for count, sample in zip(counts.tolist(), (sample_radio, sample_dusty), strict=True):
        y, x = (rng.uniform(-0.5, side - 0.5, count) for side in shape)
        parts.append(sample(rng, sky, count, y, x))
    return join(parts)


def _roll_extremum(grid: np.ndarray, size: int, *, hot: bool) -> np.ndarray:
    """Move the hottest or coldest place, on a cluster's scale, of the middle half of the map to its middle."""
    smooth = scipy.ndimage.gaussian_filter(grid[_EXTREMUM_BAND], _EXTREMUM_SMOOTHING_PIXELS, mode="wrap")
    low, high = size // 4, size - size // 4
    part = smooth[low:high, low:high] * (1 if hot else -1)
    y, x = np.unravel_index(np.argmax(part), part.shape)
    return np.roll(grid, (size // 2 - low - y, size // 2 - low - x), axis=(1, 2))


def halo_transform(
    sky: MicrowaveSky, y_transform: Float[np.ndarray, "ky kx"], y_pixels: float, x_pixels: float, shape: tuple[int, int]
) -> Complex[np.ndarray, "band ky kx"]:
    """``rfft2`` of a halo's SZ effect in µK at a place, before the beams, from the transform of its Compton y (sr)."""
    halo = y_transform / PIXEL_RADIANS**2 * point_transform(y_pixels, x_pixels, shape)
    return sz_uk_per_y(survey_of(sky)).astype(np.float32)[:, None, None] * halo.astype(np.complex64)


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
    field, beam = setting.field, setting.beam
    target = _RECIPES[object_type](rng, sky, (size - 1) / 2)
    if sky.beam_error:
        scale = 1 + rng.normal(0, sky.beam_error)
        beam = np.moveaxis(beam_transform(survey_of(sky), setting.ell, scale=scale), -1, 0).astype(np.float32)

    sources = field_sources(rng, sky, field.padded)
    if target.sources is not None:
        sources = join([sources, target.sources])
    transform = field.draw_transform(rng)
    weight = sources.uk_sr.T / PIXEL_RADIANS**2 * (1.0 if paint_sources else 0.0)
    objects = deposit_transform(sources.y_pixels, sources.x_pixels, weight, field.padded)
    if np.isfinite(target.m500c_msun):
        mass = sky.mass_ratio * target.m500c_msun
        y_transform = compton_y_transform(setting.ell, mass, target.redshift, profile=sky.profile)
        y_transform *= np.exp(rng.normal(0, sky.scatter_ln))
        objects += halo_transform(sky, y_transform, target.y_pixels, target.x_pixels, field.padded)
    objects *= beam
    transform += objects
    beyond = 0.0
    if setting.cirrus is not None:
        dust, beyond = setting.cirrus.draw(rng, beam)
        transform += dust
    if target.seek_extremum:
        grid = scipy.fft.irfft2(transform, s=field.padded, axes=(1, 2))
        image = _roll_extremum(grid, size, hot=rng.random() < 0.5)[:, :size, :size]
    else:
        image = field.cut(transform)
    image = image + field.draw_long_waves(rng) + beyond
    image -= np.median(image, axis=(1, 2), keepdims=True)
    return Cutout(
        image=np.ascontiguousarray(np.moveaxis(image, 0, -1), np.float32),
        label=int(object_type == POSITIVE_TYPE),
        object_type=object_type,
        redshift=target.redshift,
        m500c_msun=target.m500c_msun,
        centre_y_pixels=target.y_pixels,
        centre_x_pixels=target.x_pixels,
        own_sources=0 if target.sources is None else len(target.sources.flux_mjy),
    )
