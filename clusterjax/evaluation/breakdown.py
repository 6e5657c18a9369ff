"""What a single figure hides: scores by object type, recall against redshift or mass, binomial errors.

A cutout is called positive when its score is at or above the threshold.
"""

from collections.abc import Sequence

import numpy as np
from astropy.stats import binom_conf_interval
from astropy.table import Table
from jaxtyping import Float, Integer, Num, Shaped

from clusterjax.evaluation.curves import Labels, Scores, Valid, safe_ratio
from clusterjax.evaluation.valid import check_scores, keep_valid

ONE_SIGMA = 0.6826894921370859  # of a Gaussian, two-sided


def binomial_interval(
    successes: Integer[np.ndarray, " n"], trials: Integer[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Both ends of the Wilson score interval at 1 sigma (Brown, Cai & DasGupta 2001); nan without trials."""
    low, high = np.full(len(trials), np.nan), np.full(len(trials), np.nan)
    some = trials > 0
    if some.any():
        low[some], high[some] = binom_conf_interval(
            successes[some], trials[some], confidence_level=ONE_SIGMA, interval="wilson"
        )
        low[some & (successes == 0)] = 0.0  # but for rounding
    return low, high


def confusion_by_object_type(
    object_type: Shaped[np.ndarray, " n"],
    label: Labels,
    score: Scores,
    *,
    threshold: float = 0.5,
    valid: Valid = None,
) -> Table:
    """How much of each object type was called positive, positives first, then the most mistaken first.

    Columns object_type, positive (the label of most of the type), num, num_called_positive,
    fraction_called_positive and its 1 sigma interval fraction_low, fraction_high, accuracy. ``object_type``
    holds strings.
    """
    object_type, label, score = keep_valid(valid, object_type, label, score)
    check_scores(score)
    called = score >= threshold
    names, index = np.unique(object_type.astype(str), return_inverse=True)

    def count(chosen):
        return np.bincount(index[chosen], minlength=len(names))

    num = count(np.ones(len(index), bool))
    num_called = count(called)
    low, high = binomial_interval(num_called, num)
    fraction = safe_ratio(num_called, num)
    positive = 2 * count(label.astype(bool)) > num
    table = Table(
        {
            "object_type": names,
            "positive": positive,
            "num": num,
            "num_called_positive": num_called,
            "fraction_called_positive": fraction,
            "fraction_low": low,
            "fraction_high": high,
            "accuracy": safe_ratio(count(called == label.astype(bool)), num),
        }
    )
    return table[np.lexsort([names, -fraction, ~positive])]


def recall_in_bins(
    value: Num[np.ndarray, " n"],
    label: Labels,
    score: Scores,
    *,
    threshold: float = 0.5,
    edges: Sequence[float] | None = None,
    num_quantiles: int = 10,
    valid: Valid = None,
) -> Table:
    """Recall of the positives in bins of ``value`` (redshift, mass), with 1 sigma binomial intervals.

    Bins are [low, high), the last [low, high]; without ``edges`` they hold equal numbers (10 as in Fomicheva
    2025). Positives whose value is nan or outside the edges are left out. Columns low, high, median, num,
    num_recovered, recall, recall_low, recall_high; a table of no rows where nothing is left to bin.
    """
    value, label, score = keep_valid(valid, value, label, score)
    check_scores(score)
    chosen = label.astype(bool) & np.isfinite(value)
    value, recovered = value[chosen].astype(np.float64), score[chosen] >= threshold
    if edges is None:
        edges = np.unique(np.quantile(value, np.linspace(0, 1, num_quantiles + 1))) if len(value) else []
        edges = np.repeat(edges, 2) if len(edges) == 1 else edges  # all values equal: one bin
    edges = np.asarray(edges, np.float64)
    inside = (value >= edges[0]) & (value <= edges[-1]) if len(edges) else np.zeros(0, bool)
    value, recovered = value[inside], recovered[inside]
    num_bins = max(len(edges) - 1, 0)
    index = np.clip(np.searchsorted(edges, value, side="right") - 1, 0, max(num_bins - 1, 0))
    num = np.bincount(index, minlength=num_bins)[:num_bins]
    num_recovered = np.bincount(index[recovered], minlength=num_bins)[:num_bins]
    low, high = binomial_interval(num_recovered, num)
    return Table(
        {
            "low": edges[:-1][:num_bins],
            "high": edges[1:],
            "median": [np.median(value[index == i]) if num[i] else np.nan for i in range(num_bins)],
            "num": num,
            "num_recovered": num_recovered,
            "recall": safe_ratio(num_recovered, num),
            "recall_low": low,
            "recall_high": high,
        },
        dtype=[float, float, float, int, int, float, float, float],
    )
