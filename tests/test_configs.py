"""Every shipped config: valid in all its variants, and smoke-trained from build to report."""

import importlib.util
import pathlib

import jax
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from clusterjax.config import validate
from clusterjax.models import create_model, model_names
from clusterjax.parallel import make_mesh
from clusterjax.training.optim import make_optimizer, with_learning_rate
from clusterjax.training.state import create_state
from clusterjax.training.step import make_train_step

CONFIGS = sorted((pathlib.Path(__file__).parents[1] / "configs").glob("*.py"))


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config_is_valid_and_documented(path):
    module = load(path)
    config = module.get_config()
    validate(config)
    assert config.name == path.stem.replace("networks", "resnet18")
    assert f"--config=configs/{path.name}" in module.__doc__
    assert module.get_config("smoke").name == f"{config.name}_smoke"
    validate(module.get_config("smoke"))


def test_paper_variant_is_the_reference_system():
    """Fomicheva (2025): AlexNet for 224 px with VGG's head of 4096, Adam at the range test's rate, batch 64."""
    config = load(next(path for path in CONFIGS if path.stem == "alexnet_ir")).get_config("paper")
    validate(config)
    assert config.data.input_size == 224
    assert config.optim.learning_rate is None
    assert (config.lr_range.lr_min, config.lr_range.lr_max, config.lr_range.num_steps) == (1e-6, 1e-2, 70)
    assert (config.optim.name, config.optim.decay_per_epoch, config.training.global_batch_size) == ("adam", 0.8, 64)
    model = nnx.eval_shape(
        lambda: create_model(
            config.model.name, num_bands=2, num_classes=2, dtype="float32", rngs=nnx.Rngs(0), **config.model.kwargs
        )
    )
    # torchvision's 61 100 840 for 3 bands and 1000 classes, less one band of the stem and 998 classes.
    expected = 61_100_840 - 11 * 11 * 64 - 998 * 4097
    assert sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param))) == expected


# Compiled for minutes; a smaller one of the same family is not.
SLOW = ("wide_resnet101_2", "vit_l16", "vgg19", *(f"efficientnet_b{i}" for i in range(1, 8)))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in model_names()]
)
def test_every_network_learns_in_its_config(name):
    """Twelve steps at the config's own settings on sixteen bright or dark images: the loss falls."""
    config = load(next(path for path in CONFIGS if path.stem == "networks_ir")).get_config(name)
    validate(config)
    assert config.name == f"{name}_ir"
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


def test_fine_tuning_is_a_variant():
    config = load(next(path for path in CONFIGS if path.stem == "networks_images")).get_config("vit_tiny-finetune")
    validate(config)
    assert (config.model.name, config.optim.frozen_epochs, config.optim.backbone_rate) == ("vit_tiny", 1.0, 0.3)


@pytest.fixture
def labelled_folder(tmp_path):
    """Three classes that differ in shape: dot, bar, ring."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:70, :70] - 34.5
    shapes = {"dot": np.hypot(y, x) < 8, "bar": (abs(y) < 5) & (abs(x) < 25), "ring": abs(np.hypot(y, x) - 20) < 4}
    for name, shape in shapes.items():
        (tmp_path / name).mkdir()
        for i in range(40):
            picture = np.clip(200 * shape + rng.normal(30, 20, shape.shape), 0, 255).astype(np.uint8)
            Image.fromarray(picture).save(tmp_path / name / f"{i}.png")
    return tmp_path


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_smoke_run(path, tmp_path_factory, run_program, request):
    folder = tmp_path_factory.mktemp(path.stem)
    arguments = [f"--config={path}:smoke", f"--workdir={folder / 'run'}", f"--config.data.data_dir={folder / 'data'}"]
    if path.stem.endswith("_images"):
        arguments.append(f"--config.data.images={request.getfixturevalue('labelled_folder')}")
    result = run_program(*arguments, num_devices=1)
    assert result.returncode == 0, result.stderr
    assert (folder / "run" / "report" / "index.html").stat().st_size > 100_000
    assert (folder / "run" / "evaluation" / "metrics.json").exists()
    assert (folder / "run" / "scan" / "score.fits").exists() != path.stem.endswith("_images")
