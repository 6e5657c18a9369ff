"""What an observer finds and what it mistakes at fixed thresholds, and at fixed false-positive rates."""

from collections.abc import Sequence

import numpy as np
from astropy.table import Table

from clusterjax.evaluation.breakdown import binomial_interval
from clusterjax.evaluation.curves import Labels, Scores, Valid, roc_curve, safe_ratio
from clusterjax.evaluation.valid import check_scores, keep_valid

THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.99)
FALSE_POSITIVE_RATES = (0.001, 0.003, 0.01, 0.03, 0.1)


def figures_at_thresholds(
    label: Labels, score: Scores, thresholds: Sequence[float] = THRESHOLDS, *, valid: Valid = None
) -> Table:
    """One row a threshold: what is called positive at or above it.

    Columns threshold, num_called, completeness (recall) and its 1 sigma interval completeness_low, completeness_high,
    fpr, fpr_low, fpr_high, precision, f1, f2. A ratio with nothing below the line is nan. Raises
    :class:`~clusterjax.errors.InputError` for NaN scores.
    """
    label, score = keep_valid(valid, label, score)
    check_scores(score)
    positive = label.astype(bool)
    thresholds = np.asarray(thresholds, np.float64)
    found, mistaken = (_count_above(score[rows], thresholds) for rows in (positive, ~positive))
    num_positive, num_negative = int(positive.sum()), int((~positive).sum())
    columns = {"threshold": thresholds, "num_called": found + mistaken}
    for name, count, of in (("completeness", found, num_positive), ("fpr", mistaken, num_negative)):
        low, high = binomial_interval(count, np.full(len(count), of))
        columns |= {name: safe_ratio(count, of), f"{name}_low": low, f"{name}_high": high}
    columns["precision"] = safe_ratio(found, found + mistaken)
    for beta in (1, 2):
        # (1 + b^2) TP / ((1 + b^2) TP + b^2 FN + FP)
        columns[f"f{beta}"] = safe_ratio((1 + beta**2) * found, beta**2 * num_positive + found + mistaken)
    return Table(columns)


def _count_above(score, thresholds) -> np.ndarray:
    # In the scores' own precision, as score >= threshold compares.
    return len(score) - np.searchsorted(np.sort(score), thresholds.astype(score.dtype), side="left")


def figures_at_false_positive_rates(
    label: Labels, score: Scores, rates: Sequence[float] = FALSE_POSITIVE_RATES, *, valid: Valid = None
) -> Table:
    """As :func:`figures_at_thresholds`, at the lowest threshold whose false-positive rate does not exceed each of
    ``rates``, which come first as the column max_fpr. No rows without negatives."""
    curve = roc_curve(label, score, valid=valid)
    rate = curve.false_positive_rate
    if np.isnan(rate).any():
        rates = ()
    chosen = [float(curve.thresholds[np.flatnonzero(rate <= each)[-1]]) for each in rates]
    table = figures_at_thresholds(label, score, chosen, valid=valid)
    table.add_column(np.asarray(rates, np.float64), index=0, name="max_fpr")
    return table
