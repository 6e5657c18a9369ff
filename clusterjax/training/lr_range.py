"""LR range test: one batch at each of geometrically spaced learning rates (Smith 2017, arXiv:1506.01186)."""

import dataclasses
import json
from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import isotonic_regression

from clusterjax.config import LrRangeConfig
from clusterjax.training.optim import with_learning_rate
from clusterjax.training.state import TrainState

_LEAST_POINTS = 8  # fewer losses than this say nothing about a slope
_LEAST_FALL_IN_ERRORS = 7.0  # the least of a curve is a biased choice, and at its ends half as many points count
_LEAST_FALL = 1e-3
_OUTLIER_IN_SCATTERS = 5.0
_MEDIAN_WINDOW = 5
_HIGHEST_LOSS_IN_STARTS = 1.1


@dataclasses.dataclass(frozen=True)
class LrRangeResult:
    """One entry per step taken: the rate, the batch's loss, the smoothed loss. ``suggestion`` None: see ``reason``."""

    learning_rates: list[float]
    losses: list[float]
    smoothed: list[float]
    suggestion: float | None
    reason: str

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> "LrRangeResult":
        return cls(**json.loads(text))


def lr_range_test(
    train_step: Callable,
    state: TrainState,
    batches: Iterable[dict[str, jax.Array]],
    config: LrRangeConfig,
    *,
    validation_loss: Callable[[TrainState], float] | None = None,
) -> LrRangeResult:
    """Train on ``batches`` at rising rates. The caller's ``state`` is untouched, bit for bit: a copy is trained.

    ``state`` holds weights, batch-norm statistics and the optimizer's; the step folds its random keys from the state's
    counter, so there is no RNG to restore. An iterator with ``get_state`` and ``set_state`` is put back to where it
    was, whatever happens. The losses are those of the training batches, before each step; with ``validation_loss`` what
    that gives for the state after each step, which is less noisy, and sees overfitting. Stops early where the smoothed
    loss exceeds ``config.divergence_factor`` times its least value, or is not finite.
    """
    rates = np.geomspace(config.lr_min, config.lr_max, config.num_steps)
    state = jax.tree.map(jnp.copy, state)  # the step donates what it is given
    losses: list[float] = []
    place = batches.get_state() if hasattr(batches, "get_state") else None
    try:
        for rate, batch in zip(rates, batches, strict=False):
            state, scalars = train_step(with_learning_rate(state, float(rate)), batch)
            losses.append(float(scalars["loss"] if validation_loss is None else validation_loss(state)))
            if _is_over(losses, config.divergence_factor):
                break
    finally:
        if place is not None:
            batches.set_state(place)
    return suggest_learning_rate(rates[: len(losses)], np.asarray(losses), config)


def suggest_learning_rate(rates: np.ndarray, losses: np.ndarray, config: LrRangeConfig) -> LrRangeResult:
    """The rate at which the smoothed loss falls most steeply with log10(rate), before its least, times the multiplier.

    Smoothing is a running median of five, against single bad batches, then a Gaussian of ``config.smoothing_dex``. (The
    reference system's Savitzky-Golay parabola bends where the loss diverges, and scatters twice as far from the truth
    with noisy losses.) No suggestion is made from losses that do not fall by more than their own scatter.
    """
    num = next((i for i in range(len(losses)) if _is_over(losses[: i + 1], config.divergence_factor)), len(losses))
    rates, losses = rates[:num], losses[:num]

    def result(smoothed, suggestion, reason):
        return LrRangeResult(rates.tolist(), losses.tolist(), np.asarray(smoothed).tolist(), suggestion, reason)

    if num < _LEAST_POINTS:
        return result(losses, None, f"only {num} losses before it diverged; lower lr_range.lr_min={config.lr_min}")
    # The divergence at the end would pull the smoothed curve up: a loss above that of the untrained network says no
    # more than that.
    calm = _running_median(losses)
    reach = _OUTLIER_IN_SCATTERS * 1.4826 * np.median(np.abs(losses - calm))
    calm = np.minimum(calm, _HIGHEST_LOSS_IN_STARTS * calm[0])
    steps_per_dex = (num - 1) / np.log10(rates[-1] / rates[0])
    # Reflected at the ends: repeating the last loss there would make a trend of one noisy batch.
    sigma = config.smoothing_dex * steps_per_dex
    smoothed = gaussian_filter1d(calm, sigma, mode="reflect")
    lowest = int(np.argmin(smoothed))
    before = slice(0, max(lowest + 1, _LEAST_POINTS))
    if np.max(smoothed[: lowest + 1]) - smoothed[lowest] < _least_fall(
        np.clip(losses, calm - reach, calm + reach)[before], smoothed[before], sigma
    ):
        return result(smoothed, None, "the loss does not fall by more than its scatter; raise lr_range.num_steps")
    steepest = int(np.argmin(np.gradient(smoothed, np.log10(rates))[: lowest + 1]))
    # Beyond the rate of the least loss, training at a constant rate would do worse.
    suggestion = min(config.multiplier * rates[steepest], rates[lowest])
    times = "" if config.multiplier == 1 else f"{config.multiplier:g} times the "
    reason = times + "steepest descent of the smoothed loss"
    if suggestion < config.multiplier * rates[steepest]:
        reason = "the rate of the least smoothed loss, which is less than " + reason
    return result(smoothed, float(suggestion), reason)


def _running_median(losses: np.ndarray) -> np.ndarray:
    """Of five losses; at the ends of the first and the last five, so that no bad batch there counts more than once."""
    window = min(_MEDIAN_WINDOW, len(losses))
    middle = np.median(np.lib.stride_tricks.sliding_window_view(losses, window), axis=-1)
    missing = len(losses) - len(middle)
    return np.pad(middle, (missing // 2, missing - missing // 2), mode="edge")


def _least_fall(losses: np.ndarray, smoothed: np.ndarray, sigma: float) -> float:
    """A fall of the smoothed loss that scatter alone does not make: so many robust standard errors of the difference of
    two averages over a Gaussian of ``sigma`` points, more where neighbouring losses move together, as those of a
    validation split do."""
    # About the best curve that only falls: about the smoothed one, a cliff without noise would scatter too.
    residuals = losses - isotonic_regression(losses, increasing=False).x
    scatter = 1.4826 * np.median(np.abs(residuals - np.median(residuals)))
    residuals = losses - smoothed
    power = np.sum(residuals**2)
    correlation = np.clip(np.sum(residuals[1:] * residuals[:-1]) / power, 0.0, 0.9) if power > 0 else 0.0
    independent = max(2 * np.sqrt(np.pi) * sigma, 1.0) * (1 - correlation) / (1 + correlation)
    return max(_LEAST_FALL_IN_ERRORS * scatter * np.sqrt(2 / independent), _LEAST_FALL)


def _is_over(losses, divergence_factor: float) -> bool:
    """True if the last loss is not finite, or the median of the last five exceeds the factor times its least value."""
    if not np.isfinite(losses[-1]):
        return True
    if len(losses) < _MEDIAN_WINDOW:
        return False
    medians = np.median(np.lib.stride_tricks.sliding_window_view(losses, _MEDIAN_WINDOW), axis=-1)
    return bool(medians[-1] > divergence_factor * medians.min())
