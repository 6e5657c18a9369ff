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

    def build(learning_rate, backbone_rate):
        if config.name == "adamw":
            tx = optax.adamw(learning_rate, weight_decay=config.weight_decay)
        elif config.name == "sgd":
            tx = optax.sgd(learning_rate, momentum=0.9, nesterov=True)
        else:
            tx = optax.adam(learning_rate)
        before = [] if config.grad_clip_norm is None else [optax.clip_by_global_norm(config.grad_clip_norm)]
        # Last, so that it scales what the optimizer does, weight decay too.
        after = [_scale_backbone(backbone_rate)] if has_own_backbone_rate(config) else []
        return optax.chain(*before, tx, *after)

    return optax.inject_hyperparams(build)(learning_rate=0.0, backbone_rate=config.backbone_rate)


def has_own_backbone_rate(config: OptimConfig) -> bool:
    return config.frozen_epochs > 0 or config.backbone_rate != 1.0


def _scale_backbone(factor) -> optax.GradientTransformation:
    """Scales the updates of all but the head, whose parameters are those under "head"."""

    def scale(updates):
        return {
            part: tree if part == "head" else jax.tree.map(lambda update: factor * update, tree)
            for part, tree in updates.items()
        }

    return optax.stateless(lambda updates, _: scale(updates))


def make_backbone_schedule(config: OptimConfig, *, steps_per_epoch: int) -> optax.Schedule:
    """Step -> the backbone's rate in those of the head: 0 for ``frozen_epochs``, then ``backbone_rate``.

    Running statistics of batch normalisation follow the data from the first step on.
    """
    frozen_steps = round(config.frozen_epochs * steps_per_epoch)
    return optax.join_schedules(
        [optax.constant_schedule(0.0), optax.constant_schedule(config.backbone_rate)], [frozen_steps]
    )


def with_learning_rate(state, learning_rate: float, backbone_rate: float | None = None):
    """``state`` (a TrainState) with these rates for its next step; None leaves that of the backbone as it is."""
    new = {"learning_rate": learning_rate, "backbone_rate": backbone_rate}
    hyperparams = {
        name: old if new[name] is None else jax.device_put(np.asarray(new[name], old.dtype), old.sharding)
        for name, old in state.opt_state.hyperparams.items()
    }
    return state.replace(opt_state=state.opt_state._replace(hyperparams=hyperparams))
