"""Two-class figures against scikit-learn; the fitted threshold against trying them all."""

import hypothesis.strategies as st
import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from random_scores import scored

from clusterjax.errors import InputError
from clusterjax.evaluation import binary


@settings(max_examples=150, deadline=None)
@given(scored(), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, 1.1]))
def test_metrics_equal_scikit_learn(drawn, threshold):
    label, score, valid = drawn
    true, scores = label[valid], score[valid]
    called = (scores >= threshold).astype(int)
    metrics = binary.binary_metrics(label, score, threshold=threshold, valid=valid)
    expected = {
        "num": len(true),
        "num_positive": true.sum(),
        "accuracy": sklearn.metrics.accuracy_score(true, called),
        "precision": sklearn.metrics.precision_score(true, called, zero_division=np.nan),
        "recall": sklearn.metrics.recall_score(true, called),
        "f1": sklearn.metrics.f1_score(true, called),
        "f2": sklearn.metrics.fbeta_score(true, called, beta=2),
        "fpr": 1 - sklearn.metrics.recall_score(true, called, pos_label=0),
        "balanced_accuracy": sklearn.metrics.balanced_accuracy_score(true, called),
        "auc": sklearn.metrics.roc_auc_score(true, scores),
        "average_precision": sklearn.metrics.average_precision_score(true, scores),
    }
    for name, value in expected.items():
        assert metrics[name] == pytest.approx(value, abs=1e-12, nan_ok=True), name
    np.testing.assert_array_equal(
        binary.confusion_matrix(label, score >= threshold, valid=valid),
        sklearn.metrics.confusion_matrix(true, called, labels=[0, 1]),
    )


def test_accuracy_error_is_binomial():
    label = np.array([1] * 90 + [0] * 10)
    metrics = binary.binary_metrics(label, np.ones(100))
    assert metrics["accuracy_error"] == pytest.approx(0.03)


@pytest.mark.parametrize(
    ("label", "undefined"),
    [
        (np.zeros(3, int), {"recall", "auc", "average_precision", "balanced_accuracy", "auc_error"}),
        (np.ones(3, int), {"fpr", "auc", "balanced_accuracy", "auc_error"}),
    ],
)
def test_an_empty_class_is_nan_where_undefined_only(label, undefined):
    metrics = binary.binary_metrics(label, np.array([0.2, 0.7, 0.9]))
    assert {name for name, value in metrics.items() if np.isnan(value)} == undefined


def test_no_cutouts_at_all():
    metrics = binary.binary_metrics(np.zeros(0, int), np.zeros(0))
    assert metrics["num"] == 0
    assert np.isnan(metrics["accuracy"])
    assert binary.confusion_matrix(np.zeros(0, int), np.zeros(0, int)).tolist() == [[0, 0], [0, 0]]
    assert np.isnan(binary.fit_threshold(np.zeros(0, int), np.zeros(0)))


@pytest.mark.parametrize("over", ["true", "called", "all"])
def test_normalised_confusion(over):
    rng = np.random.default_rng(0)
    label, predicted = rng.integers(0, 3, 50), rng.integers(0, 3, 50)
    ours = binary.normalise_confusion(binary.confusion_matrix(label, predicted, 3), over)
    theirs = sklearn.metrics.confusion_matrix(label, predicted, normalize={"called": "pred"}.get(over, over))
    np.testing.assert_allclose(ours, theirs)
    empty = binary.normalise_confusion(np.array([[0, 0], [1, 3]]), "true")
    np.testing.assert_array_equal(empty, [[np.nan, np.nan], [0.25, 0.75]])


@settings(max_examples=200, deadline=None)
@given(scored())
def test_fitted_threshold_is_as_accurate_as_any(drawn):
    label, score, valid = drawn
    threshold = binary.fit_threshold(label, score, valid=valid)
    true, scores = label[valid], score[valid]
    tried = [*scores, np.inf]
    best = max(np.mean((scores >= each) == true) for each in tried)
    assert np.mean((scores >= threshold) == true) == best


def test_fitted_threshold_lies_halfway():
    assert binary.fit_threshold(np.array([0, 0, 1, 1]), np.array([-3.0, 1.0, 2.0, 9.0])) == 1.5


def test_nan_scores_are_refused():
    with pytest.raises(InputError, match="2 of 2 scores are NaN"):
        binary.binary_metrics(np.array([0, 1]), np.full(2, np.nan))
