"""A run goes on with other devices, or other hosts, and with the very next examples."""

import jax
import numpy as np
import pytest

from clusterjax.config import DataConfig, OptimConfig, TrainingConfig
from clusterjax.data.loader import make_train_loader
from clusterjax.models import create_model
from clusterjax.parallel import make_mesh
from clusterjax.training.checkpoint import Checkpoints
from clusterjax.training.interruption import Interrupted
from clusterjax.training.loop import TrainingRun, train
from clusterjax.training.optim import make_optimizer
from clusterjax.training.state import create_state, shardings_of
from clusterjax.training.step import compile_update, make_eval_step, make_update, with_seed
from clusterjax.training.writer import read_metrics

NUM, BATCH = 52, 16  # an epoch is three batches, and four examples are left for the next


class Source:
    """Examples that are told apart by ``object_id``."""

    def __len__(self):
        return NUM

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        label = index % 2
        image = rng.normal(0.3 * label, 1.0, (16, 16, 2)).astype(np.float32)
        return {"image": image, "label": label, "object_id": 1000 + index}


def loader(seed=0, batch_size=BATCH):
    return make_train_loader(Source(), DataConfig(num_read_threads=1), seed=seed, batch_size=batch_size)


class Recorded:
    """Batches, and the object_id of all that was asked for; a signal after ``stop_after`` of them."""

    def __init__(self, seen, stop_after=None):
        self._batches, self.seen, self._left = iter(loader()), seen, stop_after

    def __next__(self):
        if self._left == 0:
            raise Interrupted(15, 0)  # as by a kill
        if self._left is not None:
            self._left -= 1
        batch = next(self._batches)
        self.seen.append(batch["object_id"].tolist())
        return batch

    def get_state(self):
        return self._batches.get_state()

    def set_state(self, state):
        self._batches.set_state(state)


def run_on(devices, workdir, seen, *, stop_after=None, shard_above=None):
    mesh, tx = make_mesh(jax.devices()[:devices]), make_optimizer(OptimConfig("sgd"))
    graphdef, state = create_state(
        lambda rngs: create_model("baseline", num_bands=2, num_classes=2, dtype="float32", rngs=rngs, widths=(4, 8)),
        tx, mesh, seed=0, shard_above=shard_above,
    )  # fmt: skip
    compiled = compile_update(make_update(graphdef, tx, mesh=mesh), mesh, shardings_of(state))
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        loop = TrainingRun(
            state=state,
            train_step=with_seed(compiled, mesh, 0),
            eval_step=make_eval_step(graphdef, mesh),
            batches=Recorded(seen, stop_after),
            validation=[next(iter(loader(seed=9)))],
            schedule=lambda steps: np.full(np.shape(steps), 0.02),
            steps_per_epoch=3,
            config=TrainingConfig(
                global_batch_size=BATCH, num_epochs=4, log_every_steps=1, checkpoint_every_steps=1,
                early_stop_patience=None,
            ),
            checkpoints=checkpoints,
            mesh=mesh,
            about={},
        )  # fmt: skip
        if stop_after is None:
            train(loop, workdir, show_progress=False)
        else:
            with pytest.raises(Interrupted):
                train(loop, workdir, show_progress=False)
        return loop.state


def test_eight_devices_then_one_then_four_whole_or_in_parts(tmp_path):
    expected, seen = [], []
    whole = run_on(8, tmp_path / "whole", expected)
    elastic = tmp_path / "elastic"
    run_on(8, elastic, seen, stop_after=4)
    run_on(1, elastic, seen, stop_after=3)
    run_on(4, elastic, seen, stop_after=3, shard_above=20)  # parameters in parts
    final = run_on(4, elastic, seen)
    assert seen == expected  # 12 batches: none twice, none left out
    losses = [[row["loss"] for row in read_metrics(folder)] for folder in (elastic, tmp_path / "whole")]
    np.testing.assert_allclose(*losses, rtol=1e-4)
    for ours, theirs in zip(jax.tree.leaves(final.params), jax.tree.leaves(whole.params), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 4), (4, 2)])
def test_another_number_of_hosts_goes_on_with_the_next_examples(before, after, monkeypatch):
    expected = [batch["object_id"].tolist() for batch, _ in zip(loader(), range(9), strict=False)]

    def take(hosts, number, state):
        """Of each host: so many batches from its state on. (What all read together, the states)."""
        shares, states = [], []
        monkeypatch.setattr(jax, "process_count", lambda: hosts)
        for host in range(hosts):
            monkeypatch.setattr(jax, "process_index", lambda host=host: host)
            batches = iter(loader(batch_size=BATCH // hosts))
            if state is not None:
                batches.set_state(state)
            shares.append([next(batches)["object_id"] for _ in range(number)])
            states.append(batches.get_state())
        return [np.concatenate(parts).tolist() for parts in zip(*shares, strict=True)], states

    first, states = take(before, 4, None)
    assert all(state == states[0] for state in states)  # the checkpoint holds that of host 0
    second, _ = take(after, 5, states[0])
    assert first + second == expected
