"""A user's mistake: one line that names what is wrong and what would be right, a non-zero exit, nothing lost."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits

from clusterjax import jobs
from clusterjax.config import ExperimentConfig, from_json, to_json
from clusterjax.config_checks import validate
from clusterjax.errors import InputError
from clusterjax.experiment import load_network
from clusterjax.parallel import make_mesh


def test_a_field_without_its_experiment(run_program):
    result = run_program("map.fits", "--job=scan", "--config.search.stride=8")
    assert result.returncode == 2
    [line] = result.stderr.strip().splitlines()
    assert "--config.search.stride is a field of an experiment, which is missing; add --config=NAME" in line


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--config.optim.nope=3", "nope"),
        ("--config.seed=abc", "seed=abc"),
        ("--config.training.num_epochs=0", "config.training.num_epochs=0 must be above 0"),
        ("--config.model.name=alexnet", "config.model.name='alexnet' is unknown; use one of alexnet_vgg"),
        ("--config.data.builder=cifar", "config.data.builder='cifar' is unknown; use one of ir_cutouts"),
        (
            "--config.evaluation.sky_density_per_deg2={'cluster': -0.5}",
            "config.evaluation.sky_density_per_deg2['cluster']=-0.5 must be 0 or above",
        ),
        (
            "--config.training.class_weights={'cluster': 'a'}",
            "class_weights['cluster']='a' must be a name and its number",
        ),
        ("--config.training.class_weights=3", "use a dict"),
        ("--config.optim.name=adm", "config.optim.name='adm' is unknown; use one of 'adam'"),
        ("--job=dance", "dance"),
        ("--checkpoint=nowhere", "--checkpoint goes with --job=evaluate, explain, scan, inject, export or pack"),
        ("stray", "unexpected arguments ['stray']"),
        ("--workdir=/dev/null/run", "workdir /dev/null/run is not writable"),
    ],
)
def test_mistakes_on_the_command_line(argument, message, finished_run, tiny_config, tmp_path, run_program):
    workdir = [] if argument.startswith("--workdir") else [f"--workdir={tmp_path}"]
    result = run_program(f"--config={tiny_config}", *workdir, argument)
    assert result.returncode != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert len([line for line in result.stderr.splitlines() if "rror" in line]) == 1


def test_current_folder_that_was_deleted(tiny_config, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    program = [sys.executable, "-m", "clusterjax.main", f"--config={tiny_config}", f"--workdir={tmp_path / 'run'}"]
    result = subprocess.run(
        ["bash", "-c", 'rmdir "$PWD"; exec "$@"', "bash", *program], capture_output=True, text=True, cwd=gone
    )
    assert result.returncode == 2
    assert result.stderr.strip() == "error: the current folder has been deleted; change to another"


@pytest.mark.parametrize("config", ["no_such_file.py", "configs"])
def test_config_file_that_is_not_there(config, run_program):
    result = run_program(f"--config={config}")
    assert result.returncode == 2
    assert (
        result.stderr.strip()
        == f"error: config file {config} does not exist; clusterjax configs lists the shipped ones"
    )


def test_config_file_with_a_mistake(tmp_path, run_program):
    path = tmp_path / "broken.py"
    path.write_text(
        "from clusterjax.config import *\ndef get_config(variant=''):\n    return ExperimentConfig(sede=1)\n"
    )
    result = run_program(f"--config={path}")
    assert result.returncode == 2
    assert "sede" in result.stderr
    assert "Traceback" not in result.stderr


def test_unknown_variant(run_program):
    result = run_program("--config=configs/alexnet_ir.py:smok")
    assert result.returncode == 2
    assert "has no variant 'smok'; use smoke, paper or none" in result.stderr


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--config=configs/networks_ir.py:nonsense", "config.model.name='nonsense' is unknown; use one of alexnet_vgg"),
        ("--config.model.head=forest", "config.model.head='forest' is unknown; use one of linear, mlp, spinal, vgg"),
    ],
)
def test_unknown_network_is_refused_before_anything_is_built(argument, message, tmp_path, run_program):
    config = [] if argument.startswith("--config=") else ["--config=configs/networks_ir.py"]
    folders = [f"--workdir={tmp_path / 'run'}", f"--config.data.data_dir={tmp_path / 'data'}"]
    result = run_program(*config, argument, *folders)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": "1"}, r"config.seed='1' is of type str; use int"),
        ({"seed": True}, r"config.seed=True is of type bool; use int"),
        ({"data": {"bands": "W1"}}, r"config.data.bands='W1' is of type str; use tuple or NoneType"),
        ({"data": {"stretch": "sqrt"}}, r"config.data.stretch='sqrt' is unknown; use one of 'linear', 'asinh', 'log'"),
        ({"data": {"object_fractions": {"cluster": 0.5}}}, r"sums to 0.5; use fractions >= 0 that sum to 1"),
        ({"data": {"object_fractions": {"quasar": 1.0}}}, r"unknown types \['quasar'\]"),
        ({"augment": {"scale": 0.5}}, r"config.augment.scale=0.5 must be 1 \(none\) or above"),
        ({"lr_range": {"lr_max": 1e-9}}, r"config.lr_range.lr_max=1e-09 must be above lr_min"),
        ({"data": {"bands": ("W1", 2)}}, r"config.data.bands=\('W1', 2\) has 2 of type int; use str"),
        ({"search": {"images": ("https://me:pw@x.org/a?b",)}}, r"^https://...@x.org/a holds a password or a token"),
        ({"data": {"maps": ("https://x.org/a?Token=s3",)}}, r"^https://x.org/a holds a password or a token"),
        ({"search": {"threshold": 2.0}}, r"config.search.threshold=2.0 must lie within \[0.0, 1.0\]"),
    ],
)
def test_values_that_cannot_work(change, message):
    config = ExperimentConfig()
    for name, value in change.items():
        if isinstance(value, dict):
            for field, new in value.items():
                setattr(getattr(config, name), field, new)
        else:
            setattr(config, name, value)
    with pytest.raises(InputError, match=message):
        validate(config)


def test_config_survives_json_and_unknown_fields_do_not():
    config = ExperimentConfig(seed=3)
    config.data.bands = ("W1",)
    assert from_json(to_json(config)) == config
    with pytest.raises(InputError, match=r"config.optim.rate is not a field; config.optim has name, kwargs,"):
        from_json('{"optim": {"rate": 1}}')


@pytest.fixture
def trained_config(finished_run) -> ExperimentConfig:
    return from_json((finished_run[0] / "config.json").read_text())


def test_batch_that_the_devices_cannot_share(trained_config, tmp_path):
    trained_config.training.global_batch_size = 36
    with pytest.raises(
        InputError, match=r"config.training.global_batch_size=36 is not divisible by 8 devices; use 32 or 40"
    ):
        jobs.run("train", trained_config, workdir=tmp_path)


def test_parts_of_a_batch_are_told_before_the_data_are_built(trained_config, tmp_path):
    trained_config.data.data_dir = str(tmp_path / "data")
    trained_config.training.global_batch_size, trained_config.training.accumulate_steps = 32, 3
    with pytest.raises(InputError, match=r"8 devices times config.training.accumulate_steps=3; use a multiple of 24"):
        jobs.run("train", trained_config, workdir=tmp_path / "run")
    assert not (tmp_path / "data").exists()


def test_workdir_of_another_run(finished_run, trained_config):
    trained_config.optim.decay_per_epoch = 0.5
    with pytest.raises(InputError, match=r"another config \(optim.decay_per_epoch differ\)"):
        jobs.run("train", trained_config, workdir=finished_run[0])


def test_missing_checkpoint(tmp_path):
    with pytest.raises(InputError, match="does not exist; give a workdir"):
        load_network(tmp_path / "nowhere", make_mesh())
    with pytest.raises(InputError, match=r"no checkpoint in .*; run --job=train first"):
        load_network(tmp_path, make_mesh())
    (tmp_path / "map.fits").write_text("")
    with pytest.raises(InputError, match=r"map.fits is not a folder; give a workdir"):
        load_network(tmp_path / "map.fits", make_mesh())


def test_checkpoint_of_another_model(finished_run, trained_config):
    trained_config.model.kwargs["widths"] = (8, 32)
    with pytest.raises(InputError, match=r"is of model baseline .*\[8, 16\], the config asks for baseline .*\(8, 32\)"):
        load_network(finished_run[0], make_mesh(), expected=trained_config)


def test_corrupt_checkpoint(finished_run, tmp_path, run_program):
    copy = tmp_path / "checkpoints"
    shutil.copytree(finished_run[0] / "checkpoints", copy)
    data = [path for path in copy.glob("*/state/**/d/*") if path.is_file()]
    assert data
    for path in data:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    result = run_program("--job=evaluate", f"--checkpoint={copy}", f"--workdir={tmp_path / 'out'}", num_devices=1)
    assert result.returncode == 2
    assert "corrupt or of another model" in result.stderr
    assert str(copy) in result.stderr
    assert "Traceback" not in result.stderr


def _image(path, data, *, with_wcs=True):
    header = fits.Header()
    if with_wcs:
        header.update(CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=10.0, CRVAL2=5.0, CRPIX1=50.0, CRPIX2=50.0)
        header.update(CDELT1=-2.75 / 3600, CDELT2=2.75 / 3600)
    fits.PrimaryHDU(data.astype(np.float32), header).writeto(path)
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("no_wcs", "WCS"),
        ("one_band", "band"),
        ("nan", "NaN"),
        ("truncated", "truncated"),
        ("small", "smaller"),
        ("missing", "does not exist"),
    ],
)
def test_maps_that_cannot_be_scanned(kind, message, finished_run, tmp_path, run_program):
    rng = np.random.default_rng(0)
    path = tmp_path / f"{kind}.fits"
    cube = rng.normal(size=(2, 100, 100))
    if kind == "no_wcs":
        _image(path, cube, with_wcs=False)
    elif kind == "one_band":
        _image(path, cube[0])
    elif kind == "nan":
        _image(path, np.full_like(cube, np.nan))
    elif kind == "small":
        _image(path, cube[:, :20, :20])
    elif kind == "truncated":
        _image(path, cube)
        path.write_bytes(path.read_bytes()[:20_000])
    result = run_program(
        "--job=scan", f"--checkpoint={finished_run[0]}", f"--workdir={tmp_path / 'out'}", f"--map={path}"
    )
    assert result.returncode == 2
    assert message in result.stderr
    assert path.name in result.stderr or kind == "small"
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out" / "scan" / "score.fits").exists()
