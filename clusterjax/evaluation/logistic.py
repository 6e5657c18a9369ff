"""From a classical observer's statistic to a score in [0, 1]: the logistic that fits the training labels best."""

import numpy as np
from jaxtyping import Bool, Float


def logistic(x: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """1 / (1 + exp(-x)), clipped short of overflow."""
    return 1 / (1 + np.exp(-np.clip(x, -50, 50)))


def fit_logistic(x: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]) -> tuple[float, float]:
    """Maximum-likelihood slope and intercept of P(positive | x), by Newton's method with a weak pull to 0."""
    design = np.stack([x / x.std(), np.ones_like(x)], axis=1).astype(np.float64)
    theta = np.zeros(2)
    for _ in range(50):
        probability = logistic(design @ theta)
        gradient = design.T @ (probability - positive) + 1e-3 * theta
        hessian = (design * (probability * (1 - probability))[:, None]).T @ design + 1e-3 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        theta -= step
        if np.abs(step).max() < 1e-8:
            break
    return float(theta[0] / x.std()), float(theta[1])
