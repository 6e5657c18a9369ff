"""Labels that can be told without the images are seen; those that cannot are not."""

import numpy as np
import pytest

from clusterjax.evaluation.curves import auc_difference
from clusterjax.evaluation.leak import above_bound, leak_auc


def draws(count, shift, seed):
    rng = np.random.default_rng(seed)
    label = rng.random(count) < 0.5
    features = rng.normal(size=(count, 4)) * [1, 100, 0.01, 5]
    features[:, 2] += 0.01 * shift * label
    return features, label


def test_nothing_to_tell():
    """The AUC scatters about 0.5 by the error given."""
    z = []
    for seed in range(60):
        value, error = leak_auc(*draws(500, 0.0, 2 * seed), *draws(300, 0.0, 2 * seed + 1))
        z.append((value - 0.5) / error)
    assert np.mean(z) == pytest.approx(0, abs=0.4)
    assert np.std(z) == pytest.approx(1, abs=0.3)


def test_one_feature_that_tells():
    """Two Gaussians one standard deviation apart: AUC = Phi(1 / sqrt 2) = 0.760."""
    value, error = leak_auc(*draws(4000, 1.0, 0), *draws(4000, 1.0, 1))
    assert value == pytest.approx(0.760, abs=0.03)
    assert value - 0.5 > 10 * error


def test_unknown_and_constant_features_say_nothing():
    train, test = draws(2000, 1.0, 0), draws(2000, 1.0, 1)
    plain, _ = leak_auc(*train, *test)
    for features, _ in (train, test):
        features[:, 0] = np.nan
        features[:, 1] = 3.0
        features[::7, 2] = np.nan
    value, _ = leak_auc(*train, *test)
    assert 0.6 < value < plain


def test_one_class_only():
    features, label = draws(100, 0.0, 0)
    assert np.isnan(leak_auc(features, label, features, np.ones(100, bool))).all()
    assert np.isnan(leak_auc(features, np.zeros(100, bool), features, label)).all()


def test_a_score_above_the_bound():
    """Who reaches the bound is not suspected, who is told a fifth of the answers is; the error is DeLong's."""
    rng = np.random.default_rng(0)
    label = np.arange(2000) % 2
    bound = rng.normal(size=2000) + 2 * label
    told = np.where(rng.random(2000) < 0.2, 10.0 * label, bound)
    honest, leaking = above_bound(label, bound + 0.2 * rng.normal(size=2000), bound), above_bound(label, told, bound)
    assert not honest["leak_suspected"]
    assert leaking["leak_suspected"]
    difference, error = auc_difference(label, told, bound)
    assert (leaking["auc_above_bound"], leaking["auc_above_bound_error"]) == (difference, error)
    # Scatter about the bound: suspected as often as a Gaussian exceeds 2 sigma, not always.
    above = [above_bound(label, bound + 0.5 * rng.normal(size=2000), bound)["leak_suspected"] for _ in range(20)]
    assert not any(above)


def test_certainty_may_be_infinite():
    label = np.arange(40) % 2
    bound = np.where(label == 1, np.inf, np.random.default_rng(0).normal(size=40))
    figures = above_bound(label, label + 0.5, bound)
    assert figures["auc_above_bound"] == 0
    assert not figures["leak_suspected"]
