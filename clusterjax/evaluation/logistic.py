"""The logistic that fits labels best: from statistics, or from uncalibrated log-odds, to a probability."""

import numpy as np
from jaxtyping import Bool, Float

from clusterjax.odds import logistic


def fit_logistic(
    x: Float[np.ndarray, " n"],
    positive: Bool[np.ndarray, " n"] | Float[np.ndarray, " n"],
    weight: Float[np.ndarray, " n"] | None = None,
) -> tuple[float, float]:
    """Maximum-likelihood slope and intercept of P(positive | x), by Newton's method with a weak pull to 0.

    ``positive`` may be a probability. ``weight`` is that of each example; one for all if None.
    """
    slopes, intercept = fit_logistic_of_several(x[:, None], positive, weight)
    return float(slopes[0]), intercept


def fit_logistic_of_several(
    x: Float[np.ndarray, "n k"],
    positive: Bool[np.ndarray, " n"] | Float[np.ndarray, " n"],
    weight: Float[np.ndarray, " n"] | None = None,
) -> tuple[Float[np.ndarray, " k"], float]:
    """(slopes, intercept) as :func:`fit_logistic`, of ``k`` statistics together."""
    weight = np.ones(len(x)) if weight is None else weight
    spread = np.where(np.ptp(x, axis=0) > 0, x.std(axis=0), 1.0)
    design = np.concatenate([x / spread, np.ones((len(x), 1))], axis=1).astype(np.float64)
    theta = np.zeros(design.shape[1])

    def loss(theta):
        z = design @ theta
        return np.sum(weight * (np.logaddexp(0, z) - positive * z)) + 5e-4 * theta @ theta

    value = loss(theta)
    for _ in range(50):
        probability = logistic(design @ theta)
        gradient = design.T @ (weight * (probability - positive)) + 1e-3 * theta
        curvature = (design * (weight * probability * (1 - probability))[:, None]).T @ design
        step = np.linalg.solve(curvature + 1e-3 * np.eye(len(theta)), gradient)
        # Where classes hardly overlap, a whole step can lead uphill.
        while loss(theta - step) > value and np.abs(step).max() >= 1e-8:
            step /= 2
        theta -= step
        value = loss(theta)
        if np.abs(step).max() < 1e-8:
            break
    return theta[:-1] / spread, float(theta[-1])
