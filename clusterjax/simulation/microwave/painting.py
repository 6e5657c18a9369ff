"""Many haloes' thermal SZ effect on one map; and clusters injected into a map that exists."""

import dataclasses
import itertools

import numpy as np
import scipy.fft
from jaxtyping import Complex, Float

from clusterjax.errors import InputError
from clusterjax.simulation.cosmology import theta500_arcmin
from clusterjax.simulation.haloes import Haloes
from clusterjax.simulation.knobs import MicrowaveSky
from clusterjax.simulation.microwave.bands import (
    ARCMIN,
    PIXEL_SCALE_ARCMIN,
    beam_transform,
    survey_of,
    sz_uk_per_y,
    uk_per_unit,
)
from clusterjax.simulation.microwave.flat_sky import deposit_transform, grid_ell
from clusterjax.simulation.microwave.profiles import halo_signal, unit_transform
from clusterjax.simulation.microwave.sources import PointSources, cluster_sources
from clusterjax.sky.skymap import SkyMap

_SIZE_RATIO = 1.05  # of theta500 between the sizes that haloes are painted at; a halo is shared between two
_SLOPE_STEP = 0.3  # of Battaglia's beta, within which haloes have the shape of their mean
_BORDER_PIXELS = 64  # of the periodic grid beyond the map


def paint_haloes(
    rng: np.random.Generator,
    sky: MicrowaveSky,
    haloes: Haloes,
    y_pixels: Float[np.ndarray, " n"],
    x_pixels: Float[np.ndarray, " n"],
    grid: tuple[int, int],
    *,
    pixel_radians: float,
    width: float = 1.0,
    ln_scatter: Float[np.ndarray, " n"] | None = None,
    size_ratio: float = _SIZE_RATIO,
) -> Complex[np.ndarray, "ky kx"]:
    """``rfft2`` of all haloes' Compton y on a periodic grid, with the scatter of ``sky`` (or the ``ln_scatter`` given);
    masses are true ones.

    Pixels are ``pixel_radians`` high and ``width`` times as wide. One FFT a size (and, of Battaglia's profile, a
    shape): a halo is shared between the two sizes next to its own, with its integrated signal kept. ``size_ratio`` is
    that between them.
    """
    ell = grid_ell(grid, pixel_radians, width=width)
    total = np.zeros(ell.shape, np.complex64)
    mass, redshift = haloes
    if not len(mass):
        return total
    halo = halo_signal(sky.profile, sky.mass_ratio * mass, redshift)
    ln_scatter = rng.normal(0, sky.scatter_ln, len(mass)) if ln_scatter is None else ln_scatter
    signal = halo.total_sr * np.exp(ln_scatter) / (pixel_radians**2 * width)
    place = np.log(halo.scale_radians / halo.scale_radians.min()) / np.log(size_ratio)
    lower = np.floor(place).astype(int)
    share = place - lower
    kind = np.round(halo.slope / _SLOPE_STEP).astype(int)
    for index, of_kind in itertools.product(np.unique(np.concatenate([lower, lower + 1])), np.unique(kind)):
        weight = signal * np.where(lower == index, 1 - share, np.where(lower + 1 == index, share, 0.0))
        used = (weight > 0) & (kind == of_kind)
        if used.any():
            points = deposit_transform(y_pixels[used], x_pixels[used], weight[None, used], grid)[0]
            size = halo.scale_radians.min() * size_ratio**index
            slope = float(halo.slope[used].mean())
            total += points * unit_transform(sky.profile, ell * size, slope).astype(np.float32)
    return total


def inject_clusters(
    rng: np.random.Generator,
    sky: MicrowaveSky,
    sky_map: SkyMap,
    haloes: Haloes,
    y_pixels: Float[np.ndarray, " n"],
    x_pixels: Float[np.ndarray, " n"],
    *,
    with_radio: bool = False,
) -> SkyMap:
    """A map, real or simulated, with the SZ effect of further clusters added at 0-based pixels.

    With ``with_radio``, a part ``sky.radio_in_clusters`` of them has a radio galaxy, as on simulated maps. Through the
    beams of ``sky.survey``, of which the map's bands must be some; in the map's own units, K or µK of the
    CMB. The sky is flat over each cluster. Raises :class:`InputError` for other bands or units.
    """
    survey = survey_of(sky)
    unknown = [band for band in sky_map.bands if band not in survey.bands]
    if unknown:
        raise InputError(f"the map has the bands {list(unknown)}; {sky.survey} has {', '.join(survey.bands)}")
    unit = uk_per_unit(sky_map.units)
    pixel_radians = sky_map.pixel_scale_arcsec / 60 * ARCMIN
    grid = tuple(scipy.fft.next_fast_len(side + _BORDER_PIXELS, real=True) for side in sky_map.shape)
    y = paint_haloes(rng, sky, haloes, y_pixels, x_pixels, grid, pixel_radians=pixel_radians)
    beam = beam_transform(survey, grid_ell(grid, pixel_radians))
    radio = _radio_galaxies(rng, sky, haloes, y_pixels, x_pixels, pixel_radians=pixel_radians) if with_radio else None
    data = np.array(sky_map.data, np.float32)
    for plane, name in enumerate(sky_map.bands):
        band = survey.bands.index(name)
        transform = np.float32(sz_uk_per_y(survey)[band]) * y
        if radio is not None:
            weight = radio.uk_sr[:, band] / pixel_radians**2
            transform = transform + deposit_transform(radio.y_pixels, radio.x_pixels, weight[None], grid)[0]
        signal = scipy.fft.irfft2(transform * beam[..., band].astype(np.float32), s=grid)
        data[..., plane] += signal[: data.shape[0], : data.shape[1]] / np.float32(unit)
    return dataclasses.replace(sky_map, data=data)


def _radio_galaxies(
    rng, sky: MicrowaveSky, haloes: Haloes, y_pixels, x_pixels, *, pixel_radians: float
) -> PointSources:
    """One in each of the clusters that host one, in pixels of ``pixel_radians``."""
    hosts = rng.random(len(y_pixels)) < sky.radio_in_clusters
    zero = np.zeros(int(hosts.sum()))
    sources = cluster_sources(rng, sky, zero, zero, theta500_arcmin(haloes.m500c_msun[hosts], haloes.redshift[hosts]))
    per_pixel = PIXEL_SCALE_ARCMIN * ARCMIN / pixel_radians
    return sources._replace(
        y_pixels=y_pixels[hosts] + sources.y_pixels * per_pixel, x_pixels=x_pixels[hosts] + sources.x_pixels * per_pixel
    )
