"""Checkpoints of other versions of the code."""

import jax
import numpy as np
import pytest

from clusterjax.errors import InputError
from clusterjax.training import checkpoint
from clusterjax.training.checkpoint import Checkpoints


def write(folder, state, monkeypatch, format_number):
    """As code of that format would; None: as before there were formats."""
    if format_number is None:
        save = checkpoint.ocp.training.Checkpointer.save_checkpointables_async

        def without(self, *args, custom_metadata, **kwargs):
            custom_metadata = {
                key: value for key, value in custom_metadata.items() if key not in ("format", "software")
            }
            return save(self, *args, custom_metadata=custom_metadata, **kwargs)

        monkeypatch.setattr(checkpoint.ocp.training.Checkpointer, "save_checkpointables_async", without)
    else:
        monkeypatch.setattr(checkpoint, "FORMAT", format_number)
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(3, state, about={"note": "kept"}, metrics={"loss": 0.5})
        checkpoints.wait()
    monkeypatch.undo()


@pytest.mark.parametrize("format_number", [None, checkpoint.FORMAT])
def test_older_ones_and_this_ones_are_read(format_number, make_setup, tmp_path, monkeypatch):
    state = make_setup().state
    write(tmp_path, state, monkeypatch, format_number)
    with Checkpoints(tmp_path) as checkpoints:
        about, restored = checkpoints.about(3), checkpoints.restore(3, state)
    assert about.get("format") == format_number
    assert about["note"] == "kept"
    jax.tree.map(np.testing.assert_array_equal, restored.state, state)


def test_newer_ones_say_what_to_do(make_setup, tmp_path, monkeypatch):
    state = make_setup().state
    write(tmp_path, state, monkeypatch, checkpoint.FORMAT + 1)
    with Checkpoints(tmp_path) as checkpoints:
        for read in (lambda: checkpoints.about(3), lambda: checkpoints.restore(3, state)):
            with pytest.raises(InputError, match=r"3 has format 2, of clusterjax [\d.]+; .* reads up to 1: update it"):
                read()
