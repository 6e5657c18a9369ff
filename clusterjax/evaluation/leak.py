"""Does a data set give its labels away? Scores without looking at the images' structure, and scores too good."""

import numpy as np
from jaxtyping import Bool, Float

from clusterjax.evaluation.curves import Labels, Scores, auc, auc_difference

_SUSPICIOUS_SIGMA = 2.0


def leak_auc(
    train: Float[np.ndarray, "n feature"],
    train_label: Bool[np.ndarray, " n"],
    test: Float[np.ndarray, "m feature"],
    test_label: Bool[np.ndarray, " m"],
) -> tuple[float, float]:
    """AUC on the test split, and its standard error, of a linear discriminant that sees ``feature`` alone.

    Features are such as position, depth and median level: 0.5 within the error means that they say nothing. The error
    is that of an AUC of 0.5 (Hanley & McNeil 1982). NaN features count as the training mean. NaN, NaN for a split
    with one class only.
    """
    positive = int(test_label.sum())
    negative = len(test_label) - positive
    if not positive or not negative or train_label.all() or not train_label.any():
        return float("nan"), float("nan")
    with np.errstate(invalid="ignore"):
        mean = np.nan_to_num(np.array([np.nanmean(c) if np.isfinite(c).any() else 0.0 for c in train.T]))
    train, test = (np.where(np.isfinite(features), features, mean) for features in (train, test))
    spread = train.std(axis=0)
    train, test = ((features - mean) / np.where(spread > 0, spread, 1.0) for features in (train, test))
    difference = train[train_label].mean(axis=0) - train[~train_label].mean(axis=0)
    within = np.cov(train.T).reshape(train.shape[1], -1) + 1e-6 * np.eye(train.shape[1])
    score = test @ np.linalg.solve(within, difference)
    error = np.sqrt((positive + negative + 1) / (12 * positive * negative))
    return auc(test_label.astype(int), score), float(error)


def above_bound(label: Labels, score: Scores, bound: Scores) -> dict[str, float | bool]:
    """AUC of ``score`` above that of the best observer that there can be, on the same draws, and its error (DeLong).

    ``leak_suspected`` if that is more than 2 errors: on one test set in 44 of a score that reaches the bound.
    """
    difference, error = auc_difference(label, score, bound)
    return {
        "auc_above_bound": difference,
        "auc_above_bound_error": error,
        "leak_suspected": bool(difference > _SUSPICIOUS_SIGMA * error),
    }
