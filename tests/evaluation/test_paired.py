"""Paired differences against McNemar's and DeLong's tests, and under no difference at all."""

import numpy as np
import pytest
import scipy.stats

from clusterjax.evaluation.curves import auc_difference
from clusterjax.evaluation.paired import accuracy_difference, paired_auc


@pytest.mark.parametrize(("better", "worse"), [(60, 40), (45, 20), (30, 30)])
def test_bootstrap_of_accuracy_is_mcnemars_test(better, worse):
    """The discordant pairs are a fair coin's (McNemar 1947); 900 pairs agree."""
    right = np.r_[np.ones(better), np.zeros(worse), np.ones(900)].astype(bool)
    other = np.r_[np.zeros(better), np.ones(worse), np.ones(900)].astype(bool)
    found = accuracy_difference(right, other)
    num = better + worse + 900
    spread = np.sqrt(better + worse - (better - worse) ** 2 / num) / num
    assert found.difference == pytest.approx((better - worse) / num)
    assert found.high - found.low == pytest.approx(2 * spread, rel=0.06)
    if better == worse:
        assert found.p_value > 0.9
    else:
        expected = 2 * scipy.stats.norm.sf(found.difference / spread)
        assert found.p_value == pytest.approx(expected, rel=0.35, abs=1.2e-3)
    assert accuracy_difference(other, right).difference == -found.difference


def test_p_values_are_uniform_where_there_is_no_difference():
    rng = np.random.default_rng(0)
    p_values = [accuracy_difference(*(rng.random((2, 2000)) < 0.9), seed=i).p_value for i in range(100)]
    assert np.mean(np.array(p_values) < 0.05) < 0.12
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.12)


def test_auc_is_delongs():
    rng = np.random.default_rng(1)
    label = (np.arange(400) < 150).astype(int)
    shared = rng.normal(size=400)
    score, other = (label * strength + shared + 0.5 * rng.normal(size=400) for strength in (1.5, 1.2))
    found = paired_auc(label, score, other)
    difference, error = auc_difference(label, score, other)
    assert found[:3] == pytest.approx((difference, difference - error, difference + error))
    assert found.p_value == pytest.approx(2 * scipy.stats.norm.sf(abs(difference) / error))
    assert paired_auc(label, score, score).p_value == 1.0


def test_no_cutouts():
    assert np.isnan(accuracy_difference(np.zeros(0, bool), np.zeros(0, bool)).p_value)
    assert np.isnan(paired_auc(np.ones(3, int), np.arange(3.0), np.arange(3.0)[::-1]).p_value)
