"""Eight virtual CPU devices for every test, set before jax is imported; and the program, as a user runs it."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits

# None of these imports jax, which reads them once.
os.environ["JAX_PLATFORMS"] = "cpu"
# Most of the tests' time is compilation: less optimised, it takes two thirds.
XLA_FLAGS = (
    f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=1 --xla_llvm_disable_expensive_passes=true "
    "--xla_force_host_platform_device_count="
)
os.environ["XLA_FLAGS"] = XLA_FLAGS + "8"
os.environ["MPLBACKEND"] = "Agg"

ROOT = pathlib.Path(__file__).parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """Real data that lies beside some checkouts; the project never needs it."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real data at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture
def sparse_map(tmp_path):
    """``sparse_map(name, shape, wcs)``: a FITS image of zeros with a few ones, larger than the disk space it takes."""

    def write(name: str, shape: tuple[int, int], wcs) -> pathlib.Path:
        header = fits.Header([("SIMPLE", True), ("BITPIX", -32), ("NAXIS", 2), ("NAXIS1", shape[1])])
        header["NAXIS2"] = shape[0]
        header.update(wcs.to_header())
        path = tmp_path / name
        header.tofile(path)
        start = path.stat().st_size
        with path.open("r+b") as stream:
            stream.seek(start + 4 * (shape[0] * shape[1] // 2))
            np.ones(7, ">f4").tofile(stream)
            stream.truncate(start + -(-4 * shape[0] * shape[1] // 2880) * 2880)
        return path

    return write


TINY_CONFIG = '''
"""A network so small that all jobs take seconds."""
from clusterjax.config import *

def get_config(variant=""):
    config = ExperimentConfig(
        name="tiny",
        data=DataConfig(num_train=256, num_validation=64, num_test=64, data_dir=DATA_DIR),
        model=ModelConfig("baseline", {"widths": (8, 16), "head_kwargs": {"dropout": 0.1}}),
        lr_range=LrRangeConfig(lr_min=1e-5, lr_max=1.0, num_steps=40),
        training=TrainingConfig(num_epochs=3, global_batch_size=32, eval_batch_size=32, log_every_steps=2),
        explain=ExplainConfig(num_cutouts=3, num_steps=16),
        search=SearchConfig(map_size=256, stride=16, batch_size=16, threshold=0.5),
    )
    if variant == "long":
        config.optim.learning_rate = 3e-3
        config.training.num_epochs = 30
        config.training.early_stop_patience = None
        config.training.checkpoint_every_steps = 5
    return config
'''


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("tiny")
    path = folder / "tiny.py"
    path.write_text(f"DATA_DIR = {str(folder / 'datasets')!r}\n" + TINY_CONFIG)
    return path


def program_command(*arguments) -> list[str]:
    return [sys.executable, "-W", "error::RuntimeWarning", "-m", "clusterjax.main", *map(str, arguments)]


def program_environment(num_devices: int) -> dict[str, str]:
    return os.environ | {"XLA_FLAGS": f"{XLA_FLAGS}{num_devices}"}


def _run_program(*arguments, num_devices=2) -> subprocess.CompletedProcess:
    return subprocess.run(
        program_command(*arguments),
        cwd=ROOT,
        env=program_environment(num_devices),
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.fixture(scope="session")
def run_program():
    """``run_program(*arguments, num_devices=2)``: the program in a process of its own, its output captured."""
    return _run_program


@pytest.fixture(scope="session")
def start_program():
    """``start_program(*arguments)``: the same, returned while it runs."""

    def start(*arguments) -> subprocess.Popen:
        return subprocess.Popen(
            program_command(*arguments),
            cwd=ROOT,
            env=program_environment(2),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


@pytest.fixture(scope="session")
def finished_run(tiny_config, run_program):
    """(workdir, what the program printed) of the main job."""
    workdir = tiny_config.parent / "run"
    result = run_program(f"--config={tiny_config}", f"--workdir={workdir}")
    assert result.returncode == 0, result.stderr
    return workdir, result
