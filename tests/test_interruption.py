"""Interrupted at any step, the same command goes on to the same weights, bit for bit."""

import json
import signal
import time

import jax
import numpy as np
import pytest

from clusterjax.experiment import load_network
from clusterjax.parallel import make_mesh

LAST_STEP = 240


def final_weights(workdir):
    network = load_network(workdir / "checkpoints" / str(LAST_STEP), make_mesh(jax.devices()[:1]))
    return jax.tree.leaves((network.state.params, network.state.model_state))


@pytest.fixture(scope="module")
def uninterrupted(tiny_config, run_program):
    workdir = tiny_config.parent / "uninterrupted"
    result = run_program(f"--config={tiny_config}:long", "--job=train", f"--workdir={workdir}")
    assert result.returncode == 0, result.stderr
    return workdir


def steps_logged(workdir) -> int:
    path = workdir / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return len(lines)


@pytest.mark.parametrize(
    ("signum", "exit_status"),
    [
        pytest.param(signal.SIGINT, 130, id="ctrl-c", marks=pytest.mark.slow),  # as term
        pytest.param(signal.SIGTERM, 0, id="term"),
        pytest.param(signal.SIGKILL, -9, id="kill-9"),
    ],
)
def test_goes_on_to_the_same_weights(
    signum, exit_status, uninterrupted, tiny_config, tmp_path, run_program, start_program
):
    arguments = [f"--config={tiny_config}:long", "--job=train", f"--workdir={tmp_path}"]
    program = start_program(*arguments)
    deadline = time.monotonic() + 300
    while steps_logged(tmp_path) < 20 and time.monotonic() < deadline:
        assert program.poll() is None, program.communicate()[0]
        time.sleep(0.02)
    program.send_signal(signum)
    output, _ = program.communicate(timeout=120)
    assert program.returncode == exit_status, output
    assert "Traceback" not in output
    if signum != signal.SIGKILL:
        assert f"interrupted: {signal.Signals(signum).name} at step" in output
    reached = max(int(path.name) for path in (tmp_path / "checkpoints").iterdir() if path.name.isdigit())
    assert 0 < reached < LAST_STEP

    result = run_program(*arguments)
    assert result.returncode == 0, result.stderr
    for ours, theirs in zip(final_weights(tmp_path), final_weights(uninterrupted), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    expected = [json.loads(line) for line in (uninterrupted / "metrics.jsonl").read_text().splitlines()]
    assert [(row["step"], row["split"], row["loss"]) for row in rows] == [
        (row["step"], row["split"], row["loss"]) for row in expected
    ]
