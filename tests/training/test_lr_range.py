"""The LR range test: what it suggests on curves of known shape, and that it touches nothing of the caller's."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterjax.config import LrRangeConfig
from clusterjax.parallel import to_global
from clusterjax.training.lr_range import LrRangeResult, lr_range_test, suggest_learning_rate
from clusterjax.training.optim import with_learning_rate

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


def correlated(rng, num, correlation=0.5):
    """Noise of unit variance of which neighbours share much."""
    noise = rng.normal(size=num)
    for i in range(1, num):
        noise[i] = correlation * noise[i - 1] + np.sqrt(1 - correlation**2) * noise[i]
    return noise


NOTHING_LEARNED = {
    "white noise": lambda rng, num: 0.7 + 0.05 * rng.normal(size=num),
    "correlated noise": lambda rng, num: 0.7 + 0.05 * correlated(rng, num),
    "heavy tails": lambda rng, num: 0.7 + 0.03 * rng.standard_t(2, size=num),
    "bad batches": lambda rng, num: 0.7 + 0.03 * rng.normal(size=num) + 2 * (rng.random(num) < 0.05),
    "two bad batches at first": lambda rng, num: np.where(np.arange(num) < 2, 3, 0.7) + 0.03 * rng.normal(size=num),
    "rising": lambda rng, num: 0.7 + 0.2 * np.linspace(0, 1, num) + 0.05 * rng.normal(size=num),
    "flat, then diverging": lambda rng, num: 0.7 + 0.05 * rng.normal(size=num) + np.exp(np.linspace(-10, 2, num)),
    "a hump": lambda rng, num: 0.7 + 0.3 * np.exp(-(np.linspace(-7, 7, num) ** 2)) + 0.03 * rng.normal(size=num),
}


@pytest.mark.parametrize("kind", NOTHING_LEARNED)
@pytest.mark.parametrize("num", [70, 300])
def test_no_suggestion_where_nothing_was_learned(kind, num):
    """Of 100 such curves, no more than 4 are believed."""
    rates = np.geomspace(CONFIG.lr_min, CONFIG.lr_max, num)
    results = [
        suggest_learning_rate(rates, NOTHING_LEARNED[kind](np.random.default_rng(seed), num), CONFIG)
        for seed in range(100)
    ]
    believed = [result for result in results if result.suggestion is not None]
    assert len(believed) <= 4
    assert "scatter" in next(result.reason for result in results if result.suggestion is None)


@pytest.mark.parametrize(("fall", "noise", "num"), [(0.4, 0.05, 40), (0.4, 0.05, 70), (0.1, 0.05, 300)])
def test_a_fall_beyond_the_noise_is_found(fall, noise, num):
    rates = np.geomspace(CONFIG.lr_min, CONFIG.lr_max, num)
    for seed in range(50):
        losses = 0.7 - fall / (1 + np.exp(-(np.log10(rates) + 4) / 0.3))
        losses += noise * np.random.default_rng(seed).normal(size=num)
        result = suggest_learning_rate(rates, losses, CONFIG)
        assert result.suggestion is not None
        assert abs(np.log10(result.suggestion) + 4) < 0.6


def test_the_multiplier_never_leads_past_the_least_loss():
    """A cliff in the middle of the range: 100 times its rate would be where nothing learns any more."""
    losses = sigmoid_losses(1e-4, width=0.1) + np.where(RATES > 1e-3, 0.4 * np.log10(RATES / 1e-3), 0)
    result = suggest_learning_rate(RATES, losses, dataclasses.replace(CONFIG, multiplier=100.0))
    lowest = result.learning_rates[int(np.argmin(result.smoothed))]
    assert result.suggestion == lowest
    assert result.reason.startswith("the rate of the least smoothed loss, which is less than 100 times the steepest")
    small = suggest_learning_rate(RATES, losses, dataclasses.replace(CONFIG, multiplier=2.0))
    assert small.suggestion == pytest.approx(2 * suggest_learning_rate(RATES, losses, CONFIG).suggestion)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.floats(0, 1e30) | st.sampled_from([np.nan, np.inf, 0.0, 0.7]), min_size=1, max_size=80))
def test_any_losses_give_a_tested_rate_or_none(losses):
    """Without an exception or a warning, whatever the losses."""
    rates = RATES[: len(losses)] if len(losses) <= len(RATES) else np.geomspace(1e-6, 1e-2, len(losses))
    result = suggest_learning_rate(rates, np.array(losses), CONFIG)
    assert np.isfinite(result.losses[:-1]).all()
    if result.suggestion is not None:
        lowest = int(np.argmin(result.smoothed))
        assert result.learning_rates[0] <= result.suggestion <= result.learning_rates[lowest]
        assert result.smoothed[lowest] < result.smoothed[0]


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


def test_training_goes_on_as_if_there_had_been_no_test(make_setup, make_batches):
    """Weights, batch-norm statistics, optimizer, iterator and random keys: all the same, bit for bit. Even NumPy's."""

    def train(with_test):
        setup, batches = make_setup(), make_batches()
        if with_test:
            config = LrRangeConfig(lr_min=1e-4, lr_max=1.0, num_steps=10)
            lr_range_test(setup.train_step, setup.state, batches, config)
        state = setup.state
        for batch in itertools.islice(batches, 3):
            state, _ = setup.train_step(with_learning_rate(state, 1e-2), batch)
        return state

    before = np.random.get_state()[1].copy()  # noqa: NPY002
    jax.tree.map(np.testing.assert_array_equal, train(True), train(False))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_an_exception_leaves_the_iterator_where_it_was(make_setup, make_batches):
    batches = make_batches()

    def breaks(_state, _batch):
        raise FloatingPointError

    with pytest.raises(FloatingPointError):
        lr_range_test(breaks, make_setup().state, batches, CONFIG)
    assert batches.get_state() == {"next": 0}


def test_validation_loss_takes_the_place_of_the_batches(make_setup, make_batches):
    setup, seen = make_setup(), []

    def validation_loss(state):
        seen.append(int(state.step))
        return float(sigmoid_losses(1e-4)[len(seen) - 1])

    result = lr_range_test(setup.train_step, setup.state, make_batches(), CONFIG, validation_loss=validation_loss)
    assert seen == list(range(1, 71))
    np.testing.assert_allclose(result.losses, sigmoid_losses(1e-4))
    assert abs(np.log10(result.suggestion) + 4) < 0.15


def test_stops_when_the_loss_diverges(make_setup, make_batches):
    setup = make_setup()
    batches = (to_global(batch, setup.mesh) for batch in make_batches())
    config = LrRangeConfig(lr_min=1e-2, lr_max=1e6, num_steps=60)
    result = lr_range_test(setup.train_step, setup.state, batches, config)
    assert len(result.losses) < 60
