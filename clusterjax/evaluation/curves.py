"""ROC and precision-recall curves, the areas under them, and DeLong's errors. Exact where scores tie.

All curves count a cutout as called positive when its score is at or above the threshold.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer

from clusterjax.evaluation.valid import check_scores, keep_valid

Labels = Integer[np.ndarray, " n"] | Bool[np.ndarray, " n"]
Scores = Float[np.ndarray, " n"]
Valid = Bool[np.ndarray, " n"] | None


class RocCurve(NamedTuple):
    """One point for each distinct score, strictest threshold first, after (0, 0) at infinity."""

    false_positive_rate: Float[np.ndarray, " point"]
    true_positive_rate: Float[np.ndarray, " point"]
    thresholds: Float[np.ndarray, " point"]


class PrecisionRecallCurve(NamedTuple):
    """One point for each distinct score, recall ascending, after (recall 0, precision 1) at infinity."""

    precision: Float[np.ndarray, " point"]
    recall: Float[np.ndarray, " point"]
    thresholds: Float[np.ndarray, " point"]


def _count_above(label, score, valid):
    """Distinct scores, descending from infinity, and how many positives and negatives are at or above."""
    label, score = keep_valid(valid, label, score)
    check_scores(score)
    positive = label.astype(bool)
    order = np.argsort(score, kind="stable")[::-1]
    ranked, hits = score[order].astype(np.float64), np.cumsum(positive[order], dtype=np.int64)
    # The last of each run of equal scores: ties are one point, whatever order they came in.
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else np.empty(0, np.int64)
    true_positives = np.concatenate([[0], hits[last]])
    false_positives = np.concatenate([[0], last + 1 - hits[last]])
    return np.concatenate([[np.inf], ranked[last]]), true_positives, false_positives


def safe_ratio(numerator, denominator):
    """Elementwise ratio in float64; nan without a warning where there is nothing to divide by."""
    numerator, denominator = np.broadcast_arrays(np.asarray(numerator, float), np.asarray(denominator, float))
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0)


def roc_curve(label: Labels, score: Scores, *, valid: Valid = None) -> RocCurve:
    """Receiver operating characteristic of ``score`` for ``label`` 1. A rate whose class is empty is nan."""
    thresholds, true_positives, false_positives = _count_above(label, score, valid)
    return RocCurve(
        safe_ratio(false_positives, false_positives[-1]),
        safe_ratio(true_positives, true_positives[-1]),
        thresholds,
    )


def precision_recall_curve(label: Labels, score: Scores, *, valid: Valid = None) -> PrecisionRecallCurve:
    """Precision and recall of ``score`` for ``label`` 1. Without positives both are nan."""
    thresholds, true_positives, false_positives = _count_above(label, score, valid)
    called = true_positives + false_positives
    precision = safe_ratio(true_positives, called)
    precision[0] = 1.0
    recall = safe_ratio(true_positives, true_positives[-1])
    return PrecisionRecallCurve(np.where(np.isnan(recall), np.nan, precision), recall, thresholds)


def auc(label: Labels, score: Scores, *, valid: Valid = None) -> float:
    """Area under the ROC curve: how often a positive outranks a negative, ties counting half.

    nan if a class is empty.
    """
    _, true_positives, false_positives = _count_above(label, score, valid)
    pairs = int(true_positives[-1]) * int(false_positives[-1])
    if pairs == 0:
        return float("nan")
    # Twice the area in whole pairs: exact, no rounding until the last division.
    twice = np.sum(np.diff(false_positives) * (true_positives[1:] + true_positives[:-1]), dtype=np.int64)
    return int(twice) / (2 * pairs)


def average_precision(label: Labels, score: Scores, *, valid: Valid = None) -> float:
    """Sum of precision times the step in recall, no interpolation. nan without positives."""
    curve = precision_recall_curve(label, score, valid=valid)
    if np.isnan(curve.recall[-1]):
        return float("nan")
    return float(np.sum(np.diff(curve.recall) * curve.precision[1:]))


def _placements(label, score):
    """For each positive the share of negatives below it, for each negative the share of positives above it."""
    positive = label.astype(bool)
    num_positive, num_negative = int(positive.sum()), int((~positive).sum())
    rank = _ranks(score)
    below = (rank[positive] - _ranks(score[positive])) / num_negative
    above = 1 - (rank[~positive] - _ranks(score[~positive])) / num_positive
    return below, above


def _ranks(score):
    """From 1; equal scores share their mean rank. (``scipy.stats.rankdata``, whose import takes as long as jax's.)"""
    _, index, counts = np.unique(score, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[index]


def auc_with_error(label: Labels, score: Scores, *, valid: Valid = None) -> tuple[float, float]:
    """AUC and its standard error over draws of the test set (DeLong et al. 1988, Biometrics 44, 837, eqs.
    3-5).

    The error is nan with fewer than two of either class.
    """
    area = auc(label, score, valid=valid)
    label, score = keep_valid(valid, label, score)
    if min(np.sum(label == 0), np.sum(label != 0)) < 2:
        return area, float("nan")
    below, above = _placements(label, score)
    return area, float(np.sqrt(below.var(ddof=1) / len(below) + above.var(ddof=1) / len(above)))


def auc_difference(label: Labels, score: Scores, other: Scores, *, valid: Valid = None) -> tuple[float, float]:
    """AUC of ``score`` minus that of ``other`` on the same draws, and its paired standard error.

    DeLong et al. (1988). Two observers of the same cutouts stumble over the same ones, so the error is smaller than
    that of two separate figures. nan with fewer than two of either class.
    """
    difference = auc(label, score, valid=valid) - auc(label, other, valid=valid)
    label, score, other = keep_valid(valid, label, score, other)
    if min(np.sum(label == 0), np.sum(label != 0)) < 2:
        return difference, float("nan")
    below, above = (a - b for a, b in zip(_placements(label, score), _placements(label, other), strict=True))
    return difference, float(np.sqrt(below.var(ddof=1) / len(below) + above.var(ddof=1) / len(above)))
