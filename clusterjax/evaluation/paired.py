"""Two observers of the same cutouts: is one better, or lucky? They stumble over the same ones, so pairs count."""

from typing import NamedTuple

import numpy as np
import scipy.special
from jaxtyping import Bool

from clusterjax.evaluation.curves import Labels, Scores, auc_difference

_NUM_RESAMPLES = 10_000


class PairedDifference(NamedTuple):
    """The first minus the second, its 1 sigma interval, and the two-sided p-value of there being none."""

    difference: float
    low: float
    high: float
    p_value: float


def accuracy_difference(
    right: Bool[np.ndarray, " n"], other_right: Bool[np.ndarray, " n"], *, seed: int = 0
) -> PairedDifference:
    """Of how often each was right, by a bootstrap of cutouts (Efron & Tibshirani 1993, chapters 13 and 15).

    A cutout gives -1, 0 or 1, so resampling cutouts is drawing three counts. NaNs without cutouts.
    """
    if not len(right):
        return PairedDifference(*[float("nan")] * 4)
    gain = right.astype(int) - other_right.astype(int)
    shares = np.bincount(gain + 1, minlength=3) / len(gain)
    drawn = np.random.default_rng(seed).multinomial(len(gain), shares, size=_NUM_RESAMPLES)
    differences = (drawn[:, 2] - drawn[:, 0]) / len(gain)
    below, above = ((np.sum(tail) + 1) / (_NUM_RESAMPLES + 1) for tail in (differences <= 0, differences >= 0))
    low, high = np.quantile(differences, [0.158655, 0.841345])
    return PairedDifference(float(gain.mean()), float(low), float(high), float(min(2 * min(below, above), 1.0)))


def paired_auc(label: Labels, score: Scores, other: Scores) -> PairedDifference:
    """Of the areas under the ROC curve, by DeLong et al. (1988). NaNs with fewer than two of either class."""
    difference, error = auc_difference(label, score, other)
    if not error > 0:
        return PairedDifference(difference, difference, difference, 1.0 if difference == 0 else float("nan"))
    p_value = float(scipy.special.erfc(abs(difference) / error / np.sqrt(2)))
    return PairedDifference(difference, difference - error, difference + error, p_value)
