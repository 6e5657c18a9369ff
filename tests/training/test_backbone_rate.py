"""Frozen backbones and backbones with a rate of their own: what moves, and by how much."""

import jax
import numpy as np
import pytest

from clusterjax.config import OptimConfig
from clusterjax.training.optim import with_learning_rate
from clusterjax.training.schedules import make_backbone_schedule


def updates(setup, batch, backbone_rate):
    """How far one step moves each parameter."""
    before = jax.tree.map(np.array, setup.state.params)
    state, _ = setup.train_step(with_learning_rate(setup.state, 0.1, backbone_rate), batch)
    return jax.tree.map(lambda new, old: np.asarray(new) - old, state.params, before)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("factor", [0.0, 0.25])
def test_backbone_moves_by_its_own_rate(make_setup, make_batches, name, factor):
    config = OptimConfig(name=name, frozen_epochs=1.0, backbone_rate=0.25, weight_decay=0.1 * (name == "adamw"))
    batch = next(make_batches())
    whole = updates(make_setup(optim=config, dropout=0.0), batch, 1.0)
    part = updates(make_setup(optim=config, dropout=0.0), batch, factor)
    jax.tree.map(np.testing.assert_array_equal, part["head"], whole["head"])
    for moved, all_moved in zip(jax.tree.leaves(part["backbone"]), jax.tree.leaves(whole["backbone"]), strict=True):
        np.testing.assert_allclose(moved, factor * all_moved, atol=1e-6)
    # The head's last layer starts at zero, so that nothing reaches the backbone before its first step: Adam's and
    # SGD's whole update is zero there, but the decay's is not.
    assert np.any(whole["head"]["linear"]["kernel"])


def test_second_step_reaches_the_backbone(make_setup, make_batches):
    batches = make_batches()
    moved = {}
    for factor in (0.0, 1.0):
        setup = make_setup(optim=OptimConfig(frozen_epochs=1.0), dropout=0.0)
        before = np.array(setup.state.params["backbone"]["blocks"][0]["conv"]["kernel"])
        state = setup.state
        for batch in batches.take(3):
            state, _ = setup.train_step(with_learning_rate(state, 0.01, factor), batch)
        moved[factor] = np.abs(np.asarray(state.params["backbone"]["blocks"][0]["conv"]["kernel"]) - before).max()
    assert moved[0.0] == 0
    assert moved[1.0] > 1e-3


def test_schedule():
    schedule = make_backbone_schedule(OptimConfig(frozen_epochs=1.5, backbone_rate=0.1), steps_per_epoch=10)
    assert [float(schedule(step)) for step in (0, 14)] == [0.0, 0.0]
    assert [float(schedule(step)) for step in (15, 1000)] == pytest.approx([0.1, 0.1])
    assert float(make_backbone_schedule(OptimConfig(), steps_per_epoch=10)(0)) == 1.0
