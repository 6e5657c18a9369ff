"""Reliability against scikit-learn and against calibrated draws; the bootstrap against fresh draws."""

import numpy as np
import pytest
import sklearn.calibration
import sklearn.metrics
from hypothesis import given, settings
from random_scores import scored

from clusterjax.errors import InputError
from clusterjax.evaluation import reliability


def draw(num, rng, power=1.0):
    """Outcomes that come true with probability p, and p to a power in odds."""
    odds = rng.normal(0, 1.5, num)
    return rng.random(num) < 1 / (1 + np.exp(-odds)), 1 / (1 + np.exp(-power * odds))


@settings(max_examples=50, deadline=None)
@given(scored())
def test_table_equals_scikit_learn(drawn):
    label, score, valid = drawn
    table = reliability.reliability_table(label, score, num_bins=4, valid=valid)
    observed, mean = sklearn.calibration.calibration_curve(
        label[valid], score[valid].astype(float), n_bins=4, strategy="quantile"
    )
    np.testing.assert_allclose(table["observed"], observed, atol=1e-12)
    np.testing.assert_allclose(table["mean_probability"], mean, atol=1e-9)
    assert table["num"].sum() == valid.sum()
    figures = reliability.calibration_figures(label, np.stack([1 - score, score], axis=1), valid=valid)
    true, scores = label[valid], score[valid].astype(float)
    assert figures["brier"] == pytest.approx(sklearn.metrics.brier_score_loss(true, scores), abs=1e-6)
    clipped = np.clip(scores, 1e-7, 1 - 1e-7)
    assert figures["log_loss"] == pytest.approx(sklearn.metrics.log_loss(true, clipped), abs=2e-3)
    by_hand = np.sum(np.asarray(table["num"]) * np.abs(observed - mean)) / valid.sum()
    assert reliability.calibration_error(label, score, num_bins=4, valid=valid).ece == pytest.approx(by_hand)


def test_many_classes():
    rng = np.random.default_rng(0)
    label, logits = rng.integers(0, 3, 500), rng.normal(size=(500, 3))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    figures = reliability.calibration_figures(label, probabilities)
    assert figures["brier"] == pytest.approx(sklearn.metrics.brier_score_loss(label, probabilities))
    assert figures["log_loss"] == pytest.approx(sklearn.metrics.log_loss(label, probabilities))
    right, confidence = reliability.outcomes(label, probabilities)
    assert figures["ece"] == reliability.calibration_error(right, confidence).ece
    assert right.mean() == np.mean(probabilities.argmax(axis=1) == label)


@pytest.mark.parametrize("num", [400, 5000])  # each example by itself; in cells
def test_error_bar_and_floor_are_those_of_fresh_draws(num):
    rng = np.random.default_rng(1)
    wrong = [reliability.calibration_error(*draw(num, rng, power=3.0), seed=i) for i in range(60)]
    right = [reliability.calibration_error(*draw(num, rng)) for _ in range(60)]
    spread = np.std([one.ece for one in wrong])
    assert np.mean([one.error for one in wrong]) == pytest.approx(spread, rel=0.25)
    assert np.mean([one.if_perfect for one in right]) == pytest.approx(np.mean([one.ece for one in right]), rel=0.08)
    assert np.mean([one.ece for one in wrong]) > 2 * np.mean([one.ece for one in right])


def test_bins_hold_equal_counts_and_their_truth():
    table = reliability.reliability_table(*draw(30_000, np.random.default_rng(2)))
    assert set(table["num"].tolist()) == {2000}
    inside = (table["observed_low"] <= table["mean_probability"]) & (
        table["mean_probability"] <= table["observed_high"]
    )
    assert 6 <= inside.sum() <= 14  # 10 of 15 expected at 1 sigma


def test_nothing_and_nan():
    assert len(reliability.reliability_table(np.zeros(0, int), np.zeros(0))) == 0
    assert np.isnan(reliability.calibration_error(np.zeros(0, int), np.zeros(0)).ece)
    assert np.isnan(reliability.calibration_figures(np.zeros(0, int), np.zeros((0, 2)))["log_loss"])
    with pytest.raises(InputError, match="NaN"):
        reliability.calibration_figures(np.array([0]), np.array([[np.nan, 0.2]]))
