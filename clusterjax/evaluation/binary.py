"""Two-class figures: confusion, accuracy and its relatives, and the threshold of an observer that has none.

A cutout is called positive when its score is at or above the threshold. A ratio with nothing below the line
is nan.
"""

import numpy as np
from jaxtyping import Float, Integer

from clusterjax.evaluation.curves import (
    Labels,
    Scores,
    Valid,
    auc_with_error,
    average_precision,
    safe_ratio,
)
from clusterjax.evaluation.valid import check_scores, keep_valid


def confusion_matrix(
    label: Labels, predicted: Labels, num_classes: int = 2, *, valid: Valid = None
) -> Integer[np.ndarray, "true called"]:
    """How many of each true class (rows) were called each class (columns)."""
    label, predicted = keep_valid(valid, label, predicted)
    flat = label.astype(np.int64) * num_classes + predicted.astype(np.int64)
    return np.bincount(flat, minlength=num_classes**2).reshape(num_classes, num_classes)


def normalise_confusion(
    counts: Integer[np.ndarray, "true called"], over: str = "true"
) -> Float[np.ndarray, "true called"]:
    """Fractions over each ``'true'`` class, each ``'called'`` class or over ``'all'``; nan where that is empty."""
    axis = {"true": 1, "called": 0, "all": None}[over]
    return safe_ratio(counts, counts.sum(axis=axis, keepdims=True))


def binary_metrics(
    label: Labels, score: Scores, *, threshold: float = 0.5, valid: Valid = None
) -> dict[str, float | int]:
    """Every single-number figure of a two-class observer.

    Returns num, num_positive, threshold, accuracy, precision, recall, f1, f2 (F-beta with beta 2: recall
    counts four times), fpr (false positives among negatives), balanced_accuracy, auc, average_precision, and
    accuracy_error (binomial) and auc_error (DeLong), both 1 sigma. Raises :class:`InputError` for NaN scores.
    """
    label, score = keep_valid(valid, label, score)
    check_scores(score)
    counts = confusion_matrix(label, score >= threshold)
    (true_negative, false_positive), (false_negative, true_positive) = counts.tolist()
    num, num_positive = int(counts.sum()), false_negative + true_positive
    area, area_error = auc_with_error(label, score)

    def ratio(numerator, denominator):
        return numerator / denominator if denominator else float("nan")

    def f_beta(beta):
        weight = beta**2
        denominator = (1 + weight) * true_positive + weight * false_negative + false_positive
        return ratio((1 + weight) * true_positive, denominator)

    accuracy = ratio(true_positive + true_negative, num)
    recall = ratio(true_positive, num_positive)
    fpr = ratio(false_positive, num - num_positive)
    return {
        "num": num,
        "num_positive": num_positive,
        "threshold": float(threshold),
        "accuracy": accuracy,
        "accuracy_error": float(np.sqrt(accuracy * (1 - accuracy) / num)) if num else float("nan"),
        "precision": ratio(true_positive, true_positive + false_positive),
        "recall": recall,
        "f1": f_beta(1),
        "f2": f_beta(2),
        "fpr": fpr,
        "balanced_accuracy": (recall + 1 - fpr) / 2,
        "auc": area,
        "auc_error": area_error,
        "average_precision": average_precision(label, score),
    }


def fit_threshold(label: Labels, score: Scores, *, valid: Valid = None) -> float:
    """The threshold of the highest accuracy, halfway between two neighbouring scores.

    To be fitted on train or validation, never on test. Among equals it takes the one nearest the middle of the
    scores' ranks; nan without scores. Raises :class:`InputError` for NaN
    scores.
    """
    label, score = keep_valid(valid, label, score)
    check_scores(score)
    if not len(score):
        return float("nan")
    order = np.argsort(score)
    ranked, positive = score[order], label[order].astype(np.int64)
    # Called negative: the first i of the ranked scores, i = 0 ... n.
    correct = np.concatenate([[0], np.cumsum(1 - positive)])
    correct += np.concatenate([np.cumsum(positive[::-1])[::-1], [0]])
    possible = np.concatenate([[True], ranked[1:] > ranked[:-1], [True]])
    best = np.flatnonzero(possible & (correct == correct[possible].max()))
    cut = int(best[np.argmin(np.abs(best - len(score) / 2))])
    # Rounded in the scores' own precision, in which they will be compared with it.
    if cut == 0:
        return float(ranked[0])
    if cut == len(score):
        return float(np.nextafter(ranked[-1], ranked.dtype.type(np.inf)))
    middle = ranked[cut - 1] / 2 + ranked[cut] / 2
    return float(middle if middle > ranked[cut - 1] else ranked[cut])
