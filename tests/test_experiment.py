"""Starting a network from weights that are there: of our own checkpoints and of files."""

import jax
import numpy as np
import optax
import pytest

from clusterjax.config import ModelConfig
from clusterjax.errors import InputError
from clusterjax.experiment import start_from_pretrained
from clusterjax.models import create_model
from clusterjax.parallel import make_mesh
from clusterjax.training.checkpoint import Checkpoints
from clusterjax.training.state import create_state


def make_state(num_bands=3, num_classes=2, seed=0, **kwargs):
    return create_state(
        lambda rngs: create_model(
            "baseline",
            num_bands=num_bands,
            num_classes=num_classes,
            dtype="float32",
            rngs=rngs,
            **{"widths": (4, 8), **kwargs},
        ),
        optax.sgd(0.1),
        make_mesh(),
        seed=seed,
    )[1]


@pytest.fixture
def checkpoint(tmp_path):
    """(folder, its parameters) of a network with statistics other than the initial ones."""
    state = make_state(seed=1)
    state = state.replace(
        params=jax.tree.map(lambda leaf: leaf + 0.5, state.params),
        model_state=jax.tree.map(lambda leaf: leaf + 0.25 if leaf.dtype == np.float32 else leaf, state.model_state),
    )
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.save(7, state, about={})
        checkpoints.wait()
    return tmp_path, jax.tree.map(np.asarray, state)


def test_own_checkpoint_with_other_bands_and_classes(checkpoint):
    folder, saved = checkpoint
    config = ModelConfig("baseline", {"widths": (4, 8)}, pretrained=str(folder))
    fresh = make_state(num_bands=2, num_classes=5)
    head = jax.tree.map(np.array, fresh.params["head"])
    state = start_from_pretrained(fresh, config)
    theirs, ours = saved.params["backbone"]["blocks"], state.params["backbone"]["blocks"]
    jax.tree.map(np.testing.assert_array_equal, ours[1], theirs[1])
    jax.tree.map(np.testing.assert_array_equal, state.params["head"], head)
    mean = theirs[0]["conv"]["kernel"].mean(axis=2, keepdims=True) * 3 / 2
    np.testing.assert_allclose(ours[0]["conv"]["kernel"], np.repeat(mean, 2, axis=2), rtol=1e-6)
    statistics = state.model_state["backbone"]["blocks"][1]["norm"]["mean"]
    np.testing.assert_array_equal(statistics, saved.model_state["backbone"]["blocks"][1]["norm"]["mean"])
    assert np.all(np.asarray(statistics) == 0.25)


def test_own_checkpoint_whole(checkpoint):
    folder, saved = checkpoint
    config = ModelConfig("baseline", {"widths": (4, 8)}, pretrained=str(folder), pretrained_head=True)
    state = start_from_pretrained(make_state(), config)
    jax.tree.map(np.testing.assert_array_equal, state.params, saved.params)


def test_checkpoint_of_another_network(checkpoint):
    folder, _ = checkpoint
    config = ModelConfig("baseline", pretrained=str(folder))
    with pytest.raises(InputError, match=r"backbone.blocks.\S+ has shape .* the network needs"):
        start_from_pretrained(make_state(widths=(4, 16)), config)
    with pytest.raises(InputError, match=r"have no backbone.blocks.2.\S+, which model baseline as configured needs"):
        start_from_pretrained(make_state(widths=(4, 8, 8)), config)


def test_missing_weights():
    config = ModelConfig("resnet18", pretrained="nowhere.safetensors")
    with pytest.raises(InputError, match="do not exist"):
        start_from_pretrained(make_state(), config)
