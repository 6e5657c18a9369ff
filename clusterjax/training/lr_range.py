"""LR range test: one batch at each of geometrically spaced learning rates (Smith 2017, arXiv:1506.01186)."""

import dataclasses
import json
from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np
from scipy.ndimage import gaussian_filter1d, median_filter

from clusterjax.config import LrRangeConfig
from clusterjax.training.optim import with_learning_rate
from clusterjax.training.state import TrainState

_LEAST_POINTS = 8  # fewer losses than this say nothing about a slope
_LEAST_FALL_IN_SCATTERS = 2.0
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
    train_step: Callable, state: TrainState, batches: Iterable[dict[str, jax.Array]], config: LrRangeConfig
) -> LrRangeResult:
    """Train on ``batches`` at rising rates. The caller's ``state`` is untouched, bit for bit: a copy is trained.

    ``batches`` must be an iterator of its own, so that training's is not advanced; the step folds its random keys from
    the state's counter, so there is no RNG to restore. Stops early where the smoothed loss exceeds
    ``config.divergence_factor`` times its least value, or is not finite.
    """
    rates = np.geomspace(config.lr_min, config.lr_max, config.num_steps)
    state = jax.tree.map(jnp.copy, state)  # the step donates what it is given
    losses: list[float] = []
    for rate, batch in zip(rates, batches, strict=False):
        state, scalars = train_step(with_learning_rate(state, float(rate)), batch)
        losses.append(float(scalars["loss"]))
        if _is_over(losses, config.divergence_factor):
            break
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
    calm = median_filter(losses, _MEDIAN_WINDOW, mode="nearest")
    calm = np.minimum(calm, _HIGHEST_LOSS_IN_STARTS * calm[0])
    steps_per_dex = (num - 1) / np.log10(rates[-1] / rates[0])
    smoothed = gaussian_filter1d(calm, config.smoothing_dex * steps_per_dex, mode="nearest")
    lowest = int(np.argmin(smoothed))
    # Of pure noise, the smoothed curve still spans a good part of the scatter.
    least_fall = max(_LEAST_FALL_IN_SCATTERS * 1.4826 * np.median(np.abs(losses - smoothed)), 1e-3)
    if np.max(smoothed[: lowest + 1]) - smoothed[lowest] < least_fall:
        return result(smoothed, None, "the loss does not fall by more than its scatter; raise lr_range.num_steps")
    steepest = int(np.argmin(np.gradient(smoothed, np.log10(rates))[: lowest + 1]))
    times = "" if config.multiplier == 1 else f"{config.multiplier:g} times the "
    return result(smoothed, config.multiplier * float(rates[steepest]), times + "steepest descent of the smoothed loss")


def _is_over(losses, divergence_factor: float) -> bool:
    """True if the last loss is not finite, or the median of the last five exceeds the factor times its least value."""
    if not np.isfinite(losses[-1]):
        return True
    if len(losses) < _MEDIAN_WINDOW:
        return False
    medians = np.median(np.lib.stride_tricks.sliding_window_view(losses, _MEDIAN_WINDOW), axis=-1)
    return bool(medians[-1] > divergence_factor * medians.min())
