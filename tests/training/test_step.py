"""The compiled steps against optax, by hand, and across device counts."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from clusterjax.config import LrRangeConfig, OptimConfig
from clusterjax.parallel import to_global
from clusterjax.training.evaluate import evaluate
from clusterjax.training.lr_range import lr_range_test
from clusterjax.training.optim import with_learning_rate
from clusterjax.training.state import forward
from clusterjax.training.step import make_train_step


def train_some(setup, batches, steps=6, rate=1e-2):
    state, losses = setup.state, []
    for batch in itertools.islice(batches, steps):
        state, scalars = setup.train_step(with_learning_rate(state, rate), batch)
        losses.append(float(scalars["loss"]))
    return state, losses


def test_one_step_is_nesterov_on_the_mean_cross_entropy(make_setup, make_batches):
    setup = make_setup(dropout=0.0, optim=OptimConfig(name="sgd"))
    batch = {name: jnp.asarray(values) for name, values in next(make_batches()).items()}
    before = jax.tree.map(jnp.copy, setup.state)

    def loss(params):
        logits, _ = forward(setup.graphdef, params, before.model_state, batch["image"], dropout_key=jax.random.key(0))
        log_p = logits - jax.scipy.special.logsumexp(logits, axis=1, keepdims=True)
        return -log_p[np.arange(len(logits)), batch["label"]].mean()

    value, grads = jax.value_and_grad(loss)(before.params)
    state, scalars = setup.train_step(with_learning_rate(setup.state, 0.1), batch)
    assert float(scalars["loss"]) == pytest.approx(float(value), rel=1e-5)
    norm = np.sqrt(sum(float(jnp.sum(leaf**2)) for leaf in jax.tree.leaves(grads)))
    assert float(scalars["grad_norm"]) == pytest.approx(norm, rel=1e-4)
    assert int(state.step) == 1
    # The first step of Nesterov's momentum 0.9 from rest (Sutskever et al. 2013): 1 + 0.9 times the gradient.
    expected = jax.tree.map(lambda leaf, grad: leaf - 0.1 * 1.9 * grad, before.params, grads)
    for got, want in zip(jax.tree.leaves(state.params), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5)


def test_class_weights_are_pytorchs_weighted_mean(make_setup, make_batches):
    """sum(w l) / sum(w) over the valid examples."""
    setup = make_setup(dropout=0.0)
    step = make_train_step(setup.graphdef, setup.tx, setup.mesh, seed=0, class_weights=(0.5, 3.0))
    batch = next(make_batches())
    batch["valid"][20:] = False
    logits, _ = forward(
        setup.graphdef, setup.state.params, setup.state.model_state, jnp.asarray(batch["image"]),
        dropout_key=jax.random.key(0),
    )  # fmt: skip
    losses = -np.asarray(jax.nn.log_softmax(logits))[np.arange(32), batch["label"]]
    weights = np.where(batch["label"] == 1, 3.0, 0.5) * batch["valid"]
    _, scalars = step(setup.state, batch)
    assert float(scalars["loss"]) == pytest.approx(np.sum(weights * losses) / weights.sum(), rel=1e-5)


def test_the_state_that_goes_in_is_donated(make_setup, make_batches):
    setup = make_setup()
    leaf = jax.tree.leaves(setup.state.params)[0]
    setup.train_step(setup.state, next(make_batches()))
    assert leaf.is_deleted()


def test_it_learns(make_setup, make_batches):
    _, losses = train_some(make_setup(), make_batches(), steps=60)
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])


@pytest.mark.parametrize("num_devices", [2, 8])
def test_same_losses_on_one_and_on_many_devices(make_setup, make_batches, num_devices):
    _, one = train_some(make_setup(jax.devices()[:1]), make_batches())
    _, many = train_some(make_setup(jax.devices()[:num_devices]), make_batches())
    np.testing.assert_allclose(many, one, rtol=2e-4)
    assert len(set(one)) == len(one)


def test_same_seed_same_weights_other_seed_other_weights(make_setup, make_batches):
    first, _ = train_some(make_setup(), make_batches())
    second, _ = train_some(make_setup(), make_batches())
    other, _ = train_some(make_setup(seed=1), make_batches())
    for a, b in zip(jax.tree.leaves(first.params), jax.tree.leaves(second.params), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(
        not np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(first.params), jax.tree.leaves(other.params), strict=True)
    )


def test_evaluation_leaves_padding_out(make_setup, make_batches):
    setup = make_setup()
    batch = next(make_batches())
    batch["object_id"] = np.arange(32)
    half = {name: values.copy() for name, values in batch.items()}
    half["valid"][20:] = False
    half["image"][20:] = 1e3
    half["label"][20:] = 1 - half["label"][20:]
    metrics, columns = evaluate(setup.eval_step, setup.state, [batch, half], setup.mesh)
    assert columns["object_id"].tolist() == [*range(32), *range(20)]
    np.testing.assert_allclose(columns["scores"][32:], columns["scores"][:20], rtol=1e-4)
    label = columns["label"]
    correct = columns["scores"].argmax(1) == label
    assert metrics["accuracy"] == pytest.approx(correct.mean())
    own = -np.log(columns["scores"][np.arange(len(label)), label])
    assert metrics["loss"] == pytest.approx(own.mean(), rel=1e-4)


def test_range_test_training_and_evaluation_compile_once_each(make_setup, make_batches):
    setup = make_setup()
    batches = (to_global(batch, setup.mesh) for batch in make_batches())
    lr_range_test(setup.train_step, setup.state, batches, LrRangeConfig(lr_min=1e-5, lr_max=1e-3, num_steps=12))
    state, _ = train_some(setup, batches, steps=3)
    assert setup.train_step.func._cache_size() == 1
    evaluate(setup.eval_step, state, make_batches().take(3), setup.mesh)
    evaluate(setup.eval_step, state, make_batches().take(2), setup.mesh)
    assert setup.eval_step._cache_size() == 1
