"""The likelihood of simulated cutouts is that of what is simulated: calibrated, and as good as published."""

import dataclasses

import numpy as np
import pytest

from clusterjax.evaluation.curves import auc_with_error
from clusterjax.evaluation.likelihood_ratio import Signals, make_likelihood_ratio, solve_stationary
from clusterjax.evaluation.logistic import fit_logistic
from clusterjax.simulation.knobs import MicrowaveSky
from clusterjax.simulation.microwave.cutouts import simulate_cutout
from clusterjax.simulation.microwave.likelihood import cluster_signals, cutout_lag_covariance
from clusterjax.simulation.microwave.surroundings import setting_of

PUBLISHED = MicrowaveSky(one_over_f=False, radio_in_clusters=0.0)


def draw(sky, number, size, **options):
    """(label, images) of clusters and random sky by turns."""
    kinds = ("random", "cluster")
    images = [
        simulate_cutout(sky, kinds[i % 2], np.random.default_rng([3, i]), size=size, **options).image
        for i in range(number)
    ]
    return np.arange(number) % 2, np.stack(images)


def ratio(sky, size, *, with_sources):
    return make_likelihood_ratio(
        cutout_lag_covariance(sky, size, with_sources=with_sources), Signals(*cluster_signals(sky, size))
    )


@pytest.fixture(scope="module")
def fields():
    """(covariance by lag, 1200 draws of it) on 16 px."""
    field = setting_of(MicrowaveSky(), 16).field
    rng = np.random.default_rng(0)
    draws = np.stack([field.cut(field.draw_transform(rng)) + field.draw_long_waves(rng) for _ in range(1200)])
    return cutout_lag_covariance(MicrowaveSky(), 16, with_sources=False), np.moveaxis(draws, 1, -1)


def test_covariance_is_that_of_the_draws(fields):
    """Whitened, their mean square is one a pixel, less the constants; so is that of long waves, the hardest to get."""
    lags, draws = fields
    number = draws[0].size - 3
    square = np.sum(draws * solve_stationary(lags, draws), axis=(1, 2, 3))
    assert square.mean() / number == pytest.approx(1, abs=4 * np.sqrt(2 / number / len(draws)))
    slope = np.linspace(-1, 1, 16)[:, None, None] * np.ones((16, 16, 3))
    weight = solve_stationary(lags, slope[None])[0]
    amplitude = np.sum(draws * weight, axis=(1, 2, 3))
    assert np.var(amplitude) == pytest.approx(np.sum(weight * slope), rel=4 * np.sqrt(2 / len(draws)))


def test_covariance_of_sources_is_added(fields):
    """The Poisson power of radio galaxies up to 30 mJy: at 98 GHz most, as their spectrum falls."""
    lags, _ = fields
    added = np.diag((cutout_lag_covariance(MicrowaveSky(), 16, with_sources=True) - lags)[0, 0])
    assert (added > 0).all()
    assert added[0] > added[2]


@pytest.fixture(scope="module")
def source_free():
    """(label, log-ratio) of 600 cutouts of 24 px."""
    label, images = draw(MicrowaveSky(), 600, 24, paint_sources=False)
    return label, ratio(MicrowaveSky(), 24, with_sources=False)(images)


def test_ratio_is_calibrated(source_free):
    """The log-odds of a cluster are the log-ratio itself, where as many have one as not: slope 1, intercept 0."""
    label, found = source_free
    slope, intercept = fit_logistic(found, label == 1)
    assert slope == pytest.approx(1, abs=0.25)
    assert intercept == pytest.approx(0, abs=0.4)


def test_signals_are_the_training_mixtures():
    sky = MicrowaveSky(centre_offset_arcmin=0.7)
    templates, amplitude, prior = cluster_signals(sky, 24)
    assert templates.shape == (72, 24, 24, 3)
    assert prior.sum() == pytest.approx(1)
    # By hand: Y within 5 R500 of the profile, over the mixture; 1 arcmin^2 of y is 2.6e6 µK arcmin^2 at 150 GHz.
    assert (templates[..., 1] < 0).mean() > 0.99
    wide = cluster_signals(dataclasses.replace(sky, redshift_max=0.11), 128)[0][4, ..., 1]
    assert wide.sum() * 0.25 == pytest.approx(-0.9584 * 2.7255e6, rel=0.05)
    heavier = cluster_signals(dataclasses.replace(sky, mass_floor_msun=4.8e14), 24)
    gain = np.sum(np.log(heavier[1]) * heavier[2]) - np.sum(np.log(amplitude) * prior)
    assert gain == pytest.approx((5 / 3 + 0.12) * np.log(2), rel=0.05)  # none is above 1.5e15: a little less
    y = np.indices((24, 24))[0]
    middle = [np.average(y, weights=-t[..., 1]) for t in templates[:9]]  # of 3 x 3 places, y the slower
    assert np.ptp(np.reshape(middle, (3, 3)), axis=1).max() < 0.01
    assert np.diff(np.reshape(middle, (3, 3))[:, 0]) == pytest.approx(np.full(2, 2 / 3 * 1.4), rel=0.3)


def test_without_sources_it_is_the_same_sky():
    """All else alike, to the last digit of what is random; what is missing is bright."""
    for seed in range(6):
        with_sources, without = (
            simulate_cutout(MicrowaveSky(), "cluster", np.random.default_rng(seed), size=32, paint_sources=paint)
            for paint in (True, False)
        )
        difference = with_sources.image - without.image
        difference -= np.median(difference, axis=(0, 1))
        assert difference.min() > -3
        assert np.median(np.abs(difference)) < 1
        assert with_sources.m500c_msun == without.m500c_msun
        assert with_sources.own_sources == without.own_sources
    radio = simulate_cutout(MicrowaveSky(), "radio", np.random.default_rng(0), size=32)
    bare = simulate_cutout(MicrowaveSky(), "radio", np.random.default_rng(0), size=32, paint_sources=False)
    assert radio.own_sources == 1
    assert (radio.image - bare.image)[13:19, 13:19, 1].max() > 100
    hosts = [
        simulate_cutout(MicrowaveSky(), "cluster", np.random.default_rng(i), size=16).own_sources for i in range(300)
    ]
    assert 0.04 < np.mean(hosts) < 0.15


@pytest.mark.slow
def test_published_ceilings():
    """DR5's depth, white noise: AUC 0.977 with sources taken as Gaussian, 0.986 without; between draws +- 0.003."""
    label, images = draw(PUBLISHED, 3000, 64)
    area, error = auc_with_error(label, ratio(PUBLISHED, 64, with_sources=True)(images))
    assert area == pytest.approx(0.977, abs=0.004 + error)
    label, images = draw(PUBLISHED, 3000, 64, paint_sources=False)
    found = ratio(PUBLISHED, 64, with_sources=False)(images)
    area, error = auc_with_error(label, found)
    assert area == pytest.approx(0.986, abs=0.003 + error)
    slope, intercept = fit_logistic(found, label == 1)
    assert slope == pytest.approx(1, abs=0.12)
    assert intercept == pytest.approx(0, abs=0.2)
