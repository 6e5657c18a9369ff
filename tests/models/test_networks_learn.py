"""Every network, in the settings of its config, learns something easy."""

import importlib.util
import pathlib

import jax
import numpy as np
import pytest

from clusterjax.config_checks import validate
from clusterjax.models import create_model, model_names
from clusterjax.parallel import make_mesh
from clusterjax.training.optim import make_optimizer, with_learning_rate
from clusterjax.training.state import create_state
from clusterjax.training.step import make_train_step

_SPEC = importlib.util.spec_from_file_location(
    "networks_ir", pathlib.Path(__file__).parents[2] / "configs" / "networks_ir.py"
)
CONFIG = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(CONFIG)

# Compiled for long; another one of the same family, or a shallow one, is not slow.
SLOW = (
    "densenet121",
    "efficientnet_b0",
    "inception_v3",
    "vgg19_bn",
    "wide_resnet101_2",
    "spinalnet_resnet",
    "spinalnet_densenet",
    "spinalnet_efficientnet",
    "spinalnet_vgg",
    "efficientnet_lite0",
    "vit_b16",
    "resnet50",
    "vit_l16",
    "vgg19",
    *(f"efficientnet_b{i}" for i in range(1, 8)),
)


SHALLOW = [("densenet121", {"num_layers": (2, 2, 2, 2)})]


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [*(pytest.param(name, {}, marks=pytest.mark.slow if name in SLOW else ()) for name in model_names()), *SHALLOW],
)
def test_every_network_learns_in_its_config(name, kwargs):
    """Twelve steps at the config's own settings on sixteen bright or dark images: the loss falls."""
    config = CONFIG.get_config(name)
    validate(config)
    assert config.name == f"{name}_ir"
    config.model.kwargs |= kwargs
    size = config.data.input_size or 64
    mesh, tx = make_mesh(jax.devices()[:1]), make_optimizer(config.optim)

    def build(rngs):
        return create_model(
            config.model.name, num_bands=2, num_classes=2, dtype="float32", rngs=rngs, **config.model.kwargs
        )

    graphdef, state = create_state(build, tx, mesh, seed=0)
    step = make_train_step(graphdef, tx, mesh, seed=0)
    label = np.arange(16) % 2
    image = np.random.default_rng(0).normal(size=(16, size, size, 2)) + (2 * label - 1)[:, None, None, None]
    batch = {"image": image.astype(np.float32), "label": label.astype(np.int32), "valid": np.ones(16, bool)}
    losses = []
    for _ in range(12):
        state, scalars = step(with_learning_rate(state, 3e-4), batch)
        losses.append(float(scalars["loss"]))
    assert losses[0] == pytest.approx(np.log(2), abs=1e-5)  # every class alike at first
    assert min(losses[1:]) < 0.9 * losses[0]
