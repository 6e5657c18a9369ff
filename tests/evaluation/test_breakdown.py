"""Recall in bins and confusion by object type, counted by hand; the intervals' coverage by simulation."""

import numpy as np
import scipy.stats

from clusterjax.evaluation import breakdown


def test_interval_is_wilson_and_covers():
    """The closed form of Wilson (1927), z = 1; and it holds the truth about as often as it says."""
    low, high = breakdown.binomial_interval(np.array([3, 0, 10, 0]), np.array([10, 10, 10, 0]))
    n = 10
    for i, p in enumerate([0.3, 0.0, 1.0]):
        centre, half = (p + 0.5 / n) / (1 + 1 / n), np.sqrt(p * (1 - p) / n + 0.25 / n**2) / (1 + 1 / n)
        np.testing.assert_allclose([low[i], high[i]], [centre - half, centre + half], atol=1e-12)
    assert np.isnan([low[3], high[3]]).all()
    truth, trials = 0.9, 60
    hits = np.arange(trials + 1)
    low, high = breakdown.binomial_interval(hits, np.full(trials + 1, trials))
    covered = scipy.stats.binom.pmf(hits, trials, truth)[(low <= truth) & (truth <= high)].sum()
    assert 0.6 < covered < 0.78


def test_confusion_by_object_type_counts():
    types = np.array(["star", "cluster", "group", "cluster", "group", "star", "star", "cluster"])
    label = (types == "cluster").astype(int)
    score = np.array([0.1, 0.9, 0.5, 0.2, 0.8, 0.1, 0.9, 0.9])
    valid = np.array([True] * 7 + [False])
    table = breakdown.confusion_by_object_type(types, label, score, valid=valid)
    assert table["object_type"].tolist() == ["cluster", "group", "star"]  # positives, then most mistaken
    assert table["positive"].tolist() == [True, False, False]
    assert table["num"].tolist() == [2, 2, 3]
    assert table["num_called_positive"].tolist() == [1, 2, 1]
    np.testing.assert_allclose(table["fraction_called_positive"], [1 / 2, 1, 1 / 3])
    np.testing.assert_allclose(table["accuracy"], [1 / 2, 0, 2 / 3])
    assert (table["fraction_low"] <= table["fraction_called_positive"]).all()
    assert (table["fraction_high"] >= table["fraction_called_positive"]).all()


def test_object_types_may_come_from_fits_as_bytes():
    table = breakdown.confusion_by_object_type(
        np.array([b"agn", b"cluster"]), np.array([0, 1], ">i4"), np.array([0.1, 0.9], ">f4")
    )
    assert table["object_type"].tolist() == ["cluster", "agn"]


def test_recall_in_given_bins():
    redshift = np.array([0.1, 0.3, 0.3, 0.5, np.nan, 0.2, 0.9, 0.4])
    label = np.array([1, 1, 1, 1, 1, 0, 1, 1])
    score = np.array([0.9, 0.1, 0.5, 0.9, 0.9, 0.9, 0.9, 0.9])
    valid = np.array([True] * 7 + [False])
    table = breakdown.recall_in_bins(redshift, label, score, edges=(0.1, 0.3, 0.5, 0.7), valid=valid)
    assert table["num"].tolist() == [1, 2, 1]  # 0.3 opens its bin; 0.5 is in the last; nan and 0.9 are out
    assert table["num_recovered"].tolist() == [1, 1, 1]
    np.testing.assert_allclose(table["recall"], [1, 0.5, 1])
    np.testing.assert_allclose(table["median"], [0.1, 0.3, 0.5])
    last = breakdown.recall_in_bins(redshift, label, score, edges=(0.1, 0.3, 0.5), valid=valid)
    assert last["num"].tolist() == [1, 3]  # the last bin is closed


def test_an_empty_bin_is_nan():
    table = breakdown.recall_in_bins(
        np.array([0.2]), np.array([1]), np.array([1.0]), edges=[0.1, 0.3, 0.5], threshold=0.5
    )
    assert table["num"].tolist() == [1, 0]
    assert np.isnan([table["recall"][1], table["recall_low"][1], table["median"][1]]).all()


def test_quantile_bins_hold_equal_numbers():
    rng = np.random.default_rng(1)
    redshift = rng.gamma(2, 0.3, 1000)
    score = rng.random(1000)
    table = breakdown.recall_in_bins(redshift, np.ones(1000, int), score, threshold=0.3, num_quantiles=10)
    assert set(table["num"].tolist()) == {100}
    assert table["num_recovered"].sum() == np.sum(score >= 0.3)
    np.testing.assert_allclose(table["high"][:-1], table["low"][1:])


def test_one_value_is_one_bin_and_none_is_no_row():
    same = breakdown.recall_in_bins(np.full(5, 0.4), np.ones(5, int), np.linspace(0, 1, 5))
    assert len(same) == 1
    assert (same["num"][0], same["num_recovered"][0]) == (5, 3)
    for label in (np.zeros(5, int), np.zeros(0, int)):
        none = breakdown.recall_in_bins(np.full(len(label), 0.4), label, np.zeros(len(label)))
        assert len(none) == 0
        assert none.colnames == same.colnames
