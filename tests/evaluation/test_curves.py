"""Curves and areas against scikit-learn, on scores that tie; errors against the spread of many draws."""

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from random_scores import scored

from clusterjax.errors import InputError
from clusterjax.evaluation import curves


@settings(max_examples=150, deadline=None)
@given(scored())
def test_curves_equal_scikit_learn(drawn):
    label, score, valid = drawn
    true, scores = label[valid], score[valid]
    fpr, tpr, thresholds = sklearn.metrics.roc_curve(true, scores, drop_intermediate=False)
    roc = curves.roc_curve(label, score, valid=valid)
    np.testing.assert_allclose(roc.false_positive_rate, fpr, rtol=0, atol=1e-12)
    np.testing.assert_allclose(roc.true_positive_rate, tpr, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(roc.thresholds, thresholds)
    precision, recall, thresholds = sklearn.metrics.precision_recall_curve(true, scores)
    ours = curves.precision_recall_curve(label, score, valid=valid)
    np.testing.assert_allclose(ours.precision[::-1], precision, atol=1e-12)
    np.testing.assert_allclose(ours.recall[::-1], recall, atol=1e-12)
    np.testing.assert_array_equal(ours.thresholds[::-1][:-1], thresholds)


@settings(max_examples=150, deadline=None)
@given(scored())
def test_areas_equal_scikit_learn(drawn):
    label, score, valid = drawn
    true, scores = label[valid], score[valid]
    assert curves.auc(label, score, valid=valid) == pytest.approx(
        sklearn.metrics.roc_auc_score(true, scores), abs=1e-12
    )
    assert curves.average_precision(label, score, valid=valid) == pytest.approx(
        sklearn.metrics.average_precision_score(true, scores), abs=1e-12
    )
    assert curves.auc_with_error(label, score, valid=valid)[0] == curves.auc(label, score, valid=valid)


def test_auc_is_the_share_of_pairs_in_order_and_symmetric():
    label = np.array([1, 1, 0, 0, 0])
    score = np.array([0.9, 0.5, 0.5, 0.5, 0.1])
    assert curves.auc(label, score) == (3 + 0.5 + 0.5 + 1) / 6
    assert curves.auc(1 - label, -score) == curves.auc(label, score)
    assert curves.auc(label, np.full(5, 0.3)) == 0.5


@pytest.mark.parametrize("label", [np.zeros(4, int), np.ones(4, int), np.zeros(0, int)])
def test_an_empty_class_is_nan_without_a_warning(label):
    score = np.linspace(0, 1, len(label))
    assert np.isnan(curves.auc(label, score))
    assert np.isnan(curves.auc_with_error(label, score)).all()
    roc = curves.roc_curve(label, score)
    assert np.isnan(roc.true_positive_rate).all() == (label.sum() == 0)
    assert np.isnan(roc.false_positive_rate).all() == ((1 - label).sum() == 0)
    assert np.isnan(curves.average_precision(label, score)) == (label.sum() == 0)
    if label.sum():
        assert curves.average_precision(label, score) == 1.0


def test_delong_error_is_the_spread_of_many_draws():
    """Two observers who share most of their noise: single errors and the paired error against 1500 draws."""
    rng = np.random.default_rng(3)
    label = (np.arange(150) < 60).astype(int)
    draws, errors = [], []
    for _ in range(1500):
        shared = rng.normal(size=150)
        one = np.round(1.2 * label + shared + 0.3 * rng.normal(size=150), 1)  # rounded: some ties
        two = np.round(1.0 * label + shared + 0.6 * rng.normal(size=150), 1)
        difference, paired = curves.auc_difference(label, one, two)
        area, error = curves.auc_with_error(label, one)
        draws.append((area, difference))
        errors.append((error, paired))
    np.testing.assert_allclose(np.mean(errors, axis=0), np.std(draws, axis=0), rtol=0.06)
    assert np.mean(errors, axis=0)[1] < 0.75 * np.mean(errors, axis=0)[0]


def test_nan_scores_are_refused():
    with pytest.raises(InputError, match="1 of 3 scores are NaN"):
        curves.roc_curve(np.array([0, 1, 1]), np.array([0.1, np.nan, 0.2]))
