"""Calibrations against scikit-learn and known truths; the same after a round trip through JSON."""

import json

import hypothesis.strategies as st
import numpy as np
import pytest
import sklearn.base
import sklearn.calibration
import sklearn.frozen
import sklearn.isotonic
from hypothesis import given, settings
from random_scores import scored

from clusterjax.errors import InputError
from clusterjax.evaluation.calibration import METHODS, Calibration, fit_calibration
from clusterjax.odds import log_odds, logistic


def both(score):
    return np.stack([1 - score, score], axis=1)


class LogOdds(sklearn.base.ClassifierMixin, sklearn.base.BaseEstimator):
    """A classifier of scikit-learn's whose decision is the log-odds of its one feature."""

    classes_ = np.array([0, 1])

    def fit(self, features, label):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def decision_function(self, features):
        return log_odds(features[:, 0])

    def predict(self, features):
        return (features[:, 0] > 0.5).astype(int)


def too_sure(num, seed=0, power=3.0):
    """Scores whose true log-odds are a third of what they say, and labels drawn from the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(0.3, 1.5, num)
    label = (rng.random(num) < logistic(truth)).astype(int)
    return label, logistic(power * truth), logistic(truth)


@pytest.mark.parametrize("method", ["temperature", "sigmoid"])
def test_parametric_methods_equal_scikit_learn(method):
    label, score, _ = too_sure(3000)
    theirs = sklearn.calibration.CalibratedClassifierCV(
        sklearn.frozen.FrozenEstimator(LogOdds()), method=method, ensemble=False, cv=2
    ).fit(score[:, None], label)
    ours = fit_calibration({"sigmoid": "platt"}.get(method, method), label, both(score))
    grid = np.linspace(0.001, 0.999, 50)
    # scikit-learn's temperature has no rule of succession.
    np.testing.assert_allclose(ours(both(grid)), theirs.predict_proba(grid[:, None]), atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_weights_are_repetitions(method):
    label, score, _ = too_sure(3000)
    times = np.random.default_rng(1).integers(0, 4, 3000) + 2 * label
    weighted = fit_calibration(method, label, both(score), weight=times.astype(float))
    repeated = fit_calibration(method, np.repeat(label, times), both(np.repeat(score, times)))
    grid = np.linspace(0.001, 0.999, 50)
    np.testing.assert_allclose(weighted.positive(grid), repeated.positive(grid), atol=1e-3)
    plain = fit_calibration(method, label, both(score))
    assert np.abs(weighted.positive(grid) - plain.positive(grid)).max() > 0.01


@settings(max_examples=60, deadline=None)
@given(scored(), st.integers(0, 9))
def test_isotonic_equals_scikit_learn(drawn, seed):
    label, score, valid = drawn
    label, score = label[valid], np.round(score[valid].astype(np.float64), 6)
    weight = np.random.default_rng(seed).uniform(0.5, 2, len(label))
    edge = 1 / (len(label) + 2)
    theirs = sklearn.isotonic.IsotonicRegression(y_min=edge, y_max=1 - edge, out_of_bounds="clip")
    theirs.fit(score, label, sample_weight=weight)
    ours = fit_calibration("isotonic", label, both(score), weight=weight)
    asked = np.concatenate([score, np.linspace(0, 1, 30)])
    np.testing.assert_allclose(ours.positive(asked), theirs.predict(asked), atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_finds_the_truth(method):
    label, score, _ = too_sure(40_000)
    calibration = fit_calibration(method, label, both(score))
    _, fresh, truth = too_sure(2_000, seed=1)
    error = np.abs(calibration.positive(fresh) - truth)
    assert error.mean() < 0.012
    assert np.abs(fresh - truth).mean() > 0.1
    if method == "temperature":
        assert calibration.parameters[0]["temperature"] == pytest.approx(3.0, rel=0.03)


def test_many_classes_temperature_and_one_against_the_rest():
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(20_000, 4)) * 1.3
    truth = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    label = (rng.random((20_000, 1)) > truth.cumsum(axis=1)).sum(axis=1)
    scores = truth**2.5
    scores /= scores.sum(axis=1, keepdims=True)
    for method, worst in (("temperature", 0.01), ("platt", 0.04), ("isotonic", 0.04)):
        calibration = fit_calibration(method, label, scores)
        probabilities = calibration(scores)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)
        assert np.abs(probabilities - truth).mean() < worst
    temperature = fit_calibration("temperature", label, scores)
    assert temperature.parameters[0]["temperature"] == pytest.approx(2.5, rel=0.03)
    np.testing.assert_array_equal(temperature(scores).argmax(axis=1), scores.argmax(axis=1))


@settings(max_examples=100, deadline=None)
@given(scored(), st.sampled_from(METHODS))
def test_any_scores_give_probabilities_in_the_scores_order(drawn, method):
    label, score, valid = drawn
    label, score = label[valid], score[valid]
    calibration = fit_calibration(method, label, both(score))
    probability = calibration.positive(np.append(score, np.nan))
    assert np.isnan(probability[-1])
    assert ((probability[:-1] > 0) & (probability[:-1] < 1)).all()
    steps = np.diff(probability[:-1][np.argsort(score, kind="stable")])
    falling = method == "platt" and calibration.parameters[0]["slope"] < 0  # scores that rank the wrong way round
    assert (-steps if falling else steps).min(initial=0) >= -1e-12
    again = Calibration.from_dict(json.loads(json.dumps(calibration.to_dict())))
    np.testing.assert_array_equal(again.positive(score), calibration.positive(score))


@pytest.mark.parametrize("method", METHODS)
def test_scores_without_overlap_and_labels_of_one_class(method):
    label = np.repeat([0, 1], 50)
    score = np.where(label, 1.0, 0.0)
    apart = fit_calibration(method, label, both(score))
    assert 0.97 < apart.positive(np.array([1.0]))[0] < 1
    ones = fit_calibration(method, np.ones(20, int), both(np.linspace(0.2, 0.9, 20)))
    assert np.isfinite(ones.positive(np.linspace(0, 1, 5))).all()


def test_bad_input():
    with pytest.raises(InputError, match="calibration='plat' is unknown; use none, temperature"):
        fit_calibration("plat", np.array([0, 1]), both(np.array([0.1, 0.9])))
    with pytest.raises(InputError, match="NaN"):
        fit_calibration("platt", np.array([0, 1]), both(np.array([0.1, np.nan])))
    with pytest.raises(InputError, match="no validation scores"):
        fit_calibration("platt", np.zeros(0, int), np.zeros((0, 2)))
