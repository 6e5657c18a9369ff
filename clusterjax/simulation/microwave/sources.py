"""Point sources of the microwave sky: radio galaxies and dusty star-forming galaxies."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from clusterjax.simulation.cosmology import theta500_arcmin
from clusterjax.simulation.haloes import PlacedHaloes
from clusterjax.simulation.knobs import MicrowaveSky
from clusterjax.simulation.microwave.bands import (
    PIXEL_SCALE_ARCMIN,
    dust_spectrum,
    survey_of,
    uk_sr_per_mjy,
)

RADIO_FLUX_MIN_MJY = 2.0  # at 150 GHz; fainter ones are part of the Gaussian foregrounds
_RADIO_FLUX_MAX_MJY = 1000.0
_RADIO_SLOPE = 0.95  # N(>S) goes as S^-0.95: ACT DR5 and SPT counts
_RADIO_INDEX = (-0.75, 0.3)  # S goes as nu^index: mean and standard deviation
_DUSTY_FLUX_MIN_MJY = 4.0  # at 220 GHz
_DUSTY_FLUX_MAX_MJY = 200.0
_DUSTY_SLOPE = 2.0
_DUSTY_DENSITY = 1.0  # per deg2 above 8 mJy at 220 GHz; approximate
_DUST = (1.8, 9.6)  # emissivity, effective temperature in K; approximate
_CLUSTER_SPREAD = 0.2  # in theta500, of a cluster's own radio galaxy
_RADIO_PIVOT_GHZ, _DUSTY_PIVOT_GHZ = 150.0, 220.0


class PointSources(NamedTuple):
    """Positions in pixels and integrated temperature in each band, µK sr."""

    y_pixels: Float[np.ndarray, " n"]
    x_pixels: Float[np.ndarray, " n"]
    uk_sr: Float[np.ndarray, "n band"]
    flux_mjy: Float[np.ndarray, " n"]  # at 150 GHz for radio galaxies, at 220 GHz for dusty ones
    dusty: Bool[np.ndarray, " n"]


def join(parts: list[PointSources]) -> PointSources:
    return PointSources(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _sample_fluxes(rng, count: int, low: float, high: float, slope: float) -> np.ndarray:
    """Fluxes of N(>S) ~ S^-slope between two limits, mJy."""
    u = rng.random(count)
    return low * (1 - u * (1 - (low / high) ** slope)) ** (-1 / slope)


def radio_density_per_deg2(sky: MicrowaveSky) -> float:
    """Mean number of painted radio galaxies: N(>S) = radio_n10 (S / 10 mJy)^-0.95 per deg2 at 150 GHz."""
    count = (np.array([RADIO_FLUX_MIN_MJY, _RADIO_FLUX_MAX_MJY]) / 10.0) ** -_RADIO_SLOPE
    return sky.radio_n10 * float(count[0] - count[1])


def dusty_density_per_deg2() -> float:
    """Mean number of painted dusty galaxies, per deg2."""
    count = (np.array([_DUSTY_FLUX_MIN_MJY, _DUSTY_FLUX_MAX_MJY]) / 8.0) ** -_DUSTY_SLOPE
    return _DUSTY_DENSITY * float(count[0] - count[1])


def radio_power(sky: MicrowaveSky, flux_max_mjy: float) -> Float[np.ndarray, "band band"]:
    """C_ell of the painted radio galaxies up to a flux at 150 GHz, µK² sr (white, before the beams)."""
    power = 2 - _RADIO_SLOPE
    integral = (
        _RADIO_SLOPE * sky.radio_n10 * 10.0**_RADIO_SLOPE * (flux_max_mjy**power - RADIO_FLUX_MIN_MJY**power) / power
    )
    per_steradian = integral * (180 / np.pi) ** 2
    response = radio_response(sky, np.full(1, _RADIO_INDEX[0]))[0]
    return per_steradian * np.outer(response, response)


def radio_response(sky: MicrowaveSky, index: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n band"]:
    """µK sr of a radio galaxy of 1 mJy at 150 GHz and of a spectral index (S ~ nu^index)."""
    nu = np.array(survey_of(sky).frequency_ghz)
    return (nu / _RADIO_PIVOT_GHZ) ** index[:, None] * uk_sr_per_mjy(nu)


def dusty_response(sky: MicrowaveSky) -> Float[np.ndarray, " band"]:
    """µK sr of a dusty galaxy of 1 mJy at 220 GHz."""
    nu = np.array(survey_of(sky).frequency_ghz)
    return dust_spectrum(nu, *_DUST, reference_ghz=_DUSTY_PIVOT_GHZ) * uk_sr_per_mjy(_DUSTY_PIVOT_GHZ)


def radio_sources(rng, sky: MicrowaveSky, y, x, flux_mjy) -> PointSources:
    """Radio galaxies of given positions and fluxes at 150 GHz, with spectral indices drawn."""
    index = rng.normal(*_RADIO_INDEX, len(flux_mjy))
    return PointSources(y, x, flux_mjy[:, None] * radio_response(sky, index), flux_mjy, np.zeros(len(y), bool))


def dusty_sources(sky: MicrowaveSky, y, x, flux_mjy) -> PointSources:
    """Dusty galaxies of given positions and fluxes at 220 GHz."""
    return PointSources(y, x, flux_mjy[:, None] * dusty_response(sky), flux_mjy, np.ones(len(y), bool))


def sample_radio(rng, sky: MicrowaveSky, count: int, y, x) -> PointSources:
    """``count`` radio galaxies of the field."""
    return radio_sources(
        rng, sky, y, x, _sample_fluxes(rng, count, RADIO_FLUX_MIN_MJY, _RADIO_FLUX_MAX_MJY, _RADIO_SLOPE)
    )


def cluster_sources(rng, sky: MicrowaveSky, y, x, theta500_arcmin: Float[np.ndarray, " n"]) -> PointSources:
    """One radio galaxy near each of the clusters given, as bright as those of the field. Approximate."""
    spread = _CLUSTER_SPREAD * theta500_arcmin / PIXEL_SCALE_ARCMIN
    dy, dx = rng.normal(0, 1, (2, len(spread))) * spread
    return sample_radio(rng, sky, len(spread), y + dy, x + dx)


def sources_in_haloes(rng, sky: MicrowaveSky, placed: PlacedHaloes, *, width=None) -> PointSources:
    """The radio galaxies of those haloes that have one; ``width`` of y is that of pixels, None: as high."""
    hosts = rng.random(len(placed.y_pixels)) < sky.radio_in_clusters
    theta500 = theta500_arcmin(*(column[hosts] for column in placed.haloes))
    y, x = placed.y_pixels[hosts], placed.x_pixels[hosts]
    sources = cluster_sources(rng, sky, y, x, theta500)
    return sources if width is None else sources._replace(x_pixels=x + (sources.x_pixels - x) / width(y))


def sample_dusty(rng, sky: MicrowaveSky, count: int, y, x) -> PointSources:
    """``count`` dusty galaxies of the field."""
    return dusty_sources(sky, y, x, _sample_fluxes(rng, count, _DUSTY_FLUX_MIN_MJY, _DUSTY_FLUX_MAX_MJY, _DUSTY_SLOPE))
