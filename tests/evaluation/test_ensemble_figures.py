"""Figures of an ensemble's members and of its spread, against NumPy and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, roc_auc_score

from clusterjax.errors import InputError
from clusterjax.evaluation.ensemble import coverage_curve, member_table, with_mean_and_std
from clusterjax.evaluation.headline import Observer, binary_headline, with_members


def draws(seed=0, num=200, members=3):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, num)
    positive = 1 / (1 + np.exp(-(2 * label[:, None] - 1 + 1.5 * rng.normal(size=(num, members)))))
    return label, np.stack([1 - positive, positive], axis=-1)


def test_members_mean_std_and_ensemble():
    label, scores = draws()
    table = member_table(label, scores, ["a", "b", "c"], ("other", "cluster"))
    assert table["member"].tolist() == ["a", "b", "c", "mean", "std", "ensemble"]
    accuracy = [accuracy_score(label, scores[:, i, 1] >= 0.5) for i in range(3)]
    auc = [roc_auc_score(label, scores[:, i, 1]) for i in range(3)]
    both = scores[..., 1].mean(1)
    for name, values, together in (
        ("accuracy", accuracy, accuracy_score(label, both >= 0.5)),
        ("auc", auc, roc_auc_score(label, both)),
    ):
        np.testing.assert_allclose(
            np.asarray(table[name]), [*values, np.mean(values), np.std(values, ddof=1), together], rtol=1e-12
        )


def test_three_classes():
    rng = np.random.default_rng(1)
    label, scores = rng.integers(0, 3, 90), rng.dirichlet(np.ones(3), size=(90, 2))
    table = member_table(label, scores, ["a", "b"], ("x", "y", "z"))
    expected = accuracy_score(label, scores.mean(1).argmax(1))
    assert table["accuracy"][-1] == pytest.approx(expected)


def test_a_figure_that_a_row_lacks_and_a_single_row():
    table = with_mean_and_std(["a", "b"], [{"auc": np.nan}, {"auc": 0.5}], called="fold")
    assert table["auc"][2] == 0.5
    assert np.isnan(table["auc"][3])


def test_headline_shows_the_members_below_the_ensemble():
    label, scores = draws()
    headline = binary_headline(label, [Observer("net", scores[..., 1].mean(1)), Observer("other", scores[:, 0, 1])])
    members = member_table(label, scores, ["a", "b", "c"], ("other", "cluster"))
    table = with_members(headline, members, 3)
    assert table["observer"].tolist() == ["net, mean", "one of its 3 members", "other", "net − other"]
    assert table["accuracy"][1] == members["accuracy"][3]
    assert table["fpr_error"][1] == members["fpr"][4]
    assert np.isnan(table["fpr_error"][0])
    for name in headline.colnames[3:]:
        assert table[name][0] == headline[name][0]


@given(st.integers(0, 2**31), st.integers(1, 60))
def test_coverage_is_the_accuracy_of_the_least_uncertain(seed, num):
    rng = np.random.default_rng(seed)
    right, uncertainty = rng.random(num) < 0.8, rng.integers(0, 10, num) / 10
    curve = coverage_curve(right, uncertainty, num_points=7)
    order = sorted(range(num), key=lambda i: (uncertainty[i], i))
    for row in curve:
        kept = order[: row["num"]]
        assert row["accuracy"] == pytest.approx(np.mean(right[kept]))
        assert row["accuracy_best"] == pytest.approx(np.mean(sorted(right, reverse=True)[: row["num"]]))
    assert curve["coverage"][-1] == 1


def test_an_uncertainty_that_is_nan_is_refused():
    with pytest.raises(InputError, match="1 of 2 scores are NaN"):
        coverage_curve(np.array([True, False]), np.array([0.1, np.nan]))
