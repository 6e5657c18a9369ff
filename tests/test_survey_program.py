"""A survey as a user runs it: built through servers that die, taken up without refetching, trained on and scored."""

import dataclasses
import functools
import json
import signal
import time

import numpy as np
import pytest
from astropy.table import Table

from clusterjax import jobs
from clusterjax.config import ModelConfig
from clusterjax.recipes import infrared_survey, shrink_survey_to_smoke
from tests.local_server import Answer, LocalServer
from tests.survey_sky import patch_of_sky, respond, survey_mirrors

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # array_record leaves its files to the collector

TABLES = {
    "J/A+A/594/A27/psz2": patch_of_sky(150, 0, z=0.3, MSZ=5.0),
    "J/ApJS/240/33/table3": patch_of_sky(60, 1, Photz=1.0),
    "I/259/tyc2": patch_of_sky(200, 2),
}
CONFIG = """
from clusterjax.config import ModelConfig
from clusterjax.recipes import infrared_survey, shrink_survey_to_smoke

def get_config(variant=""):
    config = infrared_survey("tiny_survey", ModelConfig("baseline", {"widths": (8, 16)}))
    shrink_survey_to_smoke(config)
    config.training.num_epochs = 1
    return config
"""
ANSWER = functools.partial(respond, tables=TABLES)


@pytest.fixture(scope="module")
def server():
    with LocalServer(ANSWER) as running:
        yield running


def survey_settings(server, folder):
    return {
        "catalogues": ("psz2",), "negatives": ("tycho2",), "held_out": ("madcows",), "attempts": 1,
        "max_objects": 60, "cache_dir": str(folder / "downloads"), "mirrors": survey_mirrors(server.url),
    }  # fmt: skip


@pytest.fixture
def arguments(server, tmp_path):
    server.asked.clear()
    config = tmp_path / "tiny_survey.py"
    config.write_text(CONFIG)
    return [
        f"--config={config}",
        f"--workdir={tmp_path / 'run'}",
        f"--config.data.data_dir={tmp_path / 'data'}",
        "--config.data.simulated_size=24",
        *(f"--config.data.survey.{name}={value}" for name, value in survey_settings(server, tmp_path).items()),
    ]


def in_cache(folder):
    path = folder / "downloads" / "manifest.jsonl"
    return [json.loads(line)["url"] for line in path.read_text().splitlines()] if path.exists() else []


def test_a_build_that_broke_off_goes_on_and_is_trained_on(server, arguments, tmp_path, run_program):
    server.respond = lambda asked: ANSWER(asked) if len(server.asked) <= 100 else Answer(status=503)
    result = run_program(*arguments, "--job=build", num_devices=1)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("error:"))
    assert "status 503" in line
    had = len(in_cache(tmp_path))
    assert 60 < had <= 100
    server.asked.clear()
    server.respond = ANSWER
    # Here and not as a program, which would start jax once more.
    config = infrared_survey("tiny_survey", ModelConfig("baseline", {"widths": (8, 16)}))
    shrink_survey_to_smoke(config)
    config.training.num_epochs = 1
    config.data.data_dir, config.data.simulated_size = str(tmp_path / "data"), 24
    config.data.survey = dataclasses.replace(config.data.survey, **survey_settings(server, tmp_path))
    jobs.run("train", config, workdir=tmp_path / "run")
    urls = in_cache(tmp_path)
    assert len(urls) == len(set(urls)) == had + len(server.asked)
    assert list((tmp_path / "run" / "checkpoints").iterdir())


@pytest.mark.slow
def test_interrupted_then_scored_then_without_a_network(server, arguments, tmp_path, run_program, start_program):
    server.respond = lambda asked: Answer(ANSWER(asked).body, delay_s=0.05)
    process = start_program(*arguments, "--job=build")
    until = time.monotonic() + 60
    while len(server.asked) < 20 and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=30)[0]
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert "interrupted" in output
    had = len(in_cache(tmp_path))
    assert had >= 10
    server.asked.clear()
    server.respond = ANSWER
    result = run_program(*arguments, num_devices=1)
    assert result.returncode == 0, result.stderr
    assert len(in_cache(tmp_path)) == had + len(server.asked)
    metrics = json.loads((tmp_path / "run" / "evaluation" / "metrics.json").read_text())
    assert {"validation", "test", "test_madcows"} <= set(metrics)
    held_out = Table.read(tmp_path / "run" / "evaluation" / "predictions_test_madcows.fits")
    assert 0 < np.sum(held_out["label"]) < len(held_out)
    assert (tmp_path / "run" / "report" / "index.html").exists()
    server.asked.clear()
    result = run_program(*arguments, "--job=build", num_devices=1)
    assert result.returncode == 0, result.stderr
    card = (tmp_path / "run" / "data_card" / "index.html").read_text()
    assert "test_madcows" in card
    cold = [*arguments, f"--config.data.survey.cache_dir={tmp_path / 'cold'}", "--config.data.survey.offline=True"]
    result = run_program(*cold, "--job=build", num_devices=1)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("error: https://vizier.cds.unistra.fr/")
    assert "is not in the cache" in result.stderr
    assert "Traceback" not in result.stderr
    assert not server.asked
