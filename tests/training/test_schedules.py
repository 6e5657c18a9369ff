"""Rates by epoch and by step, and the plateau: against closed forms, PyTorch, and through an interruption."""

import json

import jax
import numpy as np
import pytest

from clusterjax.config import OptimConfig, TrainingConfig
from clusterjax.errors import InputError
from clusterjax.training.checkpoint import Checkpoints
from clusterjax.training.loop import TrainingRun, train
from clusterjax.training.schedules import Plateau, make_schedule
from clusterjax.training.writer import read_metrics

STEPS, EPOCHS, RATE = 10, 8, 0.2


def rates(**config):
    schedule = make_schedule(OptimConfig(**config), learning_rate=RATE, steps_per_epoch=STEPS, num_epochs=EPOCHS)
    return np.broadcast_to(schedule(np.arange(STEPS * EPOCHS)), STEPS * EPOCHS)


T = np.arange(STEPS * EPOCHS)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"schedule": "constant"}, np.full(len(T), RATE)),
        ({"schedule": "exponential", "decay_per_epoch": 0.8}, RATE * 0.8 ** (T // STEPS)),
        ({"schedule": "step", "step_epochs": 3.0, "step_factor": 0.1}, RATE * 0.1 ** (T // 30)),
        ({"schedule": "cosine"}, RATE * (1 + np.cos(np.pi * T / 80)) / 2),
        (
            {"schedule": "cosine", "warmup_epochs": 2.0},
            np.where(T < 20, RATE * T / 20, RATE * (1 + np.cos(np.pi * (T - 20) / 60)) / 2),
        ),
        ({"schedule": "constant", "decay_per_step": 0.05}, RATE / (1 + 0.05 * T)),  # Keras's decay
    ],
)
def test_closed_forms(config, expected):
    np.testing.assert_allclose(rates(**config), expected, rtol=2e-5, atol=1e-7)


def test_unknown_schedule():
    with pytest.raises(InputError, match="use constant, exponential, step or cosine"):
        rates(schedule="linear")


def scales(values, metric="loss", **config):
    plateau = Plateau.from_config(OptimConfig(plateau_metric=metric, **config), learning_rate=RATE)
    state, seen = plateau.start(), []
    for value in values:
        # As a checkpoint keeps it.
        state = json.loads(json.dumps(plateau.after(state, {"loss": value, "accuracy": value})))
        seen.append(state["scale"])
    return seen


def test_plateau_is_pytorchs():
    """ReduceLROnPlateau(factor=0.5, patience=1), whose patience is the epochs that it forgives."""
    losses = [1.0, 0.9, 0.91, 0.92, 0.93, 0.8, 0.85, 0.86, 0.87, 0.88, 0.79]
    expected = [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]
    assert scales(losses, plateau_patience=2, plateau_factor=0.5) == expected
    accuracies = [1 - loss for loss in losses]
    assert scales(accuracies, "accuracy", plateau_patience=2, plateau_factor=0.5) == expected


def test_plateau_has_a_floor_and_takes_nan_for_no_gain():
    config = {"plateau_patience": 1, "plateau_factor": 0.1, "plateau_min_rate": RATE / 50}
    np.testing.assert_allclose(scales([1.0, np.nan, 1.0, 1.0, 1.0], **config), [1, 0.1, 0.02, 0.02, 0.02], rtol=1e-6)
    assert scales([1.0] * 3, plateau_patience=1, plateau_min_rate=10 * RATE) == [1.0] * 3
    assert Plateau.from_config(OptimConfig(), learning_rate=RATE) is None


class PowerCut(Exception):
    """Ends the loop between two epochs."""


def test_an_interrupted_run_ends_with_the_same_weights(make_setup, make_batches, tmp_path, monkeypatch):
    losses = [0.6, 0.5, 0.55, 0.52, 0.51, 0.4]
    done = iter(losses)
    monkeypatch.setattr("clusterjax.training.loop.evaluate", lambda *_: ({"loss": next(done), "accuracy": 0.5}, {}))

    def run(folder, stop_before=None):
        def schedule(steps):
            if stop_before is not None and steps[0] == 4 * stop_before:
                raise PowerCut
            return 1e-2 / (1 + steps)

        setup = make_setup()
        with Checkpoints(folder / "checkpoints") as checkpoints:
            loop = TrainingRun(
                state=setup.state,
                train_step=setup.train_step,
                eval_step=setup.eval_step,
                batches=make_batches(),
                validation=[],
                schedule=schedule,
                steps_per_epoch=4,
                config=TrainingConfig(num_epochs=6, global_batch_size=32, log_every_steps=2, early_stop_patience=None),
                checkpoints=checkpoints,
                mesh=setup.mesh,
                about={},
                plateau=Plateau("loss", 0.5, 2, 0.0),
            )
            train(loop, folder, show_progress=False)
        return loop.state

    whole = run(tmp_path / "whole")
    done = iter(losses)
    with pytest.raises(PowerCut):  # one epoch into the plateau's patience
        run(tmp_path / "cut", 3)
    resumed = run(tmp_path / "cut")
    jax.tree.map(np.testing.assert_array_equal, resumed, whole)
    rows = [row for row in read_metrics(tmp_path / "cut") if row["split"] == "train"]
    scale = [1, 1, 1, 1, 0.5, 0.5]
    expected = [scale[(row["step"] - 1) // 4] * 1e-2 / row["step"] for row in rows]
    np.testing.assert_allclose([row["learning_rate"] for row in rows], expected, rtol=1e-6)
    assert [row["learning_rate"] for row in rows] == [
        row["learning_rate"] for row in read_metrics(tmp_path / "whole") if row["split"] == "train"
    ]
