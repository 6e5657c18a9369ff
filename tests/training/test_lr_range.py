"""The LR range test: what it suggests on curves of known shape, and that it touches nothing of the caller's."""

import jax
import numpy as np
import pytest

from clusterjax.config import LrRangeConfig
from clusterjax.parallel import to_global
from clusterjax.training.lr_range import LrRangeResult, lr_range_test, suggest_learning_rate

CONFIG = LrRangeConfig()
RATES = np.geomspace(CONFIG.lr_min, CONFIG.lr_max, CONFIG.num_steps)


def sigmoid_losses(centre, width=0.4):
    return 0.7 - 0.5 / (1 + np.exp(-(np.log10(RATES) - np.log10(centre)) / width))


@pytest.mark.parametrize("centre", [1e-5, 1e-4, 1e-3])
def test_finds_the_steepest_descent(centre):
    result = suggest_learning_rate(RATES, sigmoid_losses(centre), CONFIG)
    assert abs(np.log10(result.suggestion) - np.log10(centre)) < 0.15


@pytest.mark.parametrize("centre", [1e-4, 1e-3])
def test_noise_moves_it_by_less_than_a_factor_of_three(centre):
    for seed in range(100):
        noise = 0.05 * np.random.default_rng(seed).normal(size=len(RATES))
        result = suggest_learning_rate(RATES, sigmoid_losses(centre) + noise, CONFIG)
        assert abs(np.log10(result.suggestion) - np.log10(centre)) < 0.5


def test_divergence_after_the_descent_does_not_matter():
    losses = sigmoid_losses(1e-4)
    losses[60:] += np.linspace(0, 20, 10) ** 2
    result = suggest_learning_rate(RATES, losses, CONFIG)
    assert 2e-5 < result.suggestion < 1e-3


def test_divergence_does_not_pull_the_answer_up():
    """A parabola through a sudden divergence dips below all losses just before it."""
    losses = sigmoid_losses(1e-4, width=0.2)
    losses[63:] = [0.9, 1.3, 2.0, 2.5, 0.8, 1.9, 0.7]
    result = suggest_learning_rate(RATES, losses, CONFIG)
    assert abs(np.log10(result.suggestion) - np.log10(1e-4)) < 0.3
    assert min(result.smoothed) > 0.1


def test_nan_ends_the_curve():
    losses = sigmoid_losses(1e-4)
    losses[55:] = np.nan
    result = suggest_learning_rate(RATES, losses, CONFIG)
    assert len(result.losses) == 55
    assert 3e-5 < result.suggestion < 3e-4


@pytest.mark.parametrize("seed", range(10))
def test_no_suggestion_from_noise_alone(seed):
    losses = 0.7 + 0.05 * np.random.default_rng(seed).normal(size=len(RATES))
    result = suggest_learning_rate(RATES, losses, CONFIG)
    assert result.suggestion is None
    assert "scatter" in result.reason


@pytest.mark.parametrize("losses", [np.full(70, 0.7), np.linspace(0.5, 3, 70), np.full(70, np.nan)])
def test_no_suggestion_from_flat_rising_or_undefined_losses(losses):
    result = suggest_learning_rate(RATES, losses, CONFIG)
    assert result.suggestion is None


def test_leaves_the_callers_state_bit_for_bit(make_setup, make_batches):
    setup = make_setup()
    before = [np.asarray(leaf).copy() for leaf in jax.tree.leaves(setup.state)]
    batches = (to_global(batch, setup.mesh) for batch in make_batches())
    config = LrRangeConfig(lr_min=1e-5, lr_max=1.0, num_steps=30)
    result = lr_range_test(setup.train_step, setup.state, batches, config)
    assert 8 <= len(result.losses) <= 30
    for a, b in zip(before, jax.tree.leaves(setup.state), strict=True):
        np.testing.assert_array_equal(a, b)
    assert LrRangeResult.from_json(result.to_json()) == result


def test_stops_when_the_loss_diverges(make_setup, make_batches):
    setup = make_setup()
    batches = (to_global(batch, setup.mesh) for batch in make_batches())
    config = LrRangeConfig(lr_min=1e-2, lr_max=1e6, num_steps=60)
    result = lr_range_test(setup.train_step, setup.state, batches, config)
    assert len(result.losses) < 60
