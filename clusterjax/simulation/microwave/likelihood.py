"""What the likelihood of a simulated cutout needs: its pixels' covariance, and the clusters that may be in it.

Both are those that :func:`clusterjax.simulation.microwave.cutouts.simulate_cutout` draws from.
"""

import functools

import numpy as np
import scipy.fft
from jaxtyping import Float

from clusterjax.simulation.cosmology import theta500_arcmin
from clusterjax.simulation.haloes import sample_training_clusters
from clusterjax.simulation.knobs import MicrowaveSky
from clusterjax.simulation.microwave.bands import ARCMIN, PIXEL_SCALE_ARCMIN
from clusterjax.simulation.microwave.filters import noise_covariance
from clusterjax.simulation.microwave.flat_sky import GaussianField
from clusterjax.simulation.microwave.profiles import compton_y_transform, halo_signal
from clusterjax.simulation.microwave.surroundings import halo_transform, setting_of

_PRIOR_DRAWS = 100_000
_NUM_SHAPES = 8  # equally wide in ln theta500, but for the first and last thousandths of the clusters
_NUM_PLACES = 3  # along each axis
_NUM_AMPLITUDES = 12
_ARCMIN2 = ARCMIN**2  # sr


def cutout_lag_covariance(
    sky: MicrowaveSky, size: int, *, with_sources: bool
) -> Float[np.ndarray, "lag_y lag_x band band"]:
    """µK² of two pixels of a cutout without a cluster, by their distance along each axis; see ``noise_covariance``."""
    field = GaussianField(functools.partial(noise_covariance, sky, with_sources=with_sources), (size, size))
    return field.lag_covariance()


def cluster_signals(
    sky: MicrowaveSky, size: int, *, seed: int = 0
) -> tuple[
    Float[np.ndarray, "template y x band"],
    Float[np.ndarray, "template amplitude"],
    Float[np.ndarray, "template amplitude"],
]:
    """(templates in µK, their amplitudes, the prior of each) of the training mixture of clusters.

    A template is a cluster of an integrated Compton y of 1 arcmin², of one of 8 sizes at one of 3 x 3 places. Its
    amplitudes are 12 quantiles of the y of the clusters of that size; the prior sums to 1. Three times as many steps of
    each change the AUC by 2e-5 and the mean log-ratio of clusters by 1.5 %.
    """
    rng = np.random.default_rng([seed, 7_003])
    mass, redshift = sample_training_clusters(
        rng, _PRIOR_DRAWS, mass_floor_msun=sky.mass_floor_msun, redshift_max=sky.redshift_max
    )
    mass = sky.mass_ratio * mass
    total_y = halo_signal(sky.profile, mass, redshift).total_sr / _ARCMIN2
    total_y *= np.exp(rng.normal(0, sky.scatter_ln, len(mass)))
    ln_theta = np.log(theta500_arcmin(mass, redshift))
    low, high = np.quantile(ln_theta, [0.002, 0.998])
    place = np.floor((ln_theta - low) / max(high - low, 1e-6) * _NUM_SHAPES).astype(int)
    place = np.clip(place, 0, _NUM_SHAPES - 1)
    templates, amplitudes, prior = [], [], []
    for index in np.unique(place):
        inside = place == index
        shape = np.exp(np.mean(np.log(mass[inside]))), np.exp(np.mean(np.log(redshift[inside])))
        templates.append(_at_all_places(sky, size, *shape))
        quantiles = np.quantile(total_y[inside], (np.arange(_NUM_AMPLITUDES) + 0.5) / _NUM_AMPLITUDES)
        amplitudes.append(np.tile(quantiles, (_NUM_PLACES**2, 1)))
        prior.append(np.full(amplitudes[-1].shape, inside.mean() / amplitudes[-1].size))
    return np.concatenate(templates), np.concatenate(amplitudes), np.concatenate(prior)


def _at_all_places(sky: MicrowaveSky, size: int, mass: float, redshift: float) -> Float[np.ndarray, "place y x band"]:
    """Of the mass that enters the profile, with y integrated over the sky 1 arcmin^2."""
    setting = setting_of(sky, size)
    y_transform = compton_y_transform(setting.ell, mass, redshift, profile=sky.profile)
    y_transform *= _ARCMIN2 / halo_signal(sky.profile, mass, redshift).total_sr
    half = sky.centre_offset_arcmin / PIXEL_SCALE_ARCMIN
    offsets = (size - 1) / 2 + half * (2 * np.arange(_NUM_PLACES) + 1 - _NUM_PLACES) / _NUM_PLACES
    grid = setting.field.padded
    images = [
        scipy.fft.irfft2(halo_transform(sky, y_transform, y, x, grid) * setting.beam, s=grid, axes=(1, 2))
        for y in offsets
        for x in offsets
    ]
    return np.moveaxis(np.stack(images)[:, :, :size, :size], 1, -1)
