"""Many haloes' thermal SZ effect on one map; and clusters injected into a map that exists."""

import dataclasses
import itertools

import numpy as np
import scipy.fft
from jaxtyping import Complex, Float

from clusterjax.errors import InputError
from clusterjax.simulation.haloes import Haloes
from clusterjax.simulation.knobs import MicrowaveSky
from clusterjax.simulation.microwave.bands import ARCMIN, UNITS, beam_transform, survey_of, sz_uk_per_y
from clusterjax.simulation.microwave.flat_sky import deposit_transform, grid_ell
from clusterjax.simulation.microwave.profiles import halo_signal, unit_transform
from clusterjax.sky.skymap import SkyMap
from clusterjax.sky.units import conversion_factors

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
) -> Complex[np.ndarray, "ky kx"]:
    """``rfft2`` of all haloes' Compton y on a periodic grid, with the scatter of ``sky``; masses are true ones.

    One FFT a size (and, of Battaglia's profile, a shape): a halo is shared between the two sizes next to its own, with
    its integrated signal kept.
    """
    ell = grid_ell(grid, pixel_radians)
    total = np.zeros(ell.shape, np.complex64)
    mass, redshift = haloes
    if not len(mass):
        return total
    halo = halo_signal(sky.profile, sky.mass_ratio * mass, redshift)
    scatter = np.exp(rng.normal(0, sky.scatter_ln, len(mass)))
    signal = halo.total_sr * scatter / pixel_radians**2
    place = np.log(halo.scale_radians / halo.scale_radians.min()) / np.log(_SIZE_RATIO)
    lower = np.floor(place).astype(int)
    share = place - lower
    kind = np.round(halo.slope / _SLOPE_STEP).astype(int)
    for index, of_kind in itertools.product(np.unique(np.concatenate([lower, lower + 1])), np.unique(kind)):
        weight = signal * np.where(lower == index, 1 - share, np.where(lower + 1 == index, share, 0.0))
        used = (weight > 0) & (kind == of_kind)
        if used.any():
            points = deposit_transform(y_pixels[used], x_pixels[used], weight[None, used], grid)[0]
            size = halo.scale_radians.min() * _SIZE_RATIO**index
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
) -> SkyMap:
    """A map, real or simulated, with the SZ effect of further clusters added at 0-based pixels.

    Through the beams of ``sky.survey``, of which the map's bands must be some; in the map's own units, K or µK of the
    CMB. The sky is flat over each cluster. Raises :class:`InputError` for other bands or units.
    """
    survey = survey_of(sky)
    unknown = [band for band in sky_map.bands if band not in survey.bands]
    if unknown:
        raise InputError(f"the map has the bands {list(unknown)}; {sky.survey} has {', '.join(survey.bands)}")
    scale = sky_map.pixel_scale_arcsec
    per_uk = conversion_factors(UNITS, sky_map.units, bands=sky_map.bands, pixel_scale_arcsec=scale)
    if per_uk is None:
        raise InputError(f"the map is in {sky_map.units or 'unknown units'}; it must be in K_CMB or uK_CMB")
    pixel_radians = sky_map.pixel_scale_arcsec / 60 * ARCMIN
    grid = tuple(scipy.fft.next_fast_len(side + _BORDER_PIXELS, real=True) for side in sky_map.shape)
    y = paint_haloes(rng, sky, haloes, y_pixels, x_pixels, grid, pixel_radians=pixel_radians)
    beam = beam_transform(survey, grid_ell(grid, pixel_radians))
    data = np.array(sky_map.data, np.float32)
    for plane, name in enumerate(sky_map.bands):
        band = survey.bands.index(name)
        signal = scipy.fft.irfft2(y * beam[..., band].astype(np.float32), s=grid)
        factor = sz_uk_per_y(survey)[band] * per_uk[plane]
        data[..., plane] += np.float32(factor) * signal[: data.shape[0], : data.shape[1]]
    return dataclasses.replace(sky_map, data=data)
