"""Builds on Apache Beam: what goes to workers gives the ordinary build's examples; and, in a slow test, Beam itself."""

import dataclasses
import os
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

from clusterjax.config import DataConfig, ExperimentConfig
from clusterjax.data.sources import open_source
from clusterjax.errors import InputError
from clusterjax.experiment import make_builder
from tests.conftest import ROOT
from tests.tfds_builders import beam_builds
from tfds_builders import on_beam
from tfds_builders.labelled_images.labelled_images_dataset_builder import Builder as LabelledImages

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # array_record leaves its files to the collector


@pytest.mark.parametrize("kind", ["microwave", "xray", "maps"])
def test_what_workers_are_given_makes_the_ordinary_examples(tmp_path, kind, monkeypatch):
    """In order, and each shard by itself: the last is made first."""
    monkeypatch.setattr(on_beam, "_SHARD_EXAMPLES", 7)
    builder = make_builder(
        ExperimentConfig(data=dataclasses.replace(getattr(beam_builds, kind)(tmp_path), data_dir=str(tmp_path)))
    )
    builder.download_and_prepare()
    work = builder.beam_work()
    assert [part.split for part in work] == list(builder.info.splits)
    for part in work:
        shards = on_beam._shards(part, example_bytes=1000.0)
        assert max(len(units) for units in shards.values()) <= 7
        made = {name: list(part.make(units)) for name, units in reversed(shards.items())}
        examples = [example for name in shards for example in made[name]]
        source = open_source(builder, part.split)
        assert len(examples) == len(source)
        for example, stored in zip(examples, (source[i] for i in range(len(source))), strict=True):
            assert example.keys() == stored.keys()
            for name, feature in builder.info.features.items():
                value = example[name]
                assert np.array_equal(
                    feature.str2int(value) if isinstance(value, str) else value, stored[name], equal_nan=True
                )
    if kind == "maps":  # some are left out, by the workers
        assert sum(split.num_examples for split in builder.info.splits.values()) < sum(len(one.units) for one in work)
    metadata = dict(builder.info.metadata)
    builder.note_examples()  # of what was written
    assert dict(builder.info.metadata) == metadata


def test_a_shard_has_at_most_its_bytes():
    part = on_beam.Work("train", list, range(100))
    shards = on_beam._shards(part, example_bytes=2e6)
    assert [len(units) for units in shards.values()] == [25] * 4
    assert [unit for units in shards.values() for unit in units] == list(range(100))
    assert len(on_beam._shards(part, example_bytes=1e9)) == 100  # at least one in each


def test_without_beam_or_for_other_data_sets_one_line_says_so(tmp_path):
    config = DataConfig(data_dir=str(tmp_path), num_train=2, num_validation=2, num_test=2, beam="--runner=DirectRunner")
    with pytest.raises(
        InputError, match=r"needs Apache Beam, which is not installed; use uv run --extra beam --no-dev"
    ):
        make_builder(ExperimentConfig(data=config)).download_and_prepare()
    assert not list(tmp_path.rglob("incomplete*"))
    with pytest.raises(InputError, match=r"labelled_images is not built on Beam; leave config\.data\.beam empty"):
        LabelledImages.beam_work(LabelledImages)


@pytest.fixture(scope="module")
def beam_python(tmp_path_factory):
    """Python of an environment with the extra ``beam``, whose NumPy is another than that of the tests."""
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None:
        pytest.skip("uv makes the environment for Beam, and is not here")
    folder = tmp_path_factory.mktemp("beam")
    environment = os.environ | {"UV_PROJECT_ENVIRONMENT": str(folder), "UV_COMPILE_BYTECODE": "0"}
    subprocess.run([uv, "sync", "--extra", "beam", "--no-dev"], cwd=ROOT, env=environment, check=True)
    return folder / "bin" / "python"


def command(python, *arguments) -> list[str]:
    return [str(python), "-m", "tests.tfds_builders.beam_builds", *map(str, arguments)]


RUNNERS = {
    "threads": "--runner=DirectRunner",
    "processes": "--runner=DirectRunner --direct_running_mode=multi_processing --direct_num_workers=2",
    # What a Flink or Spark job server is asked, over gRPC, by one inside this program.
    "portable": "--runner=PortableRunner --job_endpoint=embed --environment_type=LOOPBACK",
}


@pytest.mark.slow
@pytest.mark.parametrize("runner", RUNNERS)
def test_on_beam_every_example_is_that_of_an_ordinary_build(beam_python, tmp_path, runner):
    kinds = ["infrared", "microwave", "xray", "maps", "survey"] if runner == "threads" else ["microwave", "maps"]
    result = subprocess.run(command(beam_python, tmp_path, RUNNERS[runner], *kinds), cwd=ROOT, capture_output=True)
    assert result.returncode == 0, result.stderr.decode()[-3000:]
    lines = result.stdout.decode().splitlines()
    assert [line.split(":")[0] for line in lines] == kinds
    assert all("examples are equal" in line and int(line.split()[-2]) > 8 for line in lines)
    assert not list(tmp_path.rglob("beam-*"))


@pytest.mark.slow
def test_a_killed_build_goes_on_with_the_shards_that_are_missing(beam_python, tmp_path):
    arguments = command(beam_python, tmp_path, RUNNERS["threads"], "slow_infrared")
    process = subprocess.Popen(arguments, cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True)
    while len(done := list(tmp_path.rglob("beam-*/*.json"))) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = list(tmp_path.rglob("beam-*/*.json"))
    result = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    assert f"{len(done)} of 54 shards are in" in result.stderr
    assert "examples are equal" in result.stdout


@pytest.mark.slow
def test_what_a_worker_finds_wrong_is_one_line(beam_python, tmp_path):
    result = subprocess.run(
        command(beam_python, tmp_path, RUNNERS["threads"], "lost_map"), cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: a worker of the Beam pipeline failed: ")
    assert "b.fits" in last
    result = subprocess.run(
        command(beam_python, tmp_path, "--runner=Abacus", "infrared"), cwd=ROOT, capture_output=True, text=True
    )
    assert result.stderr.strip().splitlines()[-1].startswith("error: config.data.beam='--runner=Abacus' is not")
