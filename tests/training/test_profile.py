"""A trace of a few steps of training."""

import gzip
import json
import logging

import jax
import jax.numpy as jnp

from clusterjax.jobs.learning import open_profile
from clusterjax.training.profile import FIRST_STEP, NUM_STEPS, Profile


def take_steps(profile, number):
    step = jax.jit(lambda x: jnp.sin(x @ x))
    x = jnp.eye(64)
    with profile:
        for _ in range(number):
            profile.before_step(x)
            x = step(x)


def test_a_trace_that_perfetto_reads(tmp_path):
    take_steps(Profile(tmp_path / "profile"), FIRST_STEP + NUM_STEPS + 3)
    (perfetto,) = (tmp_path / "profile").rglob("perfetto_trace.json.gz")
    events = json.loads(gzip.decompress(perfetto.read_bytes()))["traceEvents"]
    # jax's own word for a call of a compiled function; the steps before and after are not there.
    calls = [event for event in events if str(event.get("name", "")).startswith("PjitFunction")]
    assert len(calls) in (NUM_STEPS, 2 * NUM_STEPS)  # it may be said twice of each
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))


def test_training_that_is_too_short_or_ends_within(tmp_path, caplog, capsys):
    with caplog.at_level(logging.WARNING):
        take_steps(Profile(tmp_path / "none"), FIRST_STEP)
    assert "no trace: training took 5 steps" in caplog.text
    assert not (tmp_path / "none").exists()
    take_steps(Profile(tmp_path / "some"), FIRST_STEP + 2)
    assert list((tmp_path / "some").rglob("*.xplane.pb"))
    open_profile(tmp_path / "some")
    assert "some holds an earlier trace, which stays" in capsys.readouterr().err
