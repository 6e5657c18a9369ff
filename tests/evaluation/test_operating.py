"""Figures at fixed thresholds and false-positive rates, against scikit-learn."""

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from random_scores import scored

from clusterjax.errors import InputError
from clusterjax.evaluation.breakdown import binomial_interval
from clusterjax.evaluation.operating import THRESHOLDS, figures_at_false_positive_rates, figures_at_thresholds


@settings(max_examples=60, deadline=None)
@given(scored())
def test_equal_scikit_learn(drawn):
    label, score, valid = drawn
    true, scores = label[valid], score[valid]
    thresholds = (*THRESHOLDS, 0.25, 0.75)
    table = figures_at_thresholds(label, score, thresholds, valid=valid)
    for row, threshold in zip(table, thresholds, strict=True):
        called = (scores >= threshold).astype(int)
        expected = {
            "num_called": called.sum(),
            "completeness": sklearn.metrics.recall_score(true, called),
            "fpr": 1 - sklearn.metrics.recall_score(true, called, pos_label=0),
            "precision": sklearn.metrics.precision_score(true, called, zero_division=np.nan),
            "f1": sklearn.metrics.f1_score(true, called),
            "f2": sklearn.metrics.fbeta_score(true, called, beta=2),
        }
        for name, value in expected.items():
            assert row[name] == pytest.approx(value, abs=1e-12, nan_ok=True), name
        hits = np.array([np.sum(called[true == 1])]), np.array([np.sum(true)])
        assert (row["completeness_low"], row["completeness_high"]) == tuple(end[0] for end in binomial_interval(*hits))


@settings(max_examples=60, deadline=None)
@given(scored())
def test_rates_are_kept_and_no_lower_threshold_would_keep_them(drawn):
    label, score, valid = drawn
    rates = (0.0, 0.1, 0.3, 1.0)
    table = figures_at_false_positive_rates(label, score, rates, valid=valid)
    negatives = score[valid & (label == 0)]
    for row, rate in zip(table, rates, strict=True):
        assert row["max_fpr"] == rate
        assert row["fpr"] == np.mean(negatives >= row["threshold"]) <= rate
        lower = score[valid][score[valid] < row["threshold"]]
        assert not len(lower) or np.mean(negatives >= lower.max()) > rate


def test_an_empty_class_and_nan():
    positives = figures_at_thresholds(np.ones(3, int), np.array([0.2, 0.6, 0.9]))
    assert np.isnan(positives["fpr"]).all()
    assert positives["completeness"][2] == pytest.approx(2 / 3)
    assert len(figures_at_false_positive_rates(np.ones(3, int), np.array([0.2, 0.6, 0.9]))) == 0
    with pytest.raises(InputError, match="NaN"):
        figures_at_thresholds(np.array([0, 1]), np.array([0.1, np.nan]))
