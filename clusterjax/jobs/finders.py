"""What looks for clusters in the job inject: the run's network, and in the microwave the matched filter beside it."""

import dataclasses

import numpy as np

from clusterjax.config import ExperimentConfig
from clusterjax.errors import InputError
from clusterjax.experiment import Network
from clusterjax.jobs.scanning import make_search
from clusterjax.odds import logistic
from clusterjax.search.inject import Finder
from clusterjax.simulation.infrared.psf import BANDS as INFRARED_BANDS
from clusterjax.simulation.knobs import InfraredSky, MicrowaveSky
from clusterjax.simulation.microwave.bands import survey_of, uk_per_unit
from clusterjax.simulation.microwave.filters import filter_in_zones, matched_filter, source_free
from clusterjax.sky.skymap import ProbabilityMap, SkyMap

NETWORK, FILTER = "network", "matched_filter"
_LOWEST_SNR = 2.5


def knobs_of(config: ExperimentConfig, sky_map: SkyMap) -> InfraredSky | MicrowaveSky:
    """The simulated sky whose clusters can be put into the map, told by the map's bands. Raises InputError."""
    if sky_map.bands == INFRARED_BANDS:
        return config.simulation
    if set(sky_map.bands) <= set(survey_of(config.microwave).bands):
        return config.microwave
    raise InputError(
        f"no simulated cluster can be put into a map with the bands {', '.join(sky_map.bands)}: they must be "
        f"{' and '.join(INFRARED_BANDS)}, or some of {', '.join(survey_of(config.microwave).bands)}, those of "
        f"config.microwave.survey={config.microwave.survey!r}"
    )


def network_finder(network: Network, config: ExperimentConfig, mesh) -> Finder:
    """As the job scan finds candidates: the same windows, smoothing and threshold."""
    search = config.search
    scan = make_search(network, search, mesh, dropout_samples=config.evaluation.dropout_samples)
    return Finder(
        NETWORK,
        lambda sky_map: scan(sky_map, progress=False),
        threshold=search.threshold,
        lowest_threshold=min(config.inject.lowest_threshold, search.threshold),
        min_separation_arcmin=search.min_separation_arcmin,
        smoothing_pixels=search.smoothing_pixels,
        further_smoothings=search.further_smoothings_pixels,
    )


def filter_finder(
    knobs: MicrowaveSky, config: ExperimentConfig, sky_map: SkyMap, footprint: ProbabilityMap, *, tsz_painted: bool
) -> Finder:
    """The matched filter on the map's own bands; its log-odds are the S/N.

    It searches where ``footprint`` was, but for what is near point sources, if ``sky_map`` has all bands of the survey,
    by which they are told.
    """
    find = matched_filter(
        knobs, tsz_painted=tsz_painted, bands=sky_map.bands, pixel_scale_arcmin=sky_map.pixel_scale_arcsec / 60
    )
    rows, columns = np.indices(sky_map.shape)
    searched = sky_map.valid & footprint.contains(*sky_map.pixel_to_sky(rows, columns))
    to_uk = np.float32(uk_per_unit(sky_map.units))
    tells_sources = sky_map.bands == survey_of(knobs).bands
    limit = config.inject.matched_filter_snr

    def score(other: SkyMap) -> ProbabilityMap:
        other = dataclasses.replace(other, data=other.data * to_uk)
        snr = filter_in_zones(find, other)
        seen = searched & source_free(knobs, other, find, snr) if tells_sources else searched
        return ProbabilityMap.from_log_odds(np.where(seen, snr, np.nan), other)

    return Finder(
        FILTER,
        score,
        threshold=float(logistic(np.array(limit))),
        lowest_threshold=float(logistic(np.array(min(_LOWEST_SNR, limit)))),
        min_separation_arcmin=config.search.min_separation_arcmin,
        smoothing_pixels=0.0,
    )
