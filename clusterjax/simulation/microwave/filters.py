"""Matched filters for the simulated microwave sky: its own covariance, and a cluster of a given mass and redshift."""

import numpy as np

from clusterjax.simulation.knobs import MicrowaveSky
from clusterjax.simulation.microwave.bands import beam_transform, survey_of, sz_uk_per_y
from clusterjax.simulation.microwave.flat_sky import PIXEL_RADIANS
from clusterjax.simulation.microwave.pressure import compton_y_transform
from clusterjax.simulation.microwave.sources import radio_power
from clusterjax.simulation.microwave.spectra import map_covariance
from clusterjax.sky.matched_filter import MatchedFilter

# A cluster at the survey's limit; S/N of other sizes is lost slowly.
TEMPLATE_MASS_MSUN, TEMPLATE_REDSHIFT = 4e14, 0.5
_SOURCES_MASKED_ABOVE_MJY = 30.0  # brighter radio galaxies are not noise but peaks of their own
_ELL_STEP = 20.0


def matched_filter(
    sky: MicrowaveSky,
    *,
    m500c_msun: float = TEMPLATE_MASS_MSUN,
    redshift: float = TEMPLATE_REDSHIFT,
    tsz_painted: bool = False,
    with_sources: bool = True,
) -> MatchedFilter:
    """The best linear filter for such a cluster in maps of ``sky``; amplitude 1 is the cluster itself.

    ``with_sources`` counts the painted radio galaxies up to 30 mJy as noise; without them it is the filter for a sky
    that has none.
    """
    ell = np.arange(0.0, np.sqrt(2) * np.pi / PIXEL_RADIANS + _ELL_STEP, _ELL_STEP)
    beam = beam_transform(survey_of(sky), ell)
    covariance = map_covariance(sky, np.maximum(ell, 2.0), tsz_painted=tsz_painted)
    if with_sources:
        power = radio_power(sky, _SOURCES_MASKED_ABOVE_MJY)
        covariance += power * beam[..., :, None] * beam[..., None, :]
    y = compton_y_transform(ell, np.float64(sky.mass_ratio * m500c_msun), np.float64(redshift))
    return MatchedFilter(ell, y[:, None] * sz_uk_per_y(survey_of(sky)) * beam, covariance, PIXEL_RADIANS)
