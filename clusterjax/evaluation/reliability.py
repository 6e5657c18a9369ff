"""Does a probability mean what it says? Reliability diagram, expected calibration error with its error, proper scores.

``outcome`` is whether what ``probability`` is of came true: of two classes the label and the positive class's
probability; of many, whether the class that was called is the true one, and its probability.
"""

from typing import NamedTuple

import numpy as np
from astropy.table import Table
from jaxtyping import Bool, Float, Integer

from clusterjax.evaluation.breakdown import binomial_interval
from clusterjax.evaluation.curves import Labels, Valid, safe_ratio
from clusterjax.evaluation.multiclass import Probabilities, called_class
from clusterjax.evaluation.valid import check_scores, keep_valid

NUM_BINS = 15
_NUM_RESAMPLES = 200
_MAX_CELLS = 1000  # the bootstrap draws examples of neighbouring probability together where there are more
_LEAST_PROBABILITY = 1e-7

Outcomes = Bool[np.ndarray, " n"] | Integer[np.ndarray, " n"]
Chances = Float[np.ndarray, " n"]


class CalibrationError(NamedTuple):
    """``ece``, the standard deviation of its bootstrap, and what it would be on average if nothing were wrong: a mean
    of absolute deviations is never 0."""

    ece: float
    error: float
    if_perfect: float


def _bin_index(probability, num_bins) -> tuple[np.ndarray, np.ndarray]:
    """Edges of bins of equal counts, and each example's bin; equal probabilities are never parted."""
    edges = np.quantile(probability, np.linspace(0, 1, num_bins + 1))
    return edges, np.searchsorted(edges[1:-1], probability)


def reliability_table(
    outcome: Outcomes, probability: Chances, *, num_bins: int = NUM_BINS, valid: Valid = None
) -> Table:
    """What was said and what came true, in bins of equal counts.

    Columns low, high (edges), num, mean_probability, observed (the fraction that came true) and its 1 sigma interval
    observed_low, observed_high. No rows without examples.
    """
    outcome, probability = keep_valid(valid, outcome, probability)
    check_scores(probability)
    probability = probability.astype(np.float64)
    edges, index = _bin_index(probability, num_bins) if len(probability) else (np.zeros(1), np.zeros(0, int))
    count = len(edges) - 1
    num = np.bincount(index, minlength=count)
    hits = np.bincount(index, weights=outcome, minlength=count).astype(np.int64)
    low, high = binomial_interval(hits, num)
    table = Table(
        {
            "low": edges[:-1],
            "high": edges[1:],
            "num": num,
            "mean_probability": safe_ratio(np.bincount(index, weights=probability, minlength=count), num),
            "observed": safe_ratio(hits, num),
            "observed_low": low,
            "observed_high": high,
        }
    )
    return table[num > 0]


def calibration_error(
    outcome: Outcomes, probability: Chances, *, num_bins: int = NUM_BINS, seed: int = 0, valid: Valid = None
) -> CalibrationError:
    """Expected calibration error (Naeini et al. 2015): the mean over examples of their bin's |observed - mean|.

    Bins have equal counts and stay those of the sample while it is resampled. NaNs without examples.
    """
    outcome, probability = keep_valid(valid, outcome, probability)
    check_scores(probability)
    probability, num = probability.astype(np.float64), len(probability)
    if not num:
        return CalibrationError(*[float("nan")] * 3)
    _, index = _bin_index(probability, num_bins)
    order = np.argsort(probability, kind="stable")
    group = np.empty(num, np.int64)
    group[order] = np.arange(num) * min(num, _MAX_CELLS) // num
    cell = (index * _MAX_CELLS + group) * 2 + outcome.astype(np.int64)
    cells, cell = np.unique(cell, return_inverse=True)
    counts = np.bincount(cell)
    gap = np.bincount(cell, weights=outcome - probability) / counts
    starts = np.unique(cells // (2 * _MAX_CELLS), return_index=True)[1]

    def ece(times):
        return np.abs(np.add.reduceat(times * gap, starts, axis=-1)).sum(axis=-1) / num

    drawn = np.random.default_rng(seed).multinomial(num, counts / num, size=_NUM_RESAMPLES)
    variance = np.bincount(index, weights=probability * (1 - probability))
    if_perfect = np.sqrt(2 / np.pi * variance).sum() / num
    return CalibrationError(float(ece(counts)), float(ece(drawn).std(ddof=1)), float(if_perfect))


def outcomes(label: Labels, probabilities: Probabilities) -> tuple[Bool[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """(outcome, probability) of an observer of two classes or of many: see the top of this file."""
    probabilities = np.asarray(probabilities)
    if probabilities.shape[1] == 2:
        return np.asarray(label) == 1, probabilities[:, 1]
    return called_class(probabilities) == label, probabilities.max(axis=1)


def calibration_figures(label: Labels, probabilities: Probabilities, *, valid: Valid = None) -> dict[str, float]:
    """log_loss (nats), brier, ece, ece_error (1 sigma) and ece_if_perfect of probabilities (n, class).

    The Brier score is the mean squared error of the positive class, or summed over all of more than two. Raises
    :class:`InputError` for NaN.
    """
    label, probabilities = keep_valid(valid, label, probabilities)
    check_scores(probabilities)
    if not len(label):
        return dict.fromkeys(("log_loss", "brier", "ece", "ece_error", "ece_if_perfect"), float("nan"))
    probabilities = probabilities.astype(np.float64)
    own = np.take_along_axis(probabilities, label[:, None].astype(np.int64), axis=1)[:, 0]
    # The sum over classes of (p - [class is true])^2
    brier = np.mean((probabilities**2).sum(axis=1) - 2 * own + 1)
    ece = calibration_error(*outcomes(label, probabilities))
    return {
        "log_loss": float(-np.log(np.clip(own, _LEAST_PROBABILITY, 1)).mean()),
        "brier": float(brier / 2 if probabilities.shape[1] == 2 else brier),
        "ece": ece.ece,
        "ece_error": ece.error,
        "ece_if_perfect": ece.if_perfect,
    }
