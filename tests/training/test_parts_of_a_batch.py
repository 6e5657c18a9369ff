"""A batch in parts, one after the other or one a device; and parameters in parts, one a device."""

import itertools

import jax
import numpy as np
import pytest
from flax import nnx

from clusterjax.config import OptimConfig
from clusterjax.parallel import make_mesh
from clusterjax.training.optim import make_optimizer, with_learning_rate
from clusterjax.training.state import create_state, shardings_of
from clusterjax.training.step import compile_update, make_update, with_seed


class Plain(nnx.Module):
    """A network without batch normalisation or dropout."""

    def __init__(self, rngs):
        self.hidden = nnx.Linear(16 * 16 * 2, 32, rngs=rngs)
        self.head = nnx.Linear(32, 2, rngs=rngs)

    def __call__(self, images, *, rngs=None):
        return self.head(nnx.relu(self.hidden(images.reshape(len(images), -1))))


class Normalised(nnx.Module):
    """The mean over each image's pixels, a batch normalisation of these, and a layer."""

    def __init__(self, rngs):
        self.norm = nnx.BatchNorm(2, momentum=0.9, epsilon=1e-5, rngs=rngs)
        self.head = nnx.Linear(2, 2, rngs=rngs)

    def __call__(self, images, *, rngs=None):
        return self.head(self.norm(images.mean(axis=(1, 2))))


@pytest.fixture
def make_step(make_batches):
    """``make_step(network, devices=8, **options)``: (state, step) of SGD, or of Adam with ``shard_above``."""

    def make(network, *, devices=8, shard_above=None, optim="sgd", **options):
        mesh = make_mesh(jax.devices()[:devices])
        tx = make_optimizer(OptimConfig(optim))
        graphdef, state = create_state(network, tx, mesh, seed=3, shard_above=shard_above)
        update = make_update(graphdef, tx, mesh=mesh, **options)
        return state, with_seed(compile_update(update, mesh, shardings_of(state)), mesh, 0)

    return make


def train(state, step, batches, *, steps=4, rate=0.05):
    losses = []
    for batch in itertools.islice(batches, steps):
        state, scalars = step(with_learning_rate(state, rate), batch)
        losses.append([float(scalars[name]) for name in ("loss", "accuracy", "grad_norm")])
    return state, np.array(losses)


@pytest.mark.parametrize("options", [{}, {"class_weights": (0.5, 3.0)}, {"label_smoothing": 0.1}], ids=str)
def test_accumulated_parts_are_the_large_batch(options, make_step, make_batches):
    """Of examples that are not all valid, too."""

    def batches():
        for batch in make_batches(batch_size=64):
            batch["valid"][:11] = False
            yield batch

    whole = train(*make_step(Plain, **options), batches())
    parts = train(*make_step(Plain, accumulate_steps=4, **options), batches())
    np.testing.assert_allclose(parts[1], whole[1], rtol=2e-5)
    for ours, theirs in zip(jax.tree.leaves(parts[0].params), jax.tree.leaves(whole[0].params), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)


def running_statistics(state):
    return {name: np.asarray(state.model_state["norm"][name]) for name in ("mean", "var")}


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        pytest.param({}, lambda means: [[means]], id="global"),
        pytest.param({"batch_norm": "device"}, lambda means: [np.split(means, 8)], id="device"),
        # Part i has every fourth example.
        pytest.param({"accumulate_steps": 4}, lambda means: [[means[i::4]] for i in range(4)], id="accumulated"),
        pytest.param(
            {"accumulate_steps": 2, "batch_norm": "device"},
            lambda means: [[device[i::2] for device in np.split(means, 8)] for i in range(2)],
            id="accumulated-device",
        ),
    ],
)
def test_batch_normalisation_sees_what_it_should(options, parts, make_step, make_batches):
    """Its running statistics after one step are those of NumPy: updates one after the other, each the mean over the
    devices of their own mean and variance."""
    batch = next(make_batches(batch_size=64))
    batch["image"] += np.arange(64, dtype=np.float32)[:, None, None, None] / 16  # devices see other examples
    state, _ = train(*make_step(Normalised, **options), iter([batch]), steps=1)
    mean, var = np.zeros(2), np.ones(2)
    for devices in parts(batch["image"].mean(axis=(1, 2), dtype=float)):
        mean = 0.9 * mean + 0.1 * np.mean([values.mean(0) for values in devices], axis=0)
        var = 0.9 * var + 0.1 * np.mean([values.var(0) for values in devices], axis=0)
    got = running_statistics(state)
    np.testing.assert_allclose(got["mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(got["var"], var, rtol=1e-4)


def test_each_devices_own_normalisation_is_that_of_its_part(make_step, make_batches):
    """The gradients of one step on eight devices are the mean of those of eight separate batches."""
    batch = next(make_batches(batch_size=64))
    batch["image"] += np.arange(64, dtype=np.float32)[:, None, None, None] / 16
    together, _ = train(*make_step(Normalised, batch_norm="device"), iter([batch]), steps=1, rate=1.0)
    alone = []
    for part in range(8):
        of_part = {name: values[8 * part : 8 * part + 8] for name, values in batch.items()}
        state, _ = train(*make_step(Normalised, devices=1), iter([of_part]), steps=1, rate=1.0)
        alone.append(jax.tree.map(np.asarray, state.params))
    expected = jax.tree.map(lambda *leaves: np.mean(leaves, axis=0), *alone)  # SGD's first step is linear
    for ours, theirs in zip(jax.tree.leaves(together.params), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)


def test_parameters_in_parts_are_the_same_network_in_an_eighth_of_the_memory(make_step, make_batches):
    whole, whole_losses = train(*make_step(Plain, optim="adam"), make_batches(), rate=1e-3)
    parts, parts_losses = train(*make_step(Plain, optim="adam", shard_above=100), make_batches(), rate=1e-3)
    np.testing.assert_allclose(parts_losses, whole_losses, rtol=2e-5)

    def bytes_on_a_device(tree):
        return sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(tree))

    def large(tree):
        return [leaf for leaf in jax.tree.leaves(tree) if leaf.size > 100]

    assert large(parts.params)
    for part in ("params", "opt_state"):
        ours, theirs = large(getattr(parts, part)), large(getattr(whole, part))
        assert bytes_on_a_device(ours) * 8 == bytes_on_a_device(theirs)
    # The head's 64 weights and all biases are whole everywhere.
    assert all(leaf.is_fully_replicated for leaf in jax.tree.leaves(parts.params) if leaf.size <= 100)
