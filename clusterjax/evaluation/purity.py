"""Purity at equal completeness: how pure is a sample that holds so many of the clusters, in the sky's mix."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from clusterjax.evaluation.curves import Labels, Scores, safe_ratio
from clusterjax.evaluation.paired import PairedDifference
from clusterjax.evaluation.valid import check_scores

COMPLETENESS = (0.5, 0.7, 0.8, 0.9)
_NUM_RESAMPLES = 1000

Weights = Float[np.ndarray, " n"] | None


def purity_at_completeness(
    label: Labels, score: Scores, completeness: Sequence[float] = COMPLETENESS, *, weight: Weights = None
) -> Float[np.ndarray, " level"]:
    """Of the strictest threshold that keeps such a share of the positives, the share of positives above it.

    ``weight`` is how often such an example is met on the sky, one for all if None. NaN without positives.
    """
    weight = np.ones(len(label)) if weight is None else np.asarray(weight, float)
    return _purities(_ranked(label, score), weight[None], completeness)[0]


def purity_errors(
    label: Labels, score: Scores, completeness: Sequence[float] = COMPLETENESS, *, weight: Weights = None, seed: int = 0
) -> Float[np.ndarray, " level"]:
    """Standard deviations of :func:`purity_at_completeness` over bootstraps of the examples."""
    return np.nanstd(_purities(_ranked(label, score), _resampled(weight, len(label), seed), completeness), axis=0)


def purity_differences(
    label: Labels,
    score: Scores,
    other: Scores,
    completeness: Sequence[float] = COMPLETENESS,
    *,
    weight: Weights = None,
    seed: int = 0,
) -> list[PairedDifference]:
    """The first's purity less the other's at each completeness: 1 sigma intervals and p-values of a paired bootstrap.

    Both are resampled alike, each with its own threshold for that completeness.
    """
    weights = _resampled(weight, len(label), seed)
    ones = np.ones((1, len(label))) if weight is None else np.asarray(weight, float)[None]
    ranked = _ranked(label, score), _ranked(label, other)
    found = [_purities(one, ones, completeness)[0] for one in ranked]
    drawn = np.subtract(*(_purities(one, weights, completeness) for one in ranked))
    results = []
    for value, samples in zip(found[0] - found[1], drawn.T, strict=True):
        samples = samples[np.isfinite(samples)]
        if not len(samples):
            results.append(PairedDifference(*[float("nan")] * 4))
            continue
        below, above = ((np.sum(tail) + 1) / (len(samples) + 1) for tail in (samples <= 0, samples >= 0))
        low, high = np.quantile(samples, [0.158655, 0.841345])
        results.append(PairedDifference(float(value), float(low), float(high), float(min(2 * min(below, above), 1.0))))
    return results


def _ranked(label: Labels, score: Scores) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(order by falling score, which of the ordered are positive, the last of each run of equal scores)."""
    check_scores(score)
    order = np.argsort(score, kind="stable")[::-1]
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    return order, np.asarray(label).astype(bool)[order], last


def _purities(ranked, weights: Float[np.ndarray, "draw n"], completeness: Sequence[float]) -> np.ndarray:
    """(draw, level) of rows of weights."""
    order, positive, last = ranked
    result = np.full((len(weights), len(completeness)), np.nan)
    for row, weight in zip(result, weights, strict=True):
        ordered = weight[order]
        true, called = np.cumsum(ordered * positive)[last], np.cumsum(ordered)[last]
        if true[-1] > 0:
            at = np.searchsorted(true, np.asarray(completeness) * true[-1] * (1 - 1e-12))
            row[:] = safe_ratio(true[at], called[at])
    return result


def _resampled(weight: Weights, number: int, seed: int) -> np.ndarray:
    """Weights times how often a bootstrap draws each example (Poisson, as the multinomial of many examples)."""
    counts = np.random.default_rng(seed).poisson(1.0, (_NUM_RESAMPLES, number))
    return counts * (1.0 if weight is None else np.asarray(weight, float))
