"""Where the other hosts are: flags, environment, and mistakes in one line."""

import os
import socket

import jax
import pytest

from clusterjax.errors import InputError
from clusterjax.joining import find_hosts, initialise_distributed


@pytest.fixture(autouse=True)
def no_hosts_in_the_environment(monkeypatch):
    for name in ("COORDINATOR", "NUM_HOSTS", "HOST_INDEX"):
        monkeypatch.delenv(f"CLUSTERJAX_{name}", raising=False)
    monkeypatch.setenv("XLA_FLAGS", os.environ["XLA_FLAGS"])  # joining adds to them


def test_hosts_by_flags_environment_or_both(monkeypatch):
    assert find_hosts(None, None, None) is None
    assert find_hosts("node0:8476", 2, 1) == ("node0:8476", 2, 1)
    monkeypatch.setenv("CLUSTERJAX_COORDINATOR", "[::1]:99")
    monkeypatch.setenv("CLUSTERJAX_NUM_HOSTS", "3")
    monkeypatch.setenv("CLUSTERJAX_HOST_INDEX", "2")
    assert find_hosts(None, None, None) == ("[::1]:99", 3, 2)
    assert find_hosts(None, None, 0) == ("[::1]:99", 3, 0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("node0:8476", None, None), r"missing: --num_hosts \(or CLUSTERJAX_NUM_HOSTS\), --host_index"),
        ((None, 2, 0), r"missing: --coordinator \(or CLUSTERJAX_COORDINATOR\)$"),
        (("node0", 2, 0), "--coordinator=node0 is no HOST:PORT"),
        ((":8476", 2, 0), "is no HOST:PORT"),
        (("node0:70000", 2, 0), "is no HOST:PORT"),
        (("node0:8476", 2, 2), "--host_index=2 is not in 0 to 1, of --num_hosts=2"),
        (("node0:8476", 2, -1), "--host_index=-1 is not in 0 to 1"),
    ],
)
def test_a_part_that_is_missing_or_wrong_is_named(given, message):
    with pytest.raises(InputError, match=message):
        find_hosts(*given)


def test_a_number_in_the_environment_that_is_none_is_named(monkeypatch):
    monkeypatch.setenv("CLUSTERJAX_NUM_HOSTS", "two")
    with pytest.raises(InputError, match="--num_hosts=two is no whole number"):
        find_hosts("node0:8476", None, 0)


def test_a_coordinator_that_does_not_answer_is_told():
    with socket.socket() as bound:  # and not listening
        bound.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(InputError, match=f"the coordinator {place} does not answer after 0 s"):
            initialise_distributed(place, 2, 1, timeout_s=0)


def test_jax_is_told_who_there_is(monkeypatch):
    asked = {}
    monkeypatch.setattr(jax.distributed, "initialize", lambda **parts: asked.update(parts))
    initialise_distributed("node0:8476", 2, 0)
    assert (asked["coordinator_address"], asked["num_processes"], asked["process_id"]) == ("node0:8476", 2, 0)


def test_no_hosts_to_be_found_is_told(monkeypatch):
    def initialize(**_):
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    with pytest.raises(InputError, match="finds neither a TPU pod, Slurm nor Open MPI here; give --coordinator"):
        initialise_distributed()
