"""Two hosts of four devices train as one of eight does; what one of them suffers, the other learns of."""

import signal
import time

import jax
import numpy as np
import pytest

from clusterjax import jobs
from clusterjax.experiment import load_network
from clusterjax.parallel import make_mesh
from tests.hosts.programs import Programs, load_config, losses, wait_for_step

LAST_STEP = 240


def weights(workdir, step):
    network = load_network(workdir / "checkpoints" / str(step), make_mesh(jax.devices()[:1]))
    return jax.tree.leaves((network.state.params, network.state.model_state))


def assert_same_curve(ours, theirs):
    assert [row[:2] for row in ours] == [row[:2] for row in theirs]
    np.testing.assert_allclose([row[2] for row in ours], [row[2] for row in theirs], rtol=3e-6)


def test_two_hosts_train_as_one(hosts_config, tmp_path):
    jobs.run("train", load_config(hosts_config), workdir=tmp_path / "one")
    with Programs(2, [f"--config={hosts_config}", "--job=train", f"--workdir={tmp_path / 'two'}"]) as programs:
        outputs = programs.outputs()
    assert programs.statuses == [0, 0], outputs
    assert "8 devices of 2 hosts" in outputs[0]
    assert "epoch" not in outputs[1]  # one host speaks
    assert_same_curve(losses(tmp_path / "two"), losses(tmp_path / "one"))
    for ours, theirs in zip(weights(tmp_path / "two", 8), weights(tmp_path / "one", 8), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.fixture(scope="module")
def uninterrupted(hosts_config):
    workdir = hosts_config.parent / "uninterrupted"
    jobs.run("train", load_config(hosts_config, "long"), workdir=workdir)
    return workdir


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_host_that_dies_ends_the_other_and_one_host_goes_on(victim, hosts_config, uninterrupted, tmp_path):
    with Programs(2, [f"--config={hosts_config}:long", "--job=train", f"--workdir={tmp_path}"]) as programs:
        wait_for_step(tmp_path, 30, programs)
        programs.processes[victim].kill()
        killed = time.monotonic()
        output = programs.processes[1 - victim].communicate(timeout=90)[0]
        assert time.monotonic() - killed < 60
    assert programs.processes[1 - victim].returncode not in (0, 2)
    # With host 0 goes the service through which they talk, and jax ends the others at once.
    assert ("another task died" if victim == 0 else "nothing was heard of host 1 for 30 s; start the same") in output
    jobs.run("train", load_config(hosts_config, "long"), workdir=tmp_path)  # on one, of eight devices
    assert_same_curve(losses(tmp_path), losses(uninterrupted))


@pytest.mark.slow
def test_sigterm_on_one_host_saves_and_ends_all_and_two_go_on(hosts_config, uninterrupted, tmp_path):
    arguments = [f"--config={hosts_config}:long", "--job=train", f"--workdir={tmp_path}"]
    with Programs(2, arguments) as programs:
        wait_for_step(tmp_path, 10, programs)
        programs.processes[1].send_signal(signal.SIGTERM)
        outputs = programs.outputs(timeout=90)
    assert programs.statuses == [0, 0], outputs
    assert all("interrupted: SIGTERM at step" in output for output in outputs)
    reached = max(int(path.name) for path in (tmp_path / "checkpoints").iterdir() if path.name.isdigit())
    assert 10 <= reached < LAST_STEP
    assert f"SIGTERM at step {reached};" in outputs[0]
    with Programs(2, arguments) as programs:
        outputs = programs.outputs()
    assert programs.statuses == [0, 0], outputs
    assert_same_curve(losses(tmp_path), losses(uninterrupted))
