import numpy as np

from clusterjax.evaluation.extension import extension_score


def test_the_classes_of_xamin():
    """C1 and C2 by their published limits in extent and likelihood."""
    extent = np.array([0.0, 3.0, 5.0, 5.0, 20.0, 80.0])
    likelihood = np.array([0.0, 500.0, 14.0, 15.0, 33.0, 1e6])
    score = extension_score(extent, likelihood)
    assert (score >= 0.5).tolist() == [False, False, False, True, True, True]
    assert (score >= 33 / 48).tolist() == [False, False, False, False, True, True]
    assert (np.diff(score[2:]) > 0).all()
    assert score.min() >= 0
    assert score.max() < 1
