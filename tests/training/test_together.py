"""Runs trained at once against the same runs alone: weights, early stops, interruption."""

import signal
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from clusterjax.config import AugmentConfig, OptimConfig, TrainingConfig
from clusterjax.data.device_augment import make_train_transform
from clusterjax.data.preprocess import Preprocess
from clusterjax.data.statistics import fit_band_statistics
from clusterjax.models import kernels
from clusterjax.parallel import make_mesh
from clusterjax.training import together
from clusterjax.training.checkpoint import Checkpoints
from clusterjax.training.interruption import Interrupted
from clusterjax.training.loop import TrainingRun, train
from clusterjax.training.schedules import Plateau
from clusterjax.training.step import compile_update, make_evaluation, make_update, with_seed
from clusterjax.training.together import MembersStep, MembersValidation, side_by_side, sooner_at_once, train_together
from clusterjax.training.writer import read_metrics

STEPS_PER_EPOCH = 4


class Members:
    """Runs with seeds 0, 1, ... of one structure, each with its own batches, in folders of ``path``."""

    def __init__(self, path, make_setup, make_batches, *, num, devices, **config):
        self.path, self.make_batches, self.num = path, make_batches, num
        self.setups = [make_setup(devices, optim=OptimConfig(name="sgd"), seed=seed) for seed in range(num)]
        first = self.setups[0]
        self.mesh = first.mesh
        # As jobs train: normalised (with a loop for the median) and augmented within the program.
        preprocess = Preprocess((0, 1), fit_band_statistics(make_batches().take(1)[0]["image"], ("a", "b")))
        prepare = make_train_transform(preprocess, AugmentConfig())
        self.update = make_update(first.graphdef, first.tx, prepare=prepare)
        self.compiled = compile_update(self.update, self.mesh)
        self.shared = make_batches().take(2)
        self.config = TrainingConfig(global_batch_size=32, **{"log_every_steps": 2, "num_epochs": 2, **config})

    def run(self, seed, checkpoints):
        batches = self.make_batches()
        batches.next = 100 * seed
        setup = self.setups[seed]
        return TrainingRun(
            state=jax.tree.map(jnp.copy, setup.state),
            train_step=with_seed(self.compiled, self.mesh, seed),
            eval_step=self.setups[0].eval_step,
            batches=batches,
            validation=self.split(seed),
            schedule=lambda steps: 1e-2 / (1 + steps),
            plateau=Plateau.from_config(OptimConfig(plateau_patience=1), 1e-2),
            steps_per_epoch=STEPS_PER_EPOCH,
            config=self.config,
            checkpoints=checkpoints,
            mesh=self.mesh,
            about={},
        )

    def split(self, seed):
        """One for the first two runs; others have another, with a batch more and a padded one."""
        if seed < 2:
            return self.shared
        batches = self.make_batches()
        batches.next = 50
        split = batches.take(3)
        split[-1] = split[-1] | {"valid": np.arange(len(split[-1]["valid"])) < 5}
        return split

    def alone(self, seed):
        folder = self.path / f"alone_{seed}"
        with Checkpoints(folder / "checkpoints") as checkpoints:
            run = self.run(seed, checkpoints)
            train(run, folder, show_progress=False)
        return run, folder

    def together(self, change=lambda runs: None, validation=None):
        folders = [self.path / f"member_{seed}" for seed in range(self.num)]
        step = MembersStep(self.update, self.mesh, range(self.num))
        checkpoints = [Checkpoints(folder / "checkpoints") for folder in folders]
        runs = [self.run(seed, each) for seed, each in enumerate(checkpoints)]
        change(runs)
        if validation is None:
            validation = MembersValidation(make_evaluation(self.setups[0].graphdef), self.mesh, self.num)
        try:
            train_together(runs, step, validation, folders, show_progress=False)
        finally:
            for each in checkpoints:
                each.__exit__(None, None, None)
        return runs, folders


def assert_same(state, other, **tolerance):
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


@pytest.mark.parametrize(("num", "devices"), [(3, 1), (2, 2), (2, 8)])
def test_a_member_is_its_lone_run(tmp_path, make_setup, make_batches, num, devices):
    """With one device; a member a device; all devices on each batch."""
    members = Members(tmp_path, make_setup, make_batches, num=num, devices=jax.devices()[:devices], num_epochs=1)
    runs, folders = members.together()
    for seed, (run, folder) in enumerate(zip(runs, folders, strict=True)):
        lone, lone_folder = members.alone(seed)
        assert_same(run.state, lone.state, rtol=2e-3, atol=2e-5)
        rows, lone_rows = read_metrics(folder), read_metrics(lone_folder)
        for row, lone_row in zip(rows, lone_rows, strict=True):
            assert row.pop("split") == lone_row.pop("split")
            row.pop("images_per_second", None), lone_row.pop("images_per_second", None)
            assert row == pytest.approx(lone_row, rel=2e-3)
    losses = [row["loss"] for folder in folders for row in read_metrics(folder)]
    assert len(set(losses)) == len(losses)


