"""The loop's own doings: early stop, which checkpoints stay, what is logged, a loss that is no number."""

import os
import time

import jax
import numpy as np
import pytest

from clusterjax.config import TrainingConfig
from clusterjax.errors import InputError
from clusterjax.training.checkpoint import Checkpoints, find_checkpoint
from clusterjax.training.loop import TrainingRun, train
from clusterjax.training.writer import MetricWriter, read_metrics


@pytest.fixture
def run_loop(make_setup, make_batches, tmp_path):
    """``run_loop(schedule, losses=..., **config)``; ``losses`` stand in for the validation's, one an epoch. The run
    itself is then ``run_loop.last``."""

    def run(schedule, monkeypatch=None, losses=None, folder=tmp_path, **config):
        setup = make_setup()
        if losses is not None:
            results = iter(losses)
            monkeypatch.setattr(
                "clusterjax.training.loop.evaluate",
                lambda *_: ({"loss": next(results), "accuracy": 0.5}, {}),
            )
        with Checkpoints(folder / "checkpoints") as checkpoints:
            run.last = loop = TrainingRun(
                state=setup.state,
                train_step=setup.train_step,
                eval_step=setup.eval_step,
                batches=make_batches(),
                validation=make_batches().take(2),
                schedule=schedule,
                steps_per_epoch=4,
                config=TrainingConfig(global_batch_size=32, log_every_steps=2, **config),
                checkpoints=checkpoints,
                mesh=setup.mesh,
                about={"note": "kept"},
            )
            progress = train(loop, folder, show_progress=False)
            return progress, checkpoints.latest_step, checkpoints.best_step, checkpoints.about(checkpoints.best_step)

    return run


def test_early_stop_and_the_best_checkpoint(run_loop, monkeypatch, tmp_path):
    losses = [0.6, 0.4, 0.5, 0.45, 0.1]
    progress, latest, best, about = run_loop(lambda _: 1e-3, monkeypatch, losses, num_epochs=5, early_stop_patience=2)
    assert progress.epoch == 4  # two epochs without gain after the second
    assert progress.best_loss == 0.4
    assert (latest, best) == (16, 8)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir() if path.name.isdigit()) == ["16", "8"]
    assert about["note"] == "kept"
    assert find_checkpoint(tmp_path) == (tmp_path / "checkpoints", 8)
    assert find_checkpoint(tmp_path / "checkpoints" / "16") == (tmp_path / "checkpoints", 16)


def test_schedule_is_asked_once_an_epoch(run_loop, tmp_path):
    """Not once a step, where its arithmetic would wait for the device."""
    asked = []

    def schedule(steps):
        asked.append(np.asarray(steps).tolist())
        return 1e-3 / (1 + steps)

    run_loop(schedule, num_epochs=2, early_stop_patience=None)
    assert asked == [[0, 1, 2, 3], [4, 5, 6, 7]]
    rates = [row["learning_rate"] for row in read_metrics(tmp_path) if row["split"] == "train"]
    np.testing.assert_allclose(rates, [1e-3 / 2, 1e-3 / 4, 1e-3 / 6, 1e-3 / 8], rtol=1e-6)


def test_relative_folder(make_setup, tmp_path, monkeypatch):
    """As of the default workdir, runs/NAME."""
    monkeypatch.chdir(tmp_path)
    state = make_setup().state
    with Checkpoints("runs/name/checkpoints") as checkpoints:
        checkpoints.save(3, state, about={}, metrics={"loss": 0.5})
        checkpoints.wait()
    folder, step = find_checkpoint("runs/name")
    with Checkpoints(folder) as checkpoints:
        restored = checkpoints.restore(step, state)
    jax.tree.map(np.testing.assert_array_equal, restored.state, state)


def test_what_is_logged(run_loop, tmp_path):
    run_loop(lambda step: 1e-3 / (1 + step), num_epochs=2, early_stop_patience=None)
    rows = read_metrics(tmp_path)
    train_rows = [row for row in rows if row["split"] == "train"]
    assert [row["step"] for row in train_rows] == [2, 4, 6, 8]
    np.testing.assert_allclose([row["learning_rate"] for row in train_rows], [1e-3 / row["step"] for row in train_rows])
    assert [row["step"] for row in rows if row["split"] == "validation"] == [4, 8]
    assert {"epoch", "loss", "accuracy", "grad_norm", "images_per_second"} <= set(train_rows[0])
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_a_loss_that_is_no_number_ends_it(run_loop):
    with pytest.raises(InputError, match=r"training loss is nan at step \d+ with learning rate inf; lower"):
        run_loop(lambda _: float("inf"), num_epochs=3)


class PowerCut(Exception):
    """Ends the loop between two epochs."""


def test_a_clock_that_jumps(run_loop, monkeypatch, tmp_path):
    """Back by three years an epoch, and forward by ten while it was off: the same weights from the right checkpoint.

    Not within a save: Orbax measures how long it waits by the same clock, and gives it up.
    """
    config = {"num_epochs": 4, "early_stop_patience": None}
    run_loop(lambda _: 1e-2, folder=tmp_path / "whole", **config)
    whole = run_loop.last.state
    now, back = time.time, [0.0]
    monkeypatch.setattr("time.time", lambda: now() - back[0])
    monkeypatch.setattr("time.time_ns", lambda: int(1e9 * (now() - back[0])))

    def set_back(steps):
        run_loop.last.checkpoints.wait()
        back[0] += 1e8
        if steps[0] == 8:
            raise PowerCut
        return 1e-2

    with pytest.raises(PowerCut):
        run_loop(set_back, folder=tmp_path / "cut", **config)
    back[0] = -3e8
    for path in (tmp_path / "cut").rglob("*"):  # of a time that has not been yet
        os.utime(path, (3e9, 3e9))
    run_loop(lambda _: 1e-2, folder=tmp_path / "cut", **config)
    jax.tree.map(np.testing.assert_array_equal, run_loop.last.state, whole)
    rows = read_metrics(tmp_path / "cut")
    assert [row["step"] for row in rows if row["split"] == "train"] == [2, 4, 6, 8, 10, 12, 14, 16]
    assert all(row["images_per_second"] > 0 for row in rows if row["split"] == "train")


def test_rows_of_steps_taken_again_are_dropped(tmp_path):
    with MetricWriter(tmp_path) as writer:
        for step in range(1, 6):
            writer.write(step, "train", loss=float(step))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "sp')  # a kill cut this line short
    assert [row["step"] for row in read_metrics(tmp_path)] == [1, 2, 3, 4, 5]
    with MetricWriter(tmp_path, first_step=3) as writer:
        writer.write(4, "train", loss=-4.0)
    assert [(row["step"], row["loss"]) for row in read_metrics(tmp_path)] == [(1, 1.0), (2, 2.0), (3, 3.0), (4, -4.0)]
