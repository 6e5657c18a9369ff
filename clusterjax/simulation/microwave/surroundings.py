"""The microwave sky about one object: all that a cutout holds besides, and how they become an image."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import scipy.fft
import scipy.ndimage
from jaxtyping import Complex, Float

from clusterjax.simulation.knobs import MicrowaveSky
from clusterjax.simulation.levels import ThinnedMap, median
from clusterjax.simulation.microwave.bands import PIXEL_SCALE_ARCMIN, beam_transform, survey_of, sz_uk_per_y
from clusterjax.simulation.microwave.cirrus import Cirrus
from clusterjax.simulation.microwave.flat_sky import (
    PIXEL_RADIANS,
    GaussianField,
    deposit_transform,
    grid_ell,
    point_transform,
)
from clusterjax.simulation.microwave.sources import (
    PointSources,
    dusty_density_per_deg2,
    join,
    radio_density_per_deg2,
    sample_dusty,
    sample_radio,
)
from clusterjax.simulation.microwave.spectra import map_covariance

_EXTREMUM_SMOOTHING_PIXELS = 4.0  # the scale of a cluster
_EXTREMUM_BAND = 1  # f150
Signal = Complex[np.ndarray, "band ky kx"] | float  # a transform, or 0.0


@dataclasses.dataclass(frozen=True, eq=False)
class Setting:
    """What all cutouts of one size and sky share, on the periodic grid that they are cut from."""

    field: GaussianField
    ell: Float[np.ndarray, "ky kx"]
    beam: Float[np.ndarray, "band ky kx"]
    cirrus: Cirrus | None  # where dust is not part of ``field``
    thinned: ThinnedMap


def setting_of(sky: MicrowaveSky, size: int, *, tsz_painted: bool = False) -> Setting:
    """``tsz_painted``: without the SZ effect of unseen haloes, which are then painted one by one."""
    return _setting(dataclasses.astuple(sky), size, tsz_painted)


@functools.lru_cache(maxsize=4)
def _setting(knobs: tuple, size: int, tsz_painted: bool) -> Setting:
    sky = MicrowaveSky(*knobs)
    scattered = sky.cirrus_scatter > 0
    covariance = functools.partial(map_covariance, sky, tsz_painted=tsz_painted, with_dust=not scattered)
    field = GaussianField(covariance, (size, size))
    ell = grid_ell(field.padded)
    beam = np.moveaxis(beam_transform(survey_of(sky), ell), -1, 0).astype(np.float32)
    return Setting(
        field, ell, beam, Cirrus(sky, (size, size)) if scattered else None, ThinnedMap(field.padded, field.shape)
    )


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


def paint_cutout(
    rng: np.random.Generator,
    sky: MicrowaveSky,
    setting: Setting,
    own: PointSources | None,
    signal: Callable[[], tuple[Signal, Signal]],
    *,
    seek_extremum: bool = False,
    paint_sources: bool = True,
) -> tuple[Float[np.ndarray, "y x band"], Float[np.ndarray, " band"]]:
    """The image of a sky with an object's ``own`` sources and the haloes' ``signal`` in µK (``rfft2``, no beams).

    ``signal`` gives that of all haloes and that of the object's own. With the image comes the level of the sky without
    the object, its sources and its halo, in µK: the median of its long waves over the image. NaN for an extremum.
    """
    field, beam, size = setting.field, setting.beam, setting.field.shape[0]
    if sky.beam_error:
        scale = 1 + rng.normal(0, sky.beam_error)
        beam = np.moveaxis(beam_transform(survey_of(sky), setting.ell, scale=scale), -1, 0).astype(np.float32)
    sources = field_sources(rng, sky, field.padded)
    if own is not None:
        sources = join([sources, own])
    transform = field.draw_transform(rng)
    weight = sources.uk_sr.T / PIXEL_RADIANS**2 * (1.0 if paint_sources else 0.0)
    objects = deposit_transform(sources.y_pixels, sources.x_pixels, weight, field.padded)
    haloes, halo = signal()
    objects += haloes
    objects *= beam
    transform += objects
    beyond = 0.0
    if setting.cirrus is not None:
        dust, beyond = setting.cirrus.draw(rng, beam)
        transform += dust
    if seek_extremum:
        grid = scipy.fft.irfft2(transform, s=field.padded, axes=(1, 2))
        image = _roll_extremum(grid, size, hot=rng.random() < 0.5)[:, :size, :size]
    else:
        image = field.cut(transform)
    long_waves = field.draw_long_waves(rng)
    image = image + long_waves + beyond
    image -= median(image.reshape(field.num_bands, -1))[:, None, None]
    level = np.full(field.num_bands, np.nan)
    if not seek_extremum:
        level = _level_behind(setting, transform, beam, own if paint_sources else None, halo, long_waves + beyond)
    return np.ascontiguousarray(np.moveaxis(image, 0, -1), np.float32), level


def _level_behind(
    setting: Setting,
    transform: Complex[np.ndarray, "band ky kx"],
    beam: Float[np.ndarray, "band ky kx"],
    own: PointSources | None,
    halo: Signal,
    added: Float[np.ndarray, "band y x"],
) -> Float[np.ndarray, " band"]:
    """The median of a sky's long waves, and of what is ``added``, less the object's sources and halo."""
    thinned, mine = setting.thinned, np.complex64(0)
    if own is not None:
        mine = thinned.points(own.y_pixels, own.x_pixels, own.uk_sr.T / PIXEL_RADIANS**2)
    if isinstance(halo, np.ndarray):
        mine = mine + thinned.cut(halo)
    waves = thinned.cut(transform)
    if isinstance(mine, np.ndarray):
        waves -= mine * thinned.cut(beam)
    y, x = thinned.pixels
    values = thinned.values(waves) + added[:, y[:, None], x]
    return median(values.reshape(len(values), -1))
