"""Scores and log-odds, one into the other."""

import numpy as np
from jaxtyping import Float

# float32 sigmoids saturate at 1 - 6e-8: beyond, log-odds say nothing more.
LOG_ODDS_LIMIT = 16.0


def log_odds(score: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """ln(score / (1 - score)) in float64, within +-16; NaN stays NaN."""
    score = np.asarray(score, np.float64)
    with np.errstate(divide="ignore"):
        odds = np.log(score) - np.log1p(-score)
    return np.asarray(np.clip(odds, -LOG_ODDS_LIMIT, LOG_ODDS_LIMIT))


def logistic(x: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """1 / (1 + exp(-x)), clipped short of overflow."""
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -50, 50))))
