"""Learning rates over a run: schedules known beforehand, and the reduction on a plateau of validation."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from clusterjax.config import OptimConfig
from clusterjax.errors import InputError

_LEAST_GAIN = 1e-4  # of the validation metric, as Keras asks for


def make_schedule(
    config: OptimConfig, *, learning_rate: float, steps_per_epoch: int, num_epochs: int
) -> optax.Schedule:
    """Step -> learning rate, after a linear warm-up.

    ``exponential`` falls by ``decay_per_epoch`` after each epoch, as in the reference; ``step`` by ``step_factor``
    after every ``step_epochs``; ``cosine`` to 0 at the end. ``decay_per_step`` divides any of them by
    1 + decay_per_step * step, as Keras's ``decay`` does.
    """
    warmup_steps = round(config.warmup_epochs * steps_per_epoch)
    if config.schedule == "constant":
        main = optax.constant_schedule(learning_rate)
    elif config.schedule == "exponential":
        main = optax.exponential_decay(learning_rate, steps_per_epoch, config.decay_per_epoch, staircase=True)
    elif config.schedule == "step":
        steps = max(1, round(config.step_epochs * steps_per_epoch))
        main = optax.exponential_decay(learning_rate, steps, config.step_factor, staircase=True)
    elif config.schedule == "cosine":
        main = optax.cosine_decay_schedule(learning_rate, max(1, num_epochs * steps_per_epoch - warmup_steps))
    else:
        raise InputError(
            f"config.optim.schedule={config.schedule!r} is unknown; use constant, exponential, step or cosine"
        )
    whole = main
    if warmup_steps:
        whole = optax.join_schedules([optax.linear_schedule(0.0, learning_rate, warmup_steps), main], [warmup_steps])
    if not config.decay_per_step:
        return whole
    return lambda step: whole(step) / (1 + config.decay_per_step * step)


def make_backbone_schedule(config: OptimConfig, *, steps_per_epoch: int) -> optax.Schedule:
    """Step -> the backbone's rate in those of the head: 0 for ``frozen_epochs``, then ``backbone_rate``.

    Running statistics of batch normalisation follow the data from the first step on.
    """
    frozen_steps = round(config.frozen_epochs * steps_per_epoch)
    return optax.join_schedules(
        [optax.constant_schedule(0.0), optax.constant_schedule(config.backbone_rate)], [frozen_steps]
    )


@dataclasses.dataclass(frozen=True)
class Plateau:
    """Less learning rate when the validation metric stands still: ``optax.contrib.reduce_on_plateau``, once an epoch.

    Its state is a dict of plain numbers, which a checkpoint's JSON holds exactly; ``scale`` of it multiplies the
    schedule. A metric that is NaN is no gain.
    """

    metric: str  # loss or accuracy
    factor: float
    patience: int  # the epoch without a gain after which the rate falls
    min_scale: float

    @classmethod
    def from_config(cls, config: OptimConfig, learning_rate: float) -> "Plateau | None":
        """None where the config has no ``plateau_patience``."""
        if config.plateau_patience is None:
            return None
        least = min(config.plateau_min_rate / learning_rate, 1.0)
        return cls(config.plateau_metric, config.plateau_factor, config.plateau_patience, least)

    def _transform(self) -> optax.GradientTransformationExtraArgs:
        return optax.contrib.reduce_on_plateau(
            self.factor, self.patience, rtol=0.0, atol=_LEAST_GAIN, min_scale=self.min_scale
        )

    def start(self) -> dict[str, Any]:
        return _plain(self._transform().init(jnp.zeros(())))

    def after(self, state: dict[str, Any], metrics: dict[str, float]) -> dict[str, Any]:
        """The state after a validation with ``metrics`` (loss and accuracy)."""
        transform = self._transform()
        like = transform.init(jnp.zeros(()))
        restored = like._replace(**{name: jnp.asarray(state[name], getattr(like, name).dtype) for name in like._fields})
        # Optax looks for the least value.
        value = 1 - metrics["accuracy"] if self.metric == "accuracy" else metrics["loss"]
        _, new = transform.update(jnp.zeros(()), restored, value=value)
        return _plain(new)


def _plain(state) -> dict[str, Any]:
    return {name: value.item() for name, value in jax.device_get(state)._asdict().items()}
