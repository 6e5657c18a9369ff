"""Optimizers, from Optax, and how a rate is set.

The learning rate lives in the optimizer's state (:func:`optax.inject_hyperparams`) and is set before each step from a
schedule. So the LR range test, training and any schedule run one and the same compiled step.
"""

import functools
import inspect
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from clusterjax.arrays import PyTree
from clusterjax.config import OptimConfig
from clusterjax.errors import InputError
from clusterjax.parallel import put


class RpropState(NamedTuple):
    steps: PyTree  # of each weight, in units of the learning rate
    grads: PyTree  # of the step before, 0 where it was not taken


def scale_by_rprop(
    eta_minus: float = 0.5, eta_plus: float = 1.2, min_step: float = 1e-6, max_step: float = 50.0
) -> optax.GradientTransformation:
    """Resilient backpropagation, iRprop- (Igel & Huesken 2000): the gradient's sign times a step of each weight's own.

    Steps are in units of the learning rate, at first 1. (Optax 0.2.8's own takes each step one call too late.)
    """

    def init(params):
        return RpropState(jax.tree.map(jnp.ones_like, params), jax.tree.map(jnp.zeros_like, params))

    def update(grads, state, params=None):
        del params
        agree = jax.tree.map(lambda new, old: jnp.sign(new * old), grads, state.grads)

        def resize(step, sign):
            factor = jnp.where(sign > 0, eta_plus, jnp.where(sign < 0, eta_minus, 1.0))
            return jnp.clip(step * factor, min_step, max_step)

        steps = jax.tree.map(resize, state.steps, agree)
        grads = jax.tree.map(lambda grad, sign: jnp.where(sign < 0, 0.0, grad), grads, agree)
        updates = jax.tree.map(lambda grad, step: jnp.sign(grad) * step, grads, steps)
        return updates, RpropState(steps, grads)

    return optax.GradientTransformation(init, update)


def _momentum(momentum: float = 0.9, nesterov: bool = True) -> optax.GradientTransformation:
    return optax.trace(decay=momentum, nesterov=nesterov)


# Name -> the direction of its step, to be scaled by the learning rate. Defaults are PyTorch's, but for Nesterov's
# momentum, which SGD has here.
OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "adam": optax.scale_by_adam,
    "adamw": optax.scale_by_adam,
    "nadam": functools.partial(optax.scale_by_adam, nesterov=True),
    "radam": optax.scale_by_radam,
    "sgd": _momentum,
    "rmsprop": functools.partial(optax.scale_by_rms, decay=0.99, eps_in_sqrt=False),
    "adadelta": optax.scale_by_adadelta,
    "rprop": scale_by_rprop,
    "lion": optax.scale_by_lion,
}


def make_optimizer(config: OptimConfig) -> optax.GradientTransformation:
    """The optimizer of ``config``; its learning rate is 0 until :func:`with_learning_rate` sets it."""
    if config.name not in OPTIMIZERS:
        raise InputError(f"config.optim.name={config.name!r} is unknown; use one of {', '.join(OPTIMIZERS)}")
    if config.weight_decay and config.name == "adam":
        raise InputError(
            f"config.optim.weight_decay={config.weight_decay} is decoupled here; name it so: config.optim.name='adamw'"
        )
    direction = OPTIMIZERS[config.name]
    known = inspect.signature(direction).parameters
    unknown = sorted(set(config.kwargs) - set(known))
    if unknown:
        raise InputError(f"config.optim.kwargs has {unknown}, which {config.name} has not; use {list(known)}")

    def build(learning_rate, backbone_rate):
        before = [] if config.grad_clip_norm is None else [optax.clip_by_global_norm(config.grad_clip_norm)]
        decay = [optax.add_decayed_weights(config.weight_decay)] if config.weight_decay else []
        # Last, so that it scales what the optimizer does, weight decay too.
        after = [_scale_backbone(backbone_rate)] if has_own_backbone_rate(config) else []
        tx = [direction(**config.kwargs), *decay, optax.scale_by_learning_rate(learning_rate)]
        return optax.chain(*before, *tx, *after)

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


def with_learning_rate(state, learning_rate: float | np.ndarray, backbone_rate: float | np.ndarray | None = None):
    """``state`` (a TrainState) with these rates for its next step; None leaves that of the backbone as it is.

    For the stacked states of several runs, each is an array with a rate a run.
    """
    new = {"learning_rate": learning_rate, "backbone_rate": backbone_rate}
    hyperparams = {
        name: old if new[name] is None else put(np.asarray(new[name], old.dtype), old.sharding)
        for name, old in state.opt_state.hyperparams.items()
    }
    return state.replace(opt_state=state.opt_state._replace(hyperparams=hyperparams))
