"""Score fusion against scikit-learn and Bayes; purity at equal completeness against counting by hand."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression

from clusterjax.evaluation.fusion import fit_stacking, fuse_scores, product_of_odds
from clusterjax.evaluation.purity import purity_at_completeness, purity_differences, purity_errors
from clusterjax.odds import log_odds, logistic


@pytest.fixture(scope="module")
def draws():
    """Two statistics of unit normal noise, independent given the class, of a third of positives; their true odds."""
    rng = np.random.default_rng(0)
    positive = rng.random(6000) < 1 / 3
    means = np.array([1.2, 0.8])
    x = rng.normal(size=(6000, 2)) + means * positive[:, None]
    log_ratio = x * means - means**2 / 2
    return positive, log_ratio + np.log(0.5)  # each observer's own log-odds hold the prior of 1 : 2


def test_stacking_is_the_maximum_likelihood(draws):
    positive, odds = draws
    stacking = fit_stacking(odds, positive)
    reference = LogisticRegression(C=1e6, tol=1e-10).fit(odds, positive)
    np.testing.assert_allclose(stacking.slopes, reference.coef_[0], rtol=1e-3)
    assert stacking.intercept == pytest.approx(reference.intercept_[0], abs=2e-3)
    np.testing.assert_allclose(stacking(odds), reference.predict_proba(odds)[:, 1], atol=1e-3)


def test_the_product_of_independent_odds_is_bayes(draws):
    positive, odds = draws
    exact = logistic(odds.sum(axis=1) - np.log(0.5))
    prior = float(positive.mean())
    fused, _ = fuse_scores("product_of_odds", logistic(odds), logistic(odds), positive)
    np.testing.assert_allclose(log_odds(fused) - log_odds(exact), -np.log(prior / (1 - prior)) + np.log(0.5), atol=1e-9)
    stacked, how = fuse_scores("stacked", logistic(odds), logistic(odds), positive)
    np.testing.assert_allclose(how.slopes, 1.0, atol=0.15)
    np.testing.assert_allclose(stacked, exact, atol=0.05)
    assert product_of_odds(3, 0.5).intercept == 0.0
    with pytest.raises(ValueError, match="method='mean' is unknown"):
        fuse_scores("mean", odds, odds, positive)


def by_hand(label, score, level, weight):
    """The strictest threshold, among the scores, that keeps the level."""
    best = None
    for cut in sorted(set(score), reverse=True):
        above = score >= cut
        if weight[above & (label == 1)].sum() >= level * weight[label == 1].sum() * (1 - 1e-12):
            best = weight[above & (label == 1)].sum() / weight[above].sum()
            break
    return best


@pytest.mark.parametrize("seed", range(5))
def test_purity_by_hand(seed):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, 60)
    score = np.round(rng.random(60) + 0.3 * label, 1)  # ties
    weight = rng.random(60)
    levels = (0.2, 0.5, 0.9, 1.0)
    expected = [by_hand(label, score, level, weight) for level in levels]
    np.testing.assert_allclose(purity_at_completeness(label, score, levels, weight=weight), expected)
    np.testing.assert_allclose(
        purity_at_completeness(label, score, levels), [by_hand(label, score, level, np.ones(60)) for level in levels]
    )


def test_purity_of_a_rare_class():
    """Unit normals apart by 2, positives 1 in 101 by their weights: purity = TPR / (TPR + 100 FPR)."""
    rng = np.random.default_rng(1)
    label = np.repeat([0, 1], 100_000)
    score = rng.normal(size=200_000) + 2 * label
    weight = np.where(label == 1, 1.0, 100.0)
    false_rate = norm.sf(2 + norm.isf(0.5))
    found = purity_at_completeness(label, score, (0.5,), weight=weight)[0]
    assert found == pytest.approx(0.5 / (0.5 + 100 * false_rate), rel=0.05)
    assert np.isnan(purity_at_completeness(np.zeros(4, int), score[:4], (0.5,))).all()


def test_errors_and_paired_differences():
    """Over many test sets drawn afresh, the spread is the bootstrap's error; that of the difference is less."""
    rng = np.random.default_rng(2)
    label = np.repeat([0, 1], 400)

    def draw():
        shared = rng.normal(size=800)
        return [2 * label + shared + 0.2 * rng.normal(size=800) for _ in range(2)]

    sets = [draw() for _ in range(300)]
    spread = np.std([purity_at_completeness(label, one, (0.7,))[0] for one, _ in sets])
    error = np.mean([purity_errors(label, one, (0.7,))[0] for one, _ in sets[:4]])
    assert error == pytest.approx(spread, rel=0.25)
    apart = [np.subtract(*(purity_at_completeness(label, one, (0.7,))[0] for one in pair)) for pair in sets]
    found = [purity_differences(label, *pair, (0.7,))[0] for pair in sets[:4]]
    half = np.mean([(each.high - each.low) / 2 for each in found])
    assert half == pytest.approx(np.std(apart), rel=0.3)
    assert half < spread
    better = purity_differences(label, 3 * label + rng.normal(size=800), sets[0][0], (0.7, 0.9))
    assert all(
        each.difference > 0 and each.p_value < 0.01 and each.low < each.difference < each.high for each in better
    )
    assert purity_differences(label, sets[0][0], sets[0][0], (0.7,))[0] == (0.0, 0.0, 0.0, 1.0)
