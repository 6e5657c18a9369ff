"""The matched filter as the network's input: where the sky's filters become channels of the one normalisation."""

import dataclasses

import numpy as np

from clusterjax.config import ExperimentConfig
from clusterjax.data.filters import ImageFilters, filter_images, interpolate_weight
from clusterjax.data.preprocess import Preprocess
from clusterjax.data.sources import open_source
from clusterjax.data.statistics import fit_band_statistics
from clusterjax.errors import InputError
from clusterjax.simulation.microwave.bands import UNITS, survey_of
from clusterjax.simulation.microwave.filters import matched_filter, template_mass_msun
from clusterjax.sky.matched_filter import MatchedFilter

_STATISTICS_CUTOUTS = 1024  # of the training split, evenly spaced, as of the bands
_ELL_EVERY = 4  # of the filter's table, in steps of 80: a window of 32' has modes 340 apart


def with_matched_filters(preprocess: Preprocess, config: ExperimentConfig, builder) -> Preprocess:
    """``preprocess`` with the S/N of a cluster of each size of ``config.data.matched_filter_arcmin`` as a channel.

    Filters of the bands used, for the noise of ``config.microwave``; each channel's location and scale are those of the
    filtered training split. A window is filtered by itself, in training, evaluation and scan alike: in the middle 16'
    of a window of 32' its S/N is that of the map around it within 0.05 to 0.10 (templates of 1.2' to 4'), at its edge
    within 1. Raises :class:`InputError` for a data set of other bands or units.
    """
    sizes = config.data.matched_filter_arcmin
    if not sizes:
        return preprocess
    filters = cluster_filters(preprocess, config, builder.info.metadata)
    source = open_source(builder, "train")
    chosen = np.unique(np.linspace(0, len(source) - 1, _STATISTICS_CUTOUTS).round().astype(int))
    images = np.stack([source[int(i)]["image"] for i in chosen])[..., list(preprocess.band_indices)]
    frequency = filters[0].ell[::_ELL_EVERY] * filters[0].pixel_radians
    weight = np.stack([found.snr_weight[::_ELL_EVERY].T for found in filters])
    filtered = filter_images(images, interpolate_weight(frequency, weight, images.shape[1:3]))
    statistics = fit_band_statistics(filtered, [f"S/N {size:g}'" for size in sizes])
    kept = ImageFilters(_rounded(frequency), tuple(tuple(map(_rounded, bands)) for bands in weight), statistics)
    return dataclasses.replace(preprocess, filters=kept)


def cluster_filters(preprocess: Preprocess, config: ExperimentConfig, metadata) -> list[MatchedFilter]:
    """One filter a size, of the bands used and on the data set's pixels."""
    sky, bands, units = config.microwave, preprocess.bands, metadata.get("units", "")
    unknown = [band for band in bands if band not in survey_of(sky).bands]
    if unknown or units != UNITS:
        raise InputError(
            f"config.data.matched_filter_arcmin is for maps in {UNITS} of the bands {', '.join(survey_of(sky).bands)} "
            f"(config.microwave.survey={sky.survey!r}); the data set has {', '.join(bands)} in {units or 'no units'}"
        )
    return [
        matched_filter(
            sky,
            m500c_msun=template_mass_msun(sky, size),
            bands=bands,
            pixel_scale_arcmin=metadata["pixel_scale_arcsec"] / 60,
        )
        for size in config.data.matched_filter_arcmin
    ]


def _rounded(values: np.ndarray) -> tuple[float, ...]:
    """To float32's digits: they are written into every checkpoint."""
    return tuple(float(f"{value:.8g}") for value in values)
