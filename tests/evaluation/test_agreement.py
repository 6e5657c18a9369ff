"""Kappa against scikit-learn, published examples and simulation."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from clusterjax.evaluation.agreement import cohen_kappa, fleiss_kappa

# Fleiss (1971) as in Gwet's and Wikipedia's worked example: 14 raters, 10 subjects, 5 categories; kappa 0.210
FLEISS = np.array(
    [[0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
     [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]]
)  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_cohen_is_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, 60)
    first, second = (np.where(rng.random(60) < 0.3, rng.integers(0, 3, 60), truth) for _ in range(2))
    kappa = cohen_kappa(first, second, 3)
    assert kappa.value == pytest.approx(cohen_kappa_score(first, second))
    assert kappa.observed == pytest.approx(np.mean(first == second))
    assert kappa.num == 60


def test_cohens_error_is_the_scatter():
    rng = np.random.default_rng(0)
    kappas = []
    for _ in range(800):
        truth = rng.choice(3, 200, p=[0.6, 0.3, 0.1])
        pair = (np.where(rng.random(200) < 0.25, rng.integers(0, 3, 200), truth) for _ in range(2))
        kappas.append(cohen_kappa(*pair, 3))
    assert np.mean([k.error for k in kappas]) == pytest.approx(np.std([k.value for k in kappas]), rel=0.08)


def test_fleiss_is_as_published():
    kappa = fleiss_kappa(FLEISS)
    assert kappa.value == pytest.approx(0.210, abs=5e-4)
    assert kappa.observed == pytest.approx(0.378, abs=5e-4)
    assert kappa.num == 10
    alone = np.zeros((5, 5), int)
    alone[:, 0] = 1
    assert fleiss_kappa(np.concatenate([FLEISS, alone])) == kappa  # one vote tells nothing of agreement


def test_fleiss_of_unequal_numbers():
    """Nothing but chance gives 0 within the error; full agreement gives 1."""
    rng = np.random.default_rng(1)
    votes = rng.integers(2, 9, 4000)
    chance = np.stack([rng.multinomial(n, [0.5, 0.3, 0.2]) for n in votes])
    kappa = fleiss_kappa(chance)
    assert abs(kappa.value) < 4 * kappa.error < 0.05
    agreed = np.zeros((6, 3), int)
    agreed[np.arange(6), [0, 1, 2, 0, 1, 2]] = np.arange(2, 8)
    assert fleiss_kappa(agreed).value == pytest.approx(1)


def test_fleiss_error_is_the_scatter():
    rng = np.random.default_rng(2)
    kappas = []
    for _ in range(400):
        truth = rng.integers(0, 2, 60)
        chances = np.where(truth[:, None] == 1, 0.85, 0.2)
        said = rng.random((60, 4)) < chances
        kappas.append(fleiss_kappa(np.stack([said.sum(1), 4 - said.sum(1)], axis=1)))
    assert np.mean([k.error for k in kappas]) == pytest.approx(np.std([k.value for k in kappas]), rel=0.12)


def test_where_there_is_none():
    nothing = np.zeros(0, int)
    assert np.isnan(cohen_kappa(nothing, nothing, 3).value)
    same = np.zeros(9, int)
    assert np.isnan(cohen_kappa(same, same, 3).value)
    assert cohen_kappa(same, same, 3).observed == 1
    assert np.isnan(fleiss_kappa(np.zeros((4, 3), int)).value)
    assert np.isnan(fleiss_kappa(np.array([[3, 0], [2, 0]])).value)
