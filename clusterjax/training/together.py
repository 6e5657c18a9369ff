"""Several runs that differ in their seeds or data, trained and validated at once: each of their steps is one program.

Each run is what :func:`clusterjax.training.loop.train` would make of it alone, to float rounding: it has its own
batches, seed, learning rate, early stop, checkpoints and metrics. One that is finished waits for the others.
"""

import contextlib
import dataclasses
import functools
import itertools
import time
from collections.abc import Callable, Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from tqdm import tqdm

from clusterjax.arrays import PyTree
from clusterjax.models.kernels import many_networks
from clusterjax.parallel import DATA_AXIS, put, replicated
from clusterjax.training.agreement import Stops
from clusterjax.training.ensemble import member_of, stack_trees
from clusterjax.training.evaluate import STEP_FIELDS
from clusterjax.training.interruption import CatchSignals, Interrupted
from clusterjax.training.loop import TrainingRun, conclude_epoch, epoch_rates, log_step, training_bar
from clusterjax.training.metrics import EpochMetrics
from clusterjax.training.optim import with_learning_rate
from clusterjax.training.state import TrainState
from clusterjax.training.step import Update
from clusterjax.training.writer import MetricWriter, open_writer


def _make_keys(seeds: Sequence[int], sharding: NamedSharding) -> jax.Array:
    """Made by a program, as on several hosts no process could put them on the devices of all."""
    return jax.jit(lambda: jax.vmap(jax.random.key)(np.asarray(seeds, np.uint32)), out_shardings=sharding)()


def _over_runs(program: Callable, mesh: Mesh, number: int) -> tuple[Callable, NamedSharding, NamedSharding]:
    """(what ``program`` does for one run, for ``number`` at once; where its arrays lie, and the batches'). Arrays have
    a first axis of the runs.

    Where the devices of one process can share the runs evenly, each has its own; else all share each batch.
    """
    program = jax.vmap(program)
    if number % mesh.size == 0 and jax.process_count() == 1:
        members = PartitionSpec(DATA_AXIS)
        own = NamedSharding(mesh, members)
        # Not check_vma: runs have nothing in common, and loops that begin with a constant would be refused.
        return jax.shard_map(program, mesh=mesh, in_specs=members, out_specs=members, check_vma=False), own, own
    return program, replicated(mesh), NamedSharding(mesh, PartitionSpec(None, DATA_AXIS))


def _stack_batches(batches: Sequence[dict[str, np.ndarray]], sharding: NamedSharding) -> dict[str, jax.Array]:
    fields = [{name: batch[name] for name in STEP_FIELDS} for batch in batches]
    if sharding.mesh.size == 1:  # stacked there: on the host it takes as long as the step
        return _stack_on_device(sharding)(fields)
    return {
        name: jax.make_array_from_process_local_data(sharding, np.stack([batch[name] for batch in fields]))
        for name in STEP_FIELDS
    }


@functools.cache
def _stack_on_device(sharding: NamedSharding) -> Callable:
    return jax.jit(stack_trees, out_shardings=sharding)


