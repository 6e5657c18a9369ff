"""Many classes against scikit-learn."""

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings

from clusterjax.evaluation import multiclass

NAMES = ("compact", "fri", "frii", "bent")


@st.composite
def scored(draw):
    """label and scores (n, 4) where every class occurs and many scores tie."""
    num = draw(st.integers(8, 40))
    label = draw(hnp.arrays(np.int32, num, elements=st.integers(0, 3)))
    label[:4] = range(4)
    counts = draw(hnp.arrays(np.int64, (num, 4), elements=st.integers(0, 4)))
    return label, (counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)).astype(np.float32)


@settings(max_examples=100, deadline=None)
@given(scored())
def test_equal_scikit_learn(drawn):
    label, probabilities = drawn
    called = multiclass.called_class(probabilities)
    metrics = multiclass.multiclass_metrics(label, probabilities, NAMES)
    table = multiclass.per_class_table(label, probabilities, NAMES)
    precision, recall, f1, num = sklearn.metrics.precision_recall_fscore_support(
        label, called, zero_division=np.nan, labels=range(4)
    )
    areas = [sklearn.metrics.roc_auc_score(label == i, probabilities[:, i]) for i in range(4)]
    np.testing.assert_allclose(table["precision"], precision, atol=1e-12)
    np.testing.assert_allclose(table["recall"], recall, atol=1e-12)
    np.testing.assert_allclose(table["f1"], f1, atol=1e-12)
    f2 = sklearn.metrics.fbeta_score(label, called, beta=2, average=None, labels=range(4), zero_division=np.nan)
    np.testing.assert_allclose(table["f2"], f2, atol=1e-12)
    rest = [1 - sklearn.metrics.recall_score(label != i, called != i) for i in range(4)]
    np.testing.assert_allclose(table["fpr"], rest, atol=1e-12)
    precisions = [sklearn.metrics.average_precision_score(label == i, probabilities[:, i]) for i in range(4)]
    np.testing.assert_allclose(table["average_precision"], precisions, atol=1e-12)
    np.testing.assert_array_equal(table["num"], num)
    np.testing.assert_allclose(table["auc"], areas, atol=1e-12)
    assert metrics["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(label, called))
    assert metrics["balanced_accuracy"] == pytest.approx(sklearn.metrics.balanced_accuracy_score(label, called))
    assert metrics["macro_f1"] == pytest.approx(np.mean(f1))
    assert metrics["macro_auc"] == pytest.approx(np.mean(areas))
    assert metrics["majority_accuracy"] == num.max() / len(label)


def test_a_class_that_never_occurs_and_padding():
    label = np.array([0, 1, 1, 3])
    probabilities = np.eye(4)[[0, 1, 0, 2]]
    probabilities[3] = np.nan
    valid = np.array([True, True, True, False])
    metrics = multiclass.multiclass_metrics(label, probabilities, NAMES, valid=valid)
    table = multiclass.per_class_table(label, probabilities, NAMES, valid=valid)
    assert table["num"].tolist() == [1, 2, 0, 0]
    assert np.isnan(table["recall"][2:]).all()
    assert np.isnan(table["auc"][2:]).all()
    assert metrics["accuracy"] == pytest.approx(2 / 3)
    assert metrics["balanced_accuracy"] == pytest.approx((1 + 0.5) / 2)
    nothing = multiclass.multiclass_metrics(label, probabilities, NAMES, valid=np.zeros(4, bool))
    assert nothing["num"] == 0
    assert np.isnan(nothing["accuracy"])
