"""Every shipped config: valid in all its variants, and smoke-trained from build to report."""

import dataclasses
import importlib.util
import json
import pathlib

import jax
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from clusterjax.config_checks import validate
from clusterjax.errors import InputError
from clusterjax.models import create_model
from clusterjax.recipes_xray_optical import XRAY_OPTICAL_VARIANTS
from clusterjax.simulation.knobs import MicrowaveSky
from clusterjax.simulation.microwave.maps import simulate_map
from clusterjax.sky.fits import write_sky_map

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
    assert config.name == path.stem.replace("networks", "cnn_mlp")
    assert f"--config=configs/{path.name}" in module.__doc__
    assert module.get_config("smoke").name == f"{config.name}_smoke"
    validate(module.get_config("smoke"))


def test_kosiba_variants_are_theirs_and_for_their_networks_alone():
    """Kosiba et al. (2020), section 4: iterations times batch, over the 48 000 training cutouts."""
    module = load(CONFIGS[0].parent / "networks_ir.py")
    custom, mobile = (module.get_config(f"{name}-kosiba") for name in ("kosiba_cn", "mobilenet_v1"))
    for config in (custom, mobile):
        validate(config)
        assert config.training.balanced_batches
    assert (custom.optim.name, custom.optim.learning_rate, custom.optim.decay_per_step) == ("sgd", 1e-4, 1e-6)
    assert (custom.training.global_batch_size, custom.training.num_epochs) == (10, 32)
    assert (mobile.optim.name, mobile.optim.kwargs, mobile.optim.plateau_factor) == ("adadelta", {"rho": 0.95}, 0.85)
    assert (mobile.training.global_batch_size, mobile.training.num_epochs) == (20, 2)
    with pytest.raises(InputError, match="trained kosiba_cn and mobilenet_v1, not 'resnet18'"):
        module.get_config("resnet18-kosiba")


@pytest.mark.parametrize(("name", "batch_size", "steps"), [("cn", 10, 153_000), ("mobilenet", 20, 3_825)])
def test_xray_optical_variants_are_those_of_the_paper(name, batch_size, steps):
    """Kosiba et al. (2020), section 4 and table 1: the published iterations of 1 233 (experts) or 1 200 images."""
    get_config = load(CONFIGS[0].parent / f"{name}_xray_optical.py").get_config
    config = get_config("experts")
    assert (config.training.global_batch_size, config.training.balanced_batches) == (batch_size, True)
    assert (config.data.num_train, config.data.num_validation) == (1233, 304)
    assert config.training.num_epochs * 1233 / batch_size == pytest.approx(steps, rel=0.01)
    assert (config.augment.rotation_deg, config.augment.scale, config.augment.flip) == (180.0, 1.3, False)
    assert config.augment.shift_fraction * 356 == pytest.approx(4)
    assert get_config("volunteers").data.labels == "volunteers"
    assert get_config("volunteers").training.num_epochs * 1200 / batch_size == pytest.approx(steps, rel=0.01)
    assert (get_config("optical").data.bands, get_config("xray").data.bands) == (("optical",), ("xray",))
    assert get_config("five_class").data.binary is False
    plain = get_config("no_augmentation").augment
    assert (plain.rotation_deg, plain.scale, plain.shift_fraction, plain.flip) == (0.0, 1.0, 0.0, False)
    for variant in XRAY_OPTICAL_VARIANTS:
        validate(get_config(variant))
    assert (get_config("small").data.image_size, get_config("small").augment) == (64, config.augment)


@pytest.mark.parametrize("name", ["vgg19", "inception_v3"])
def test_the_papers_other_networks_see_the_same_candidates(name):
    """Kosiba et al. (2020), section 4: the same samples, augmentation and balanced batches."""
    theirs = load(CONFIGS[0].parent / "cn_xray_optical.py").get_config()
    get_config = load(CONFIGS[0].parent / "networks_xray_optical.py").get_config
    config = get_config(name)
    assert config.model.name == name
    assert (config.augment, config.training.balanced_batches) == (theirs.augment, True)
    assert dataclasses.replace(config.data, image_size=None) == theirs.data
    assert get_config(f"{name}-five_class").data.binary is False
    assert get_config(f"{name}-xray").data.bands == ("xray",)
    for variant in ("smoke", "finetune", "xray", "optical", "no_augmentation", "five_class"):
        validate(get_config(f"{name}-{variant}"))
    with pytest.raises(InputError, match="no variant 'volunteers'"):
        get_config(f"{name}-volunteers")


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