def sooner_at_once(update: Update, number: int, mesh: Mesh, state: PyTree, batch: PyTree) -> bool:
    """Whether ``number`` runs are trained sooner at once than one after another (``benchmarks/ensemble.py``).

    Yes on a TPU, no on a CPU; on GPUs where they share the runs evenly and their memory holds them: twice what the
    convolutions' matrix products read, the larger part of it. ``state`` and ``batch`` of one run may be shapes.
    """
    if jax.default_backend() != "gpu":
        return jax.default_backend() != "cpu"
    if number % mesh.size:
        return False
    with many_networks() as read_bytes:
        jax.eval_shape(update, jax.eval_shape(lambda: jax.random.key(0)), state, batch)
    return 2 * sum(read_bytes) * (number // mesh.size) < _memory(mesh.local_devices[0])


def _memory(device: jax.Device) -> int:
    """Bytes that this process may use."""
    return (device.memory_stats() or {}).get("bytes_limit", 0)


class MembersStep:
    """``(states, batches, active) -> (states, scalars)`` of runs with ``seeds``, one program; arrays have a first axis
    of the runs. Runs that are not active stay as they are. The states that go in are donated."""

    def __init__(self, update: Update, mesh: Mesh, seeds: Sequence[int]):
        def advance(key, state, batch, active):
            with many_networks():
                new, scalars = update(key, state, batch)
            return jax.tree.map(lambda ours, theirs: jnp.where(active, ours, theirs), new, state), scalars

        program, self.state_sharding, self.batch_sharding = _over_runs(advance, mesh, len(seeds))
        self._keys = _make_keys(seeds, self.state_sharding)
        self._program = jax.jit(
            program,
            donate_argnums=1,
            in_shardings=(self.state_sharding, self.state_sharding, self.batch_sharding, self.state_sharding),
            out_shardings=self.state_sharding,
        )

    def __call__(
        self, states: TrainState, batches: Sequence[dict[str, np.ndarray]], active: np.ndarray
    ) -> tuple[TrainState, PyTree]:
        stacked = _stack_batches(batches, self.batch_sharding)
        return self._program(self._keys, states, stacked, put(active, self.state_sharding))

    def stack(self, states: Sequence[TrainState]) -> TrainState:
        return jax.device_put(stack_trees(states), self.state_sharding)


class MembersValidation:
    """``(states, splits) -> [{'loss', 'accuracy'}, ...]`` of ``number`` runs, one program: each run's of its own split,
    as :func:`clusterjax.training.evaluate.evaluate` has it of one. A split that several have is read once.

    ``evaluation`` is that of :func:`clusterjax.training.step.make_evaluation`.
    """

    def __init__(self, evaluation: Callable, mesh: Mesh, number: int):
        def add(params, model_state, metrics, batch):
            with many_networks():
                return evaluation(params, model_state, metrics, batch)[0]

        program, self._sharding, self._batch_sharding = _over_runs(add, mesh, number)
        own = self._sharding
        self._program = jax.jit(program, in_shardings=(own, own, own, self._batch_sharding), out_shardings=own)

    def __call__(
        self, states: Sequence[TrainState], splits: Sequence[Iterable[dict[str, np.ndarray]]]
    ) -> list[dict[str, float]]:
        params, model_state = (
            jax.device_put(stack_trees([getattr(state, name) for state in states]), self._sharding)
            for name in ("params", "model_state")
        )
        metrics = jax.device_put(stack_trees([EpochMetrics.empty()] * len(states)), self._sharding)
        for batches in side_by_side(splits):
            metrics = self._program(params, model_state, metrics, _stack_batches(batches, self._batch_sharding))
        found = [member_of(metrics, i).compute() for i in range(len(states))]
        return [{name: float(value) for name, value in each.items()} for each in found]


def side_by_side(splits: Sequence[Iterable[dict[str, np.ndarray]]]) -> Iterable[list[dict[str, np.ndarray]]]:
    """A batch of each split at a time; of one that has ended, a batch without a valid example."""
    own = {id(split): split for split in splits}
    for batches in itertools.zip_longest(*own.values()):
        some = next(batch for batch in batches if batch is not None)
        nothing = some | {"valid": np.zeros_like(some["valid"])}
        found = {key: nothing if batch is None else batch for key, batch in zip(own, batches, strict=True)}
        yield [found[id(split)] for split in splits]


def train_together(
    runs: Sequence[TrainingRun],
    step: MembersStep,
    validation: Callable[[Sequence[TrainState], Sequence[Iterable]], list[dict[str, float]]],
    workdirs: Sequence,
    *,
    show_progress: bool = True,
) -> None:
    """Train all runs to their last epoch or early stop, each as :func:`clusterjax.training.loop.train` does, which also
    says how it is interrupted and goes on. A kill may leave runs at different steps: those behind catch up first.

    ``validation`` is a :class:`MembersValidation` of as many runs."""
    size = runs[0].config.global_batch_size
    steps = [run.resume() for run in runs]
    last_step = runs[0].config.num_epochs * runs[0].steps_per_epoch
    done = sum(last_step if run.progress.finished else at for run, at in zip(runs, steps, strict=True))
    with contextlib.ExitStack() as stack:
        writers = [
            stack.enter_context(open_writer(folder, first_step=at)) for folder, at in zip(workdirs, steps, strict=True)
        ]
        stops = Stops(min(steps), runs[0].config.log_every_steps)
        signals = stack.enter_context(CatchSignals())
        bar = stack.enter_context(training_bar(len(runs) * last_step * size, done * size, show_progress))
        while unfinished := [i for i, run in enumerate(runs) if not run.progress.finished]:
            steps_per_epoch = runs[0].steps_per_epoch
            end = (min(steps[i] for i in unfinished) // steps_per_epoch + 1) * steps_per_epoch
            epoch = _Epoch(runs, steps, [i for i in unfinished if steps[i] < end], end, writers, bar)
            epoch.train(step, signals, stops)
            metrics = validation([run.state for run in runs], [run.validation for run in runs])
            for i in epoch.members:
                conclude_epoch(runs[i], metrics[i], end, writers[i], bar)
            signum = stops.signal_after(end, signals.received, ask=True)
            if signum is not None and not all(run.progress.finished for run in runs):
                _stop(runs, signum, end)
        for run in runs:
            run.checkpoints.wait()


def _stop(runs: Sequence[TrainingRun], signum: int, step: int) -> None:
    for run in runs:
        run.checkpoints.wait()
    raise Interrupted(signum, step)


@dataclasses.dataclass
class _Epoch:
    """The way of the runs ``members`` to the step ``end``; ``steps`` says where each run is, and is kept true."""

    runs: Sequence[TrainingRun]
    steps: list[int]
    members: list[int]
    end: int
    writers: Sequence[MetricWriter]
    bar: tqdm

    def train(self, step: MembersStep, signals: CatchSignals, stops: Stops) -> None:
        config, size = self.runs[0].config, self.runs[0].config.global_batch_size
        states = step.stack([run.state for run in self.runs])
        rates, backbone_rates = np.array([epoch_rates(run, self.end) for run in self.runs]).transpose(1, 0, 2)
        first = now = min(self.steps[i] for i in self.members)
        waiting: list[tuple] = []  # metrics are fetched one step late, so that the device never waits for the host
        started = time.perf_counter()
        while now < self.end:
            active = np.array([i in self.members and at == now for i, at in enumerate(self.steps)])
            batches = {i: next(self.runs[i].batches) for i in np.flatnonzero(active).tolist()}
            any_batch = next(iter(batches.values()))  # for runs that wait; nothing comes of it
            column = now - (self.end - self.runs[0].steps_per_epoch)
            states, scalars = step(
                with_learning_rate(states, rates[:, column], backbone_rates[:, column]),
                [batches.get(i, any_batch) for i in range(len(self.runs))],
                active,
            )
            now += 1
            for i in batches:
                self.steps[i] = now
            self._log(waiting)
            if now % config.log_every_steps == 0 or now == self.end:
                images_per_second = (now - first) * len(self.members) * size / (time.perf_counter() - started)
                waiting = [(i, now, member_of(scalars, i), rates[i, column], images_per_second) for i in batches]
            self.bar.update(len(batches) * size)
            signum = stops.signal_after(now, signals.received) if now < self.end else None
            every = config.checkpoint_every_steps
            if now < self.end and (signum is not None or (every is not None and now % every == 0)):
                self._hand_back(states)
                for i in batches:
                    self.runs[i].save(now)
                if signum is not None:
                    _stop(self.runs, signum, now)
        self._log(waiting)
        self._hand_back(states)

    def _hand_back(self, states: TrainState) -> None:
        """To each run its own part, as it would have it alone."""
        for i, run in enumerate(self.runs):
            run.state = jax.device_put(member_of(states, i), replicated(run.mesh))

    def _log(self, waiting: list[tuple]) -> None:
        for i, at, scalars, rate, images_per_second in waiting:
            log_step(self.runs[i], self.writers[i], self.bar, at, scalars, float(rate), images_per_second)
        waiting.clear()
