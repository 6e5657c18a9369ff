"""Optimizers and learning-rate schedules, from Optax.

The learning rate lives in the optimizer's state (:func:`optax.inject_hyperparams`) and is set before each step from a
schedule. So the LR range test, training and any later schedule run one and the same compiled step.
"""

import jax
import numpy as np
import optax

from clusterjax.config import OptimConfig
from clusterjax.errors import InputError

OPTIMIZERS = ("adam", "adamw", "sgd")


def make_schedule(
    config: OptimConfig, *, learning_rate: float, steps_per_epoch: int, num_epochs: int
) -> optax.Schedule:
    """Step -> learning rate. ``exponential`` falls by ``decay_per_epoch`` after each epoch, as in the reference."""
    warmup_steps = round(config.warmup_epochs * steps_per_epoch)
    if config.schedule == "constant":
        main = optax.constant_schedule(learning_rate)
    elif config.schedule == "exponential":
        main = optax.exponential_decay(learning_rate, steps_per_epoch, config.decay_per_epoch, staircase=True)
    elif config.schedule == "cosine":
        main = optax.cosine_decay_schedule(learning_rate, max(1, num_epochs * steps_per_epoch - warmup_steps))
    else:
        raise InputError(f"config.optim.schedule={config.schedule!r} is unknown; use constant, exponential or cosine")
    if not warmup_steps:
        return main
    return optax.join_schedules([optax.linear_schedule(0.0, learning_rate, warmup_steps), main], [warmup_steps])


def make_optimizer(config: OptimConfig) -> optax.GradientTransformation:
    """The optimizer of ``config``; its learning rate is 0 until :func:`with_learning_rate` sets it."""
    if config.name not in OPTIMIZERS:
        raise InputError(f"config.optim.name={config.name!r} is unknown; use one of {', '.join(OPTIMIZERS)}")
    if config.weight_decay and config.name != "adamw":
        raise InputError(f"config.optim.weight_decay={config.weight_decay} needs name='adamw', not {config.name!r}")

    def build(learning_rate):
        if config.name == "adamw":
            tx = optax.adamw(learning_rate, weight_decay=config.weight_decay)
        elif config.name == "sgd":
            tx = optax.sgd(learning_rate, momentum=0.9, nesterov=True)
        else:
            tx = optax.adam(learning_rate)
        if config.grad_clip_norm is None:
            return tx
        return optax.chain(optax.clip_by_global_norm(config.grad_clip_norm), tx)

    return optax.inject_hyperparams(build)(learning_rate=0.0)


def with_learning_rate(state, learning_rate: float):
    """``state`` (a TrainState) with this rate for its next step."""
    old = state.opt_state.hyperparams["learning_rate"]
    new = jax.device_put(np.asarray(learning_rate, old.dtype), old.sharding)
    return state.replace(opt_state=state.opt_state._replace(hyperparams={"learning_rate": new}))
