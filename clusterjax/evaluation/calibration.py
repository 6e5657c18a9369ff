"""From scores to probabilities: temperature, Platt's logistic and isotonic regression, fitted on validation scores.

A network's scores rank well and are usually too sure of themselves (Guo et al. 2017, arXiv:1706.04599).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.optimize import isotonic_regression, minimize_scalar

from clusterjax.errors import InputError
from clusterjax.evaluation.curves import Labels
from clusterjax.evaluation.logistic import fit_logistic
from clusterjax.evaluation.multiclass import Probabilities
from clusterjax.evaluation.valid import check_scores
from clusterjax.odds import LOG_ODDS_LIMIT, log_odds, logistic

METHODS = ("temperature", "platt", "isotonic")
_TEMPERATURES = (0.02, 50.0)
_LOWEST = np.exp(-LOG_ODDS_LIMIT)

Weights = Float[np.ndarray, " n"]


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Scores (n, class) -> probabilities (n, class) that sum to 1.

    ``parameters`` is one dict for all classes (temperature), else one for each class against the rest, of two classes
    for the second alone. ``class_factors`` multiplies each class's probability before they are made to sum to 1: a
    change of prior, see :mod:`clusterjax.evaluation.prior_shift`.
    """

    method: str  # of METHODS
    parameters: tuple[Mapping[str, Any], ...]
    class_factors: tuple[float, ...] | None = None

    def __call__(self, scores: Probabilities) -> Float[np.ndarray, "n class"]:
        scores = np.asarray(scores, np.float64)
        if self.method == "temperature":
            log = np.log(np.maximum(scores, _LOWEST)) / self.parameters[0]["temperature"]
            weights = np.exp(log - log.max(axis=1, keepdims=True))
        elif scores.shape[1] == 2:
            positive = _CURVES[self.method](scores[:, 1], **self.parameters[0])
            weights = np.stack([1 - positive, positive], axis=1)
        else:
            columns = zip(scores.T, self.parameters, strict=True)
            weights = np.stack([_CURVES[self.method](score, **curve) for score, curve in columns], axis=1)
        if self.class_factors is not None:
            weights = weights * np.asarray(self.class_factors)
        return weights / weights.sum(axis=1, keepdims=True)

    def positive(self, score: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """The probability of the second of two classes, from its score; NaN where that is NaN. Any shape."""
        flat = np.asarray(score, np.float64).ravel()
        good = np.isfinite(flat)
        result = np.full(flat.shape, np.nan)
        result[good] = self(np.stack([1 - flat[good], flat[good]], axis=1))[:, 1]
        return result.reshape(np.shape(score))

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Calibration":
        factors = values["class_factors"]
        return cls(values["method"], tuple(values["parameters"]), None if factors is None else tuple(factors))


def _platt(score, slope, intercept):
    return logistic(slope * log_odds(score) + intercept)


def _isotonic(score, score_knots, probability_knots):
    return np.interp(score, score_knots, probability_knots)


_CURVES = {"platt": _platt, "isotonic": _isotonic}


def fit_calibration(method: str, label: Labels, scores: Probabilities, *, weight: Weights | None = None) -> Calibration:
    """Fit ``method`` (of :data:`METHODS`) to the scores of a validation split. ``weight`` is each example's.

    temperature: scores to the power 1/T, normalised; T of least log loss, to targets 1 - 1 / (n + 2). Never changes
    which class is called.
    platt: a logistic of each class's log-odds, to the targets (n + 1) / (n + 2) and 1 / (n + 2) of Platt (1999).
    isotonic: the monotonic curve of least squares (Zadrozny & Elkan 2002), linear between its steps, kept away from 0
    and 1 by the rule of succession, 1 / (n + 2): n examples cannot tell more.
    With more than two classes the last two are fitted to each class against the rest.

    Raises :class:`InputError` for another name, no scores, and NaN scores.
    """
    if method not in METHODS:
        raise InputError(f"config.evaluation.calibration={method!r} is unknown; use none, {', '.join(METHODS)}")
    label, scores = np.asarray(label), np.asarray(scores, np.float64)
    check_scores(scores)
    if not len(scores):
        raise InputError("there are no validation scores to calibrate with")
    weight = np.ones(len(label)) if weight is None else weight * (len(label) / weight.sum())
    if method == "temperature":
        return Calibration(method, ({"temperature": _fit_temperature(label, scores, weight)},))
    fit = {"platt": _fit_platt, "isotonic": _fit_isotonic}[method]
    classes = range(1, 2) if scores.shape[1] == 2 else range(scores.shape[1])
    return Calibration(method, tuple(fit(label == i, scores[:, i], weight) for i in classes))


def _fit_temperature(label, scores, weight) -> float:
    log = np.log(np.maximum(scores, _LOWEST))
    # Shifted so that the largest is 0: the exponentials neither overflow nor all vanish.
    log -= log.max(axis=1, keepdims=True)
    num_classes = scores.shape[1]
    # As in Platt's method, or a split without a mistake would ask for a temperature of 0.
    wrong = 1 / (len(label) + 2)
    targets = np.full(log.shape, wrong / (num_classes - 1))
    np.put_along_axis(targets, label[:, None].astype(np.int64), 1 - wrong, axis=1)
    expected = np.sum(weight * (targets * log).sum(axis=1))

    def loss(log_temperature):
        inverse = np.exp(-log_temperature)
        return np.sum(weight * np.log(np.exp(inverse * log).sum(axis=1))) - inverse * expected

    found = minimize_scalar(loss, bounds=np.log(_TEMPERATURES), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def _fit_platt(positive, score, weight) -> dict:
    num_positive, num_negative = weight[positive].sum(), weight[~positive].sum()
    targets = np.where(positive, (num_positive + 1) / (num_positive + 2), 1 / (num_negative + 2))
    slope, intercept = fit_logistic(log_odds(score), targets, weight)
    return {"slope": slope, "intercept": intercept}


def _fit_isotonic(positive, score, weight) -> dict:
    knots, index = np.unique(score, return_inverse=True)
    total = np.bincount(index, weights=weight)
    rate = np.bincount(index, weights=weight * positive) / np.where(total > 0, total, 1)
    knots, rate, total = knots[total > 0], rate[total > 0], total[total > 0]
    edge = 1 / (len(score) + 2)
    fitted = np.clip(isotonic_regression(rate, weights=total).x, edge, 1 - edge)
    # Between the first and the last of a step nothing changes.
    same = fitted[1:] == fitted[:-1]
    keep = ~(np.append(False, same) & np.append(same, False))
    return {"score_knots": knots[keep].tolist(), "probability_knots": fitted[keep].tolist()}
