"""How far several people agree beyond chance: Cohen's and Fleiss' kappa."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int


class Kappa(NamedTuple):
    """1 for full agreement, 0 for what chance gives; NaN where chance alone agrees always. ``error`` is its standard
    error, ``observed`` the fraction of agreeing pairs, ``num`` of how many subjects."""

    value: float
    error: float
    observed: float
    num: int


def cohen_kappa(first: Int[np.ndarray, " subject"], second: Int[np.ndarray, " subject"], num_classes: int) -> Kappa:
    """Of two people's classes of the same subjects (Cohen 1960); its error for large numbers (Fleiss, Cohen & Everitt
    1969, equation 13)."""
    num = len(first)
    if not num:
        return Kappa(np.nan, np.nan, np.nan, 0)
    shares = np.bincount(first * num_classes + second, minlength=num_classes**2).reshape(num_classes, -1) / num
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    observed, chance = float(np.trace(shares)), float(rows @ columns)
    if chance >= 1:
        return Kappa(np.nan, np.nan, observed, num)
    value = (observed - chance) / (1 - chance)
    both = rows[:, None] + columns[None, :]  # of cell (i, j): how often the first says i, or the second j
    diagonal = np.diag(shares) * (1 - np.diag(both) * (1 - value)) ** 2
    crossed = shares * (rows[None, :] + columns[:, None]) ** 2
    variance = diagonal.sum() + (1 - value) ** 2 * (crossed.sum() - np.trace(crossed))
    variance -= (value - chance * (1 - value)) ** 2
    return Kappa(value, float(np.sqrt(max(variance, 0) / num) / (1 - chance)), observed, num)


def fleiss_kappa(counts: Int[np.ndarray, "subject class"]) -> Kappa:
    """Of any number of people: ``counts`` of them call each subject each class (Fleiss 1971; where subjects have not
    equally many, each counts by its votes, and its agreement is that of its own pairs). Subjects with fewer than two
    votes say nothing of agreement and are left out. The error is by leaving out each subject in turn (jackknife)."""
    counts = counts[counts.sum(axis=1) > 1].astype(float)
    num = len(counts)
    if not num:
        return Kappa(np.nan, np.nan, np.nan, 0)
    votes = counts.sum(axis=1)
    agreement = (counts * (counts - 1)).sum(axis=1) / (votes - 1)  # of each subject, times its votes
    totals = counts.sum(axis=0), agreement.sum(), votes.sum()
    value, observed = _fleiss(*totals)
    left_out = _fleiss(totals[0] - counts, totals[1] - agreement, totals[2] - votes)[0] if num > 1 else np.nan
    error = np.sqrt((num - 1) / num * np.sum((left_out - np.mean(left_out)) ** 2)) if num > 1 else np.nan
    return Kappa(float(value), float(error), float(observed), num)


def _fleiss(class_totals, agreement, votes):
    """(kappa, observed agreement) of sums over subjects, of one set or of many."""
    chance = np.sum((class_totals / np.expand_dims(votes, -1)) ** 2, axis=-1)
    observed = agreement / votes
    with np.errstate(invalid="ignore", divide="ignore"):
        value = np.where(chance < 1, (observed - chance) / (1 - chance), np.nan)
    return value, observed
