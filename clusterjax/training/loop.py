"""The training loop: steps, validation after each epoch, checkpoints, early stop, resume."""

import contextlib
import dataclasses
import sys
import time
from collections.abc import Callable, Iterable

import numpy as np
import optax
from jax.sharding import Mesh
from tqdm import tqdm

from clusterjax.config import TrainingConfig
from clusterjax.errors import InputError
from clusterjax.hosts import from_first_host, is_first_host
from clusterjax.parallel import to_global
from clusterjax.training.agreement import Stops
from clusterjax.training.checkpoint import Checkpoints
from clusterjax.training.evaluate import STEP_FIELDS, evaluate
from clusterjax.training.interruption import CatchSignals, Interrupted
from clusterjax.training.optim import with_learning_rate
from clusterjax.training.profile import Profile
from clusterjax.training.schedules import Plateau
from clusterjax.training.state import TrainState
from clusterjax.training.writer import MetricWriter, open_writer


@dataclasses.dataclass
class Progress:
    """What the loop knows besides the state: part of each checkpoint."""

    epoch: int = 0  # finished
    best_loss: float = float("inf")
    epochs_without_gain: int = 0
    finished: bool = False
    plateau: dict | None = None  # the state of the run's Plateau, after the first validation


@dataclasses.dataclass
class TrainingRun:
    """Everything that one run of the loop needs. ``batches`` is a Grain iterator (``get_state``, ``set_state``)."""

    state: TrainState
    train_step: Callable
    eval_step: Callable
    batches: object
    validation: Iterable[dict[str, np.ndarray]]
    schedule: optax.Schedule
    steps_per_epoch: int
    config: TrainingConfig
    checkpoints: Checkpoints
    mesh: Mesh
    about: dict  # goes into each checkpoint: what is needed to use it alone
    backbone_schedule: optax.Schedule = dataclasses.field(default=lambda _: 1.0)  # step -> its rate in the head's
    plateau: Plateau | None = None
    progress: Progress = dataclasses.field(default_factory=Progress)
    profile: Profile | None = None

    def resume(self) -> int:
        """Load the newest checkpoint, if there is one. Returns the step to go on from."""
        step = from_first_host(lambda: self.checkpoints.latest_step)
        if step is None:
            return 0
        restored = self.checkpoints.restore(step, self.state)
        self.state = restored.state
        self.batches.set_state(restored.about["iterator"])
        self.progress = Progress(**restored.about["progress"])
        return step

    def save(self, step: int, metrics: dict | None = None) -> None:
        about = {
            **self.about,
            "progress": dataclasses.asdict(self.progress),
            "iterator": self.batches.get_state(),
        }
        self.checkpoints.save(step, self.state, about=about, metrics=metrics)


def train(run: TrainingRun, workdir, *, show_progress: bool = True) -> Progress:
    """Train until the last epoch or the early stop. Returns how it went; the best weights are a checkpoint.

    On SIGINT or SIGTERM (to any of several hosts) the state is saved and :class:`Interrupted` raised; after kill -9 the
    last checkpoint counts. Either way the same call goes on, and ends with the same weights bit for bit.
    """
    config = run.config
    step = run.resume()
    last_step, size = config.num_epochs * run.steps_per_epoch, config.global_batch_size
    stops = Stops(step, config.log_every_steps)
    with (
        open_writer(workdir, first_step=step) as writer,
        CatchSignals() as signals,
        run.profile or contextlib.nullcontext(),
        training_bar(last_step * size, step * size, show_progress) as bar,
    ):
        while step < last_step and not run.progress.finished:
            step = train_epoch(run, step, writer, signals, stops, bar)
            metrics, _ = evaluate(run.eval_step, run.state, run.validation, run.mesh)
            conclude_epoch(run, metrics, step, writer, bar)
            signum = stops.signal_after(step, signals.received, ask=True)
            if signum is not None and not run.progress.finished:
                run.checkpoints.wait()
                raise Interrupted(signum, step)
        run.checkpoints.wait()
    return run.progress


def training_bar(total: int, done: int, shown: bool) -> tqdm:
    """Of images, on stderr; in a log, a line each half minute."""
    return tqdm(
        total=total,
        initial=done,
        unit="img",
        unit_scale=True,
        desc="train",
        disable=not shown or not is_first_host(),
        file=sys.stderr,
        mininterval=0.5 if sys.stderr.isatty() else 30,
    )


