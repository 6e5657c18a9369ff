"""A record whose bytes have changed on disk: one line that names the file, or it is left out and named."""

import random
import shutil

import numpy as np
import pytest

from clusterjax.config import DataConfig, ExperimentConfig
from clusterjax.data.sources import open_source
from clusterjax.errors import InputError
from clusterjax.experiment import make_builder

NUM = 20
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # array_record leaves its files to the collector


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("built")
    make_builder(config(folder)).download_and_prepare()
    return folder


def config(folder, **data) -> ExperimentConfig:
    sizes = {"num_train": NUM, "num_validation": 8, "num_test": 8, "simulated_size": 32, "num_processes": 1}
    return ExperimentConfig(data=DataConfig(data_dir=str(folder), **sizes, **data))


@pytest.fixture
def damaged(built, tmp_path):
    """(folder of a copy of which a few bytes differ, its shard)."""
    shutil.copytree(built, tmp_path / "copy")
    (shard,) = (tmp_path / "copy").rglob("*-train.array_record*")
    content = bytearray(shard.read_bytes())
    place = len(content) // 2
    content[place : place + 40] = random.Random(0).randbytes(40)
    shard.write_bytes(content)
    return tmp_path / "copy", shard


def readable(source) -> list[int]:
    found = []
    for index in range(len(source)):
        try:
            source[index]
        except InputError:
            continue
        found.append(index)
    return found


def test_the_file_is_named(damaged):
    folder, shard = damaged
    source = open_source(make_builder(config(folder)), "train")
    good = readable(source)
    assert NUM // 2 < len(good) < NUM
    first = min(set(range(NUM)) - set(good))
    with pytest.raises(InputError, match=rf"record {first} of .*{shard.name} cannot be read \(.*; remove .* build"):
        source[first]


def test_left_out_if_asked_for(built, damaged, capfd):
    folder, shard = damaged
    whole = open_source(make_builder(config(built)), "train")
    good = readable(open_source(make_builder(config(folder)), "train"))
    capfd.readouterr()
    source = open_source(make_builder(config(folder, skip_unreadable=True)), "train")
    assert len(source) == len(good)
    for index, place in enumerate(good):
        np.testing.assert_array_equal(source[index]["image"], whole[place]["image"])
    said = capfd.readouterr().err.splitlines()
    assert len([line for line in said if "left out: record" in line and shard.name in line]) == NUM - len(good)
    assert len(open_source(make_builder(config(folder, skip_unreadable=True)), "validation")) == 8


@pytest.mark.slow
def test_the_program_ends_with_one_line(finished_run, tiny_config, tmp_path, run_program):
    datasets = tiny_config.parent / "datasets"
    shutil.copytree(datasets, tmp_path / "datasets")
    for shard in (tmp_path / "datasets").rglob("*-train.array_record*"):
        content = bytearray(shard.read_bytes())
        content[len(content) // 2 :: 5000] = bytes(len(content[len(content) // 2 :: 5000]))
        shard.write_bytes(content)
    arguments = [f"--config={tiny_config}", f"--config.data.data_dir={tmp_path / 'datasets'}", "--job=train"]
    arguments += [f"--workdir={tmp_path / 'run'}", "--config.optim.learning_rate=1e-3"]
    result = run_program(*arguments)
    assert result.returncode == 2
    assert "array_record" in result.stderr
    assert "cannot be read" in result.stderr
    assert "Traceback" not in result.stderr
