"""Which cutouts to show: the most confident mistakes, and what being right looks like."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer

from clusterjax.evaluation.curves import Labels, Scores, Valid
from clusterjax.evaluation.multiclass import Probabilities, called_class
from clusterjax.evaluation.valid import check_scores

BINARY_GROUPS = ("true_positive", "false_negative", "false_positive", "true_negative")


def _spread(ranked: np.ndarray, num: int) -> np.ndarray:
    """``num`` of the ranked indices, evenly spread from the first to the last."""
    if len(ranked) <= num:
        return ranked
    return ranked[np.round(np.linspace(0, len(ranked) - 1, num)).astype(int)]


def _least(values: np.ndarray, keep: np.ndarray, num: int) -> np.ndarray:
    rows = np.flatnonzero(keep)
    return rows[np.argsort(values[rows], kind="stable")[:num]]


def select_binary_examples(
    label: Labels, score: Scores, *, threshold: float = 0.5, num: int = 12, valid: Valid = None
) -> dict[str, Integer[np.ndarray, " chosen"]]:
    """Row numbers of up to ``num`` cutouts for each of :data:`BINARY_GROUPS`, and of ``'uncertain'``, right or wrong,
    those nearest to the threshold.

    The wrong ones are the most confidently wrong, worst first; the right ones are spread evenly over their
    scores, surest first, so that they show the usual and the doubtful alike.
    """
    label, score = np.asarray(label), np.asarray(score)
    keep = np.ones(len(label), bool) if valid is None else np.asarray(valid, bool)
    check_scores(score[keep])
    positive, called = label.astype(bool), score >= threshold

    def ranked(chosen, descending):
        rows = np.flatnonzero(chosen & keep)
        return rows[np.argsort(-score[rows] if descending else score[rows], kind="stable")]

    return {
        "true_positive": _spread(ranked(positive & called, True), num),
        "false_negative": ranked(positive & ~called, False)[:num],
        "false_positive": ranked(~positive & called, True)[:num],
        "true_negative": _spread(ranked(~positive & ~called, False), num),
        "uncertain": _least(np.abs(score - threshold), keep, num),
    }


def select_multiclass_examples(
    label: Labels,
    probabilities: Probabilities,
    class_names: Sequence[str],
    *,
    num: int = 12,
    valid: Valid = None,
) -> dict[str, Integer[np.ndarray, " chosen"]]:
    """Row numbers of 'right: <class>', spread over the scores, of 'wrong', the most confident first, and of
    'uncertain', right or wrong, where the two likeliest classes are closest to each other."""
    label, probabilities = np.asarray(label), np.asarray(probabilities)
    keep = np.ones(len(label), bool) if valid is None else np.asarray(valid, bool)
    check_scores(probabilities[keep])
    called, confidence = called_class(probabilities), probabilities.max(axis=1)

    def ranked(chosen):
        rows = np.flatnonzero(chosen & keep)
        return rows[np.argsort(-confidence[rows], kind="stable")]

    right = {f"right: {name}": _spread(ranked((label == i) & (called == i)), num) for i, name in enumerate(class_names)}
    second, first = np.sort(probabilities, axis=1)[:, -2:].T
    return {**right, "wrong": ranked(called != label)[:num], "uncertain": _least(first - second, keep, num)}
