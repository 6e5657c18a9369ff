"""Matched filters for the simulated microwave sky: its own covariance, and a cluster of a given mass and redshift."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage
from scipy.special import j0

from clusterjax.simulation import cosmology
from clusterjax.simulation.knobs import MicrowaveSky
from clusterjax.simulation.microwave.bands import ARCMIN, PIXEL_SCALE_ARCMIN, beam_transform, survey_of, sz_uk_per_y
from clusterjax.simulation.microwave.plate_carree import make_zones, over_zones
from clusterjax.simulation.microwave.profiles import compton_y_transform
from clusterjax.simulation.microwave.sources import dusty_response, radio_power, radio_response
from clusterjax.simulation.microwave.spectra import map_covariance
from clusterjax.sky.geometry import sky_steps_arcmin, turn_pixels
from clusterjax.sky.matched_filter import MatchedFilter
from clusterjax.sky.skymap import SkyMap

# A cluster at the survey's limit; S/N of other sizes is lost slowly.
TEMPLATE_MASS_MSUN, TEMPLATE_REDSHIFT = 4e14, 0.5
_SOURCES_MASKED_ABOVE_MJY = 30.0  # brighter radio galaxies are not noise but peaks of their own
_ELL_STEP = 20.0
# A bright source rings in a cluster filter. On a simulated map 4' about sources of S/N 5, an eighth of
# the sky, did best of 1 to 6' and S/N 4 and 5.
_SOURCE_SNR = 5.0
_SOURCE_MASK_ARCMIN = 4.0
_RING_ARCMIN = 6.0  # a cluster's ring in the sources' filters is highest at 3' to 4', and over by here
_TYPICAL_RADIO_INDEX = -0.75


def matched_filter(
    sky: MicrowaveSky,
    *,
    m500c_msun: float = TEMPLATE_MASS_MSUN,
    redshift: float = TEMPLATE_REDSHIFT,
    tsz_painted: bool = False,
    with_sources: bool = True,
    bands: Sequence[str] | None = None,
    pixel_scale_arcmin: float = PIXEL_SCALE_ARCMIN,
) -> MatchedFilter:
    """The best linear filter for such a cluster in maps of ``sky``; amplitude 1 is the cluster itself.

    ``bands`` are some of the survey's, for maps of these alone, and ``pixel_scale_arcmin`` is that of the maps.
    ``with_sources`` counts the painted radio galaxies up to 30 mJy as noise; without them it is the filter for a sky
    that has none.
    """
    ell = _multipoles(pixel_scale_arcmin * ARCMIN)
    survey = survey_of(sky)
    covariance = noise_covariance(sky, ell, tsz_painted=tsz_painted, with_sources=with_sources)
    y = compton_y_transform(ell, sky.mass_ratio * m500c_msun, redshift, profile=sky.profile)
    template = y[:, None] * sz_uk_per_y(survey) * beam_transform(survey, ell)
    used = [survey.bands.index(band) for band in bands or survey.bands]
    return MatchedFilter(ell, template[:, used], covariance[:, used][:, :, used], pixel_scale_arcmin * ARCMIN)


def noise_covariance(
    sky: MicrowaveSky, ell: Float[np.ndarray, "*n"], *, tsz_painted: bool = False, with_sources: bool = True
) -> Float[np.ndarray, "*n band band"]:
    """Power of all but the cluster, µK² sr; with the painted radio galaxies up to 30 mJy as if they were Gaussian."""
    covariance = map_covariance(sky, np.maximum(ell, 2.0), tsz_painted=tsz_painted)
    if with_sources:
        beam = beam_transform(survey_of(sky), ell)
        covariance += radio_power(sky, _SOURCES_MASKED_ABOVE_MJY) * beam[..., :, None] * beam[..., None, :]
    return covariance


def template_mass_msun(sky: MicrowaveSky, theta500_arcmin: float) -> float:
    """True M500c of the cluster at :data:`TEMPLATE_REDSHIFT` whose pressure profile has such an R500.

    A filter needs a profile's shape alone, which hardly depends on anything but its angular size.
    """
    unit = cosmology.theta500_arcmin(1e14, TEMPLATE_REDSHIFT)
    return 1e14 * (theta500_arcmin / float(unit)) ** 3 / sky.mass_ratio


def _multipoles(pixel_radians: float) -> np.ndarray:
    return np.arange(0.0, np.sqrt(2) * np.pi / pixel_radians + _ELL_STEP, _ELL_STEP)


def point_source_filters(
    sky: MicrowaveSky, *, pixel_scale_arcmin: float = PIXEL_SCALE_ARCMIN
) -> tuple[MatchedFilter, MatchedFilter]:
    """For a radio galaxy and for a dusty one; amplitude 1 is 1 mJy, at 150 and at 220 GHz."""
    pixel_radians = pixel_scale_arcmin * ARCMIN
    ell = _multipoles(pixel_radians)
    beam = beam_transform(survey_of(sky), ell)
    covariance = map_covariance(sky, np.maximum(ell, 2.0))
    responses = radio_response(sky, np.array([_TYPICAL_RADIO_INDEX]))[0], dusty_response(sky)
    return tuple(MatchedFilter(ell, response * beam, covariance, pixel_radians) for response in responses)


def cluster_snr(sky: MicrowaveSky, sky_map: SkyMap, *, tsz_painted: bool = False) -> Float[np.ndarray, "y x"]:
    """The classical finder: S/N of a cluster at each pixel of a map of ``sky``; NaN about point sources.

    A map whose rows have pixels of different widths (CAR) is filtered in zones.
    """
    height_arcmin, _ = _pixel_shape(sky_map)
    found = matched_filter(sky, tsz_painted=tsz_painted, pixel_scale_arcmin=height_arcmin)
    snr = filter_in_zones(found, sky_map)
    return np.where(sky_map.valid & source_free(sky, sky_map, found, snr), snr, np.nan)


def source_free(
    sky: MicrowaveSky, sky_map: SkyMap, found: MatchedFilter, snr: Float[np.ndarray, "y x"]
) -> Bool[np.ndarray, "y x"]:
    """True where no point source is within 4' on a map (µK) in all bands of ``sky``.

    ``snr`` is what the cluster filter ``found`` makes of the map. A cluster is a hole for a source's filter, and has a
    ring about it: a source must exceed the ring of the brightest cluster near, or such a cluster would mask itself.
    """
    height_arcmin, width = _pixel_shape(sky_map)
    sampling = 1.0, float(np.median(width))
    reach = [2 * round(_RING_ARCMIN / height_arcmin / side) + 1 for side in sampling]
    cluster = ndimage.maximum_filter(np.nan_to_num(snr), size=reach, mode="nearest")
    free = np.ones(sky_map.shape, bool)
    for find in point_source_filters(sky, pixel_scale_arcmin=height_arcmin):
        free &= filter_in_zones(find, sky_map) <= _SOURCE_SNR + ringing(find, found) * np.maximum(cluster, 0)
    if free.all():  # the transform takes the map's first corner for a source where there is none
        return free
    return ndimage.distance_transform_edt(free, sampling=sampling) > _SOURCE_MASK_ARCMIN / height_arcmin


def ringing(find: MatchedFilter, found: MatchedFilter) -> float:
    """The highest S/N that ``find`` has about a cluster whose S/N in its own filter ``found`` is 1."""
    theta = np.arange(0, _RING_ARCMIN, 0.25)[:, None] * ARCMIN
    common = min(len(find.ell), len(found.ell))  # beyond, where pixels end, beams leave nothing
    ell = found.ell[:common]
    response = np.sum(find.snr_weight[:common] * found.template[:common], axis=-1)
    waves = response * ell * j0(ell * theta) / (2 * np.pi)
    return max(float(np.trapezoid(waves, ell, axis=-1).max()), 0.0) * found.sigma


def filter_in_zones(found: MatchedFilter, sky_map: SkyMap) -> Float[np.ndarray, "y x"]:
    """A filter over a map; where rows have pixels of different widths, in zones."""
    _, width = _pixel_shape(sky_map)
    return over_zones(lambda zone: dataclasses.replace(found, width=zone.width)(sky_map.data), make_zones(width))


def _pixel_shape(sky_map: SkyMap) -> tuple[float, Float[np.ndarray, " y"]]:
    """(height in arcmin, width over height of each row) of a cylindrical map's pixels; square ones of any other."""
    ny, nx = sky_map.shape
    if turn_pixels(sky_map.wcs) is None:
        return sky_map.pixel_scale_arcsec / 60, np.ones(ny)
    steps = np.linalg.norm(sky_steps_arcmin(sky_map.wcs, np.arange(ny), np.full(ny, (nx - 1) / 2)), axis=-2)
    height = float(np.median(steps[:, 0]))
    return height, steps[:, 1] / height