def epoch_rates(run: TrainingRun, end: int) -> tuple[np.ndarray, np.ndarray]:
    """(learning rates, those of the backbone in them) of the steps of the epoch that ends with the step ``end``."""
    # Of the whole epoch, wherever in it the run is taken up: the same numbers bit for bit. Asked step by step, a
    # schedule would queue its arithmetic behind the training step and wait for it.
    rates, backbone_rates = (
        np.broadcast_to(schedule(np.arange(end - run.steps_per_epoch, end)), run.steps_per_epoch)
        for schedule in (run.schedule, run.backbone_schedule)
    )
    return rates if run.progress.plateau is None else rates * run.progress.plateau["scale"], backbone_rates


def train_epoch(
    run: TrainingRun, step: int, writer: MetricWriter, signals: CatchSignals, stops: Stops, bar: tqdm
) -> int:
    """Train to the end of the epoch that ``step`` is in. Returns the step reached."""
    config = run.config
    end = (step // run.steps_per_epoch + 1) * run.steps_per_epoch
    first_of_epoch = end - run.steps_per_epoch
    rates, backbone_rates = epoch_rates(run, end)
    waiting = None  # metrics are fetched one step late, so that the device never waits for the host
    started, first = time.perf_counter(), step
    while step < end:
        if run.profile is not None:
            run.profile.before_step(run.state)
        batch = next(run.batches)
        rate = float(rates[step - first_of_epoch])
        run.state, scalars = run.train_step(
            with_learning_rate(run.state, rate, float(backbone_rates[step - first_of_epoch])),
            to_global({name: batch[name] for name in STEP_FIELDS}, run.mesh),
        )
        step += 1
        if waiting is not None:
            log_step(run, writer, bar, *waiting)
            waiting = None
        if step % config.log_every_steps == 0 or step == end:
            rate_images = (step - first) * config.global_batch_size / (time.perf_counter() - started)
            waiting = (step, scalars, rate, rate_images)
        bar.update(config.global_batch_size)
        if step == end:  # validation comes first, and saves
            break
        signum = stops.signal_after(step, signals.received)
        every = config.checkpoint_every_steps
        if signum is not None or (every is not None and step % every == 0):
            if waiting is not None:  # or whoever goes on from here would not have it
                log_step(run, writer, bar, *waiting)
                waiting = None
            run.save(step)
        if signum is not None:
            run.checkpoints.wait()
            raise Interrupted(signum, step)
    log_step(run, writer, bar, *waiting)
    return step


def log_step(
    run: TrainingRun, writer: MetricWriter, bar: tqdm, step: int, scalars, rate: float, rate_images: float
) -> None:
    """A row of metrics. Raises InputError for a loss that is not finite."""
    values = {name: float(value) for name, value in scalars.items()}
    if not np.isfinite(values["loss"]):
        raise InputError(
            f"the training loss is {values['loss']} at step {step} with learning rate {rate:.3g}; "
            "lower config.optim.learning_rate or set config.optim.grad_clip_norm=1"
        )
    epoch = step / run.steps_per_epoch
    writer.write(step, "train", epoch=epoch, learning_rate=rate, images_per_second=rate_images, **values)
    bar.set_postfix_str(f"epoch {epoch:.1f}/{run.config.num_epochs} loss {values['loss']:.3f}", refresh=False)


def conclude_epoch(run: TrainingRun, metrics: dict[str, float], step: int, writer: MetricWriter, bar: tqdm) -> None:
    """What follows from an epoch's validation: the early stop's book-keeping, and the epoch's checkpoint."""
    progress, patience = run.progress, run.config.early_stop_patience
    progress.epoch = step // run.steps_per_epoch
    writer.write(step, "validation", epoch=float(progress.epoch), **metrics)
    if metrics["loss"] < progress.best_loss:
        progress.best_loss, progress.epochs_without_gain = metrics["loss"], 0
    else:
        progress.epochs_without_gain += 1
    if run.plateau is not None:
        progress.plateau = run.plateau.after(progress.plateau or run.plateau.start(), metrics)
    stopped = patience is not None and progress.epochs_without_gain >= patience
    progress.finished = stopped or progress.epoch >= run.config.num_epochs
    run.save(step, metrics=metrics)
    if not is_first_host():
        return
    bar.write(
        f"epoch {progress.epoch:3d}  validation loss {metrics['loss']:.4f}  accuracy {metrics['accuracy']:.4f}"
        + ("  (best)" if progress.epochs_without_gain == 0 else "")
        + (f"  early stop: no gain for {patience} epochs" if stopped else ""),
        file=sys.stderr,
    )