def test_a_split_that_several_have_is_read_once():
    class Split(list):
        read = 0

        def __iter__(self):
            self.read += 1
            return super().__iter__()

    one = {"image": np.zeros((4, 8, 8, 2), np.float32), "label": np.zeros(4, np.int32), "valid": np.ones(4, bool)}
    shared, other = Split([one, one]), Split([one])
    batches = list(side_by_side([shared, other, shared]))
    assert (shared.read, other.read) == (1, 1)
    assert [[int(batch["valid"].sum()) for batch in each] for each in batches] == [[4, 4, 4], [4, 0, 4]]


def test_one_stops_early_and_the_others_go_on(tmp_path, make_setup, make_batches):
    members = Members(
        tmp_path, make_setup, make_batches, num=2, devices=jax.devices()[:1], num_epochs=3, early_stop_patience=1
    )
    losses = iter([(0.5, 0.5), (0.6, 0.4), (0.1, 0.3)])  # what becomes of one that has stopped does not matter
    runs, _ = members.together(validation=lambda *_: [{"loss": loss, "accuracy": 0.5} for loss in next(losses)])
    assert [run.progress.best_loss for run in runs] == [0.5, 0.3]
    assert [run.progress.epoch for run in runs] == [2, 3]
    assert [int(run.state.step) for run in runs] == [2 * STEPS_PER_EPOCH, 3 * STEPS_PER_EPOCH]


def test_stopped_and_killed_between_two_saves_it_ends_with_the_same_weights(tmp_path, make_setup, make_batches):
    whole = Members(tmp_path / "whole", make_setup, make_batches, num=2, devices=jax.devices()[:1])
    wanted, _ = whole.together()
    parts = Members(tmp_path / "parts", make_setup, make_batches, num=2, devices=jax.devices()[:1])

    def interrupt(runs):
        """After the first run's sixth batch, in the second epoch."""
        batches = runs[0].batches

        class Stopping(type(batches)):
            def __next__(self):
                if self.next == 6:
                    signal.raise_signal(signal.SIGTERM)
                return super().__next__()

        batches.__class__ = Stopping

    with pytest.raises(Interrupted, match="at step 7"):
        parts.together(interrupt)

    class Killed(Exception):
        pass

    def kill(runs):
        def save(*_, **__):
            raise Killed

        runs[1].save = save  # the first run is a checkpoint ahead

    with pytest.raises(Killed):
        parts.together(kill)
    runs, folders = parts.together()
    for run, other, folder in zip(runs, wanted, folders, strict=True):
        assert_same(run.state, other.state, rtol=0, atol=0)
        assert [row["step"] for row in read_metrics(folder) if row["split"] == "validation"] == [4, 8]


def test_products_are_what_the_convolutions_give(tmp_path, make_setup, make_batches, monkeypatch):
    """On a GPU the runs at once compute in other forms than each alone."""
    members = Members(tmp_path, make_setup, make_batches, num=2, devices=jax.devices()[:1])
    products = mock.Mock(wraps=kernels.pixels_seen)
    with monkeypatch.context() as patched:
        patched.setattr(kernels, "_on", lambda *names: "gpu" in names)
        patched.setattr(kernels, "pixels_seen", products)
        runs, _ = members.together()
    num_kernels = sum(leaf.ndim == 4 for leaf in jax.tree.leaves(runs[0].state.params))
    assert products.call_count == 2 * num_kernels  # traced in training, and in validation
    for seed, run in enumerate(runs):
        alone, _ = members.alone(seed)
        for ours, own in zip(jax.tree.leaves(run.state.params), jax.tree.leaves(alone.state.params), strict=True):
            np.testing.assert_allclose(ours, own, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("platform", "number", "devices", "mebibytes", "expected"),
    [
        ("cpu", 2, 1, 80, False),
        ("tpu", 3, 2, 80, True),
        ("gpu", 4, 1, 2, True), ("gpu", 4, 1, 1, False), ("gpu", 4, 2, 1, True), ("gpu", 3, 2, 80, False),
    ],
)  # fmt: skip
def test_when_it_pays(monkeypatch, platform, number, devices, mebibytes, expected):
    def update(key, state, batch):
        # 8 images x 256 pixels x 18 values x 4 bytes are 0.14 MiB, twice as much for each of four 1.125.
        return kernels.convolve(batch["image"], state, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    mesh = make_mesh(jax.devices()[:devices])
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    monkeypatch.setattr(together, "_memory", lambda device: mebibytes * 2**20)
    batch = {"image": jax.ShapeDtypeStruct((8, 16, 16, 2), np.float32)}
    state = jax.ShapeDtypeStruct((3, 3, 2, 5), np.float32)
    assert sooner_at_once(update, number, mesh, state, batch) == expected
