"""Figures for many classes: each class against the rest, and their means."""

from collections.abc import Sequence

import numpy as np
from astropy.table import Table
from jaxtyping import Float, Integer

from clusterjax.evaluation.binary import confusion_matrix
from clusterjax.evaluation.breakdown import binomial_interval
from clusterjax.evaluation.curves import Labels, Valid, auc_with_error, average_precision, safe_ratio
from clusterjax.evaluation.valid import check_scores, keep_valid

Probabilities = Float[np.ndarray, "n class"]


def called_class(probabilities: Probabilities) -> Integer[np.ndarray, " n"]:
    """The class of the highest score; the first of them where scores tie."""
    return np.argmax(np.asarray(probabilities), axis=1)


def per_class_table(
    label: Labels, probabilities: Probabilities, class_names: Sequence[str], *, valid: Valid = None
) -> Table:
    """One row a class, against the rest: what the class with the highest score says, and its ranking.

    Columns class_name, num, precision, recall and its 1 sigma interval recall_low, recall_high, f1, f2, fpr (of the
    rest, called this), auc, auc_error, average_precision; nan where a class is empty.
    Raises :class:`InputError` for NaN scores.
    """
    label, probabilities = keep_valid(valid, label, probabilities)
    check_scores(probabilities)
    counts = confusion_matrix(label, called_class(probabilities), len(class_names))
    num, called, hits = counts.sum(axis=1), counts.sum(axis=0), np.diag(counts)
    low, high = binomial_interval(hits, num)
    areas = [auc_with_error(label == i, probabilities[:, i]) for i in range(len(class_names))]
    return Table(
        {
            "class_name": np.asarray(class_names, str),
            "num": num,
            "precision": safe_ratio(hits, called),
            "recall": safe_ratio(hits, num),
            "recall_low": low,
            "recall_high": high,
            "f1": safe_ratio(2 * hits, num + called),
            "f2": safe_ratio(5 * hits, 4 * num + called),
            "fpr": safe_ratio(called - hits, num.sum() - num),
            "auc": [area for area, _ in areas],
            "auc_error": [error for _, error in areas],
            "average_precision": [average_precision(label == i, probabilities[:, i]) for i in range(len(class_names))],
        }
    )


def multiclass_metrics(
    label: Labels, probabilities: Probabilities, class_names: Sequence[str], *, valid: Valid = None
) -> dict[str, float | int]:
    """Every single-number figure of an observer of many classes.

    Returns num, accuracy, accuracy_error (binomial, 1 sigma), majority_accuracy (always calling the commonest
    class), and the plain means over classes balanced_accuracy (of recall), macro_precision, macro_f1, macro_auc
    (one against the rest). Means leave out classes for which the figure is undefined; nan when that is all of them.
    """
    table = per_class_table(label, probabilities, class_names, valid=valid)
    label, probabilities = keep_valid(valid, label, probabilities)
    num = len(label)
    nan = float("nan")
    accuracy = float(np.mean(called_class(probabilities) == label)) if num else nan

    def mean(column):
        values = np.asarray(table[column])
        return float(values[np.isfinite(values)].mean()) if np.isfinite(values).any() else nan

    return {
        "num": num,
        "accuracy": accuracy,
        "accuracy_error": float(np.sqrt(accuracy * (1 - accuracy) / num)) if num else nan,
        "majority_accuracy": float(np.max(table["num"]) / num) if num else nan,
        "balanced_accuracy": mean("recall"),
        "macro_precision": mean("precision"),
        "macro_f1": mean("f1"),
        "macro_auc": mean("auc"),
    }