def test_the_reference_recipe_at_native_resolution():
    """Of the paper's settings, all but the enlarged input: to measure what our own recipe gains."""
    config = load(next(path for path in CONFIGS if path.stem == "networks_ir")).get_config("cnn_mlp-reference")
    validate(config)
    assert (config.optim.schedule, config.optim.decay_per_epoch, config.lr_range.multiplier) == ("exponential", 0.8, 1)
    assert (config.data.input_size, config.training.num_epochs) == (None, 3)


def test_fine_tuning_is_a_variant():
    config = load(next(path for path in CONFIGS if path.stem == "networks_images")).get_config("vit_tiny-finetune")
    validate(config)
    assert (config.model.name, config.optim.frozen_epochs, config.optim.backbone_rate) == ("vit_tiny", 1.0, 0.3)


@pytest.fixture
def local_maps(tmp_path):
    """A microwave map of massive clusters, one file a band, and the table of them."""
    sky, truth = simulate_map(
        MicrowaveSky(noise_scale=0.1, mass_ratio=3.0),
        seed=5,
        shape=(640, 640),
        ra_deg=40.0,
        dec_deg=10.0,
        cluster_boost=4.0,
    )
    truth = truth[truth["object_type"] == "cluster"]
    truth.write(tmp_path / "known.ecsv")
    files = []
    for band, name in enumerate(sky.bands):
        files.append(str(tmp_path / f"{name}.fits"))
        write_sky_map(files[-1], dataclasses.replace(sky, data=sky.data[..., band : band + 1], bands=(name,)))
    return ("+".join(files),), tmp_path / "known.ecsv"


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


# Surveys run against a local server: see test_survey_program.py
RUNNABLE = [path for path in CONFIGS if not path.stem.endswith("_survey")]
# One of each kind of data goes through every room; the others have other networks, and are trained.
WHOLE = ("alexnet_ir", "alexnet_images", "alexnet_maps", "search_mw", "cn_xray_optical")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Of all configs: those of one sky have one data set."""
    return tmp_path_factory.mktemp("datasets")


def smoke_arguments(path, request):
    arguments = [f"--config={path}:smoke", f"--config.data.data_dir={request.getfixturevalue('data_dir')}"]
    if path.stem.endswith("_images"):
        arguments.append(f"--config.data.images={request.getfixturevalue('labelled_folder')}")
    if path.stem.endswith("_maps"):
        maps, catalogue = request.getfixturevalue("local_maps")
        arguments += [f"--config.data.maps={maps!r}", f"--config.data.catalogue={catalogue}"]
        arguments += ["--config.data.block_nside=64", "--config.optim.learning_rate=1e-3"]  # too few for a range test
    return arguments


@pytest.mark.parametrize(
    "path",
    [path for path in RUNNABLE if path.stem not in WHOLE and "mobilenet" not in path.stem],
    ids=lambda path: path.stem,
)
def test_smoke_training(path, tmp_path, run_program, request):
    arguments = ["--job=train", "--config.training.num_epochs=1", "--config.optim.learning_rate=1e-3"]
    result = run_program(*smoke_arguments(path, request), *arguments, f"--workdir={tmp_path / 'run'}", num_devices=1)
    assert result.returncode == 0, result.stderr
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert np.isfinite([row["loss"] for row in rows]).all()
    assert rows[-1]["split"] == "validation"


@pytest.mark.parametrize(
    "path",
    [path if path.stem in WHOLE else pytest.param(path, marks=pytest.mark.slow) for path in RUNNABLE],
    ids=lambda path: path.stem,
)
def test_smoke_run(path, tmp_path_factory, run_program, request):
    folder = tmp_path_factory.mktemp(path.stem)
    arguments = [*smoke_arguments(path, request), f"--workdir={folder / 'run'}"]
    result = run_program(*arguments, num_devices=1)
    assert result.returncode == 0, result.stderr
    assert (folder / "run" / "report" / "index.html").stat().st_size > 100_000
    assert (folder / "run" / "evaluation" / "metrics.json").exists()
    for name in ("matched_filter.fits", "completeness_curve_classical.ecsv"):
        assert (folder / "run" / "scan" / name).exists() == (path.stem.endswith("_mw") and path.stem != "joint_ir_mw")
    unscanned = path.stem.endswith(("_images", "_maps", "_xray_optical")) or path.stem == "joint_ir_mw"
    assert (folder / "run" / "scan" / "score.fits").exists() != unscanned
