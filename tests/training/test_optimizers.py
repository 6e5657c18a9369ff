"""Each optimizer's first steps against PyTorch's numbers, or where it has none, the paper's own formulas in NumPy."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from clusterjax import config_checks
from clusterjax.config import OptimConfig
from clusterjax.errors import InputError
from clusterjax.training.optim import OPTIMIZERS, make_optimizer

START = (0.5, -1.0, 2.0)
# PyTorch 2: the parameters after 1 and after 7 steps with the gradients below, in double precision. Rate 0.01 (Adadelta
# 1); SGD with Nesterov's momentum 0.9; AdamW with decay 0.1; all else its defaults.
TORCH = {
    "sgd": ([0.494385116, -1.0019, 1.9791], [0.467995973, -1.002935504, 2.003670901]),
    "adam": ([0.49, -1.009999999, 1.99], [0.474150983, -1.015453843, 1.98547344]),
    "adamw": ([0.4895, -1.008999999, 1.988], [0.470781917, -1.008400613, 1.971627691]),
    "radam": ([0.497044798, -1.001, 1.989], [0.488566318, -1.001432253, 1.980550908]),
    "rmsprop": ([0.400000034, -1.0999999, 1.900000009], [0.375174188, -1.060416069, 2.065954684]),
    "adadelta": ([0.496837903, -1.003160698, 1.996837735], [0.497072949, -1.001554627, 2.006009978]),
    "rprop": ([0.49, -1.01, 1.99], [0.481, -1.01875, 2.010208]),
}


def gradient(t):
    """Of three weights: changing sign quickly, small, and falling."""
    return np.array([math.sin(1.7 * t + 0.3), 0.1 * math.cos(2.9 * t), 2.0 / (1 + t) - 0.9])


def trajectory(config, rate, num=7):
    tx = make_optimizer(config)
    params = {"head": jnp.array(START)}
    state = tx.init(params)

    @jax.jit
    def step(params, state, grad):
        updates, state = tx.update({"head": grad}, state, params)
        return optax.apply_updates(params, updates), state

    points = []
    for t in range(num):
        state = state._replace(hyperparams={**state.hyperparams, "learning_rate": jnp.asarray(rate)})
        params, state = step(params, state, jnp.asarray(gradient(t), jnp.float32))
        points.append(np.asarray(params["head"]))
    return np.stack(points)


@pytest.mark.parametrize("name", TORCH)
def test_steps_are_pytorchs(name):
    config = OptimConfig(name=name, weight_decay=0.1 * (name == "adamw"))
    points = trajectory(config, 1.0 if name == "adadelta" else 0.01)
    np.testing.assert_allclose(points[[0, -1]], TORCH[name], atol=3e-6)


def test_nadam_is_dozats():
    """Dozat (2016), algorithm 8, with constant moments."""
    params, m, v, points = np.array(START), 0.0, 0.0, []
    for t in range(1, 8):
        g = gradient(t - 1)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        m_hat = 0.9 * m / (1 - 0.9 ** (t + 1)) + 0.1 * g / (1 - 0.9**t)
        params = params - 0.01 * m_hat / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        points.append(params)
    np.testing.assert_allclose(trajectory(OptimConfig(name="nadam"), 0.01), points, atol=3e-6)


def test_lion_is_its_authors():
    """Chen et al. (2023), algorithm 2, with decoupled weight decay."""
    params, m, points = np.array(START), 0.0, []
    for t in range(7):
        g = gradient(t)
        params = params - 0.01 * (np.sign(0.9 * m + 0.1 * g) + 0.3 * params)
        m = 0.99 * m + 0.01 * g
        points.append(params)
    np.testing.assert_allclose(trajectory(OptimConfig(name="lion", weight_decay=0.3), 0.01), points, atol=3e-6)


def test_own_settings_reach_it_and_others_are_refused():
    plain = trajectory(OptimConfig(name="sgd", kwargs={"momentum": 0.0, "nesterov": False}), 0.1)
    np.testing.assert_allclose(plain[-1], START - 0.1 * sum(gradient(t) for t in range(7)), atol=1e-6)
    with pytest.raises(InputError, match=r"kwargs has \['rho'\], which sgd has not; use \['momentum', 'nesterov'\]"):
        make_optimizer(OptimConfig(name="sgd", kwargs={"rho": 0.9}))
    with pytest.raises(InputError, match="unknown; use one of adam, adamw, nadam"):
        make_optimizer(OptimConfig(name="diffgrad"))
    with pytest.raises(InputError, match="name='adamw'"):
        make_optimizer(OptimConfig(weight_decay=0.1))


def test_the_config_takes_them_all_and_no_others():
    assert set(OPTIMIZERS) == set(config_checks.OPTIMIZERS)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_rate_zero_moves_nothing_and_twice_the_rate_twice_as_far(name):
    config = OptimConfig(name=name)
    np.testing.assert_array_equal(trajectory(config, 0.0)[-1], np.float32(START))
    once, twice = (trajectory(config, rate)[0] - np.float32(START) for rate in (0.01, 0.02))
    np.testing.assert_allclose(twice, 2 * once, atol=1e-6)
