"""The jobs build, lr_range_test and train."""

import dataclasses
import itertools
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from clu import parameter_overview

from clusterjax import hosts
from clusterjax.config import ExperimentConfig, TrainingConfig
from clusterjax.data.device_augment import make_train_transform
from clusterjax.data.kept import keep_if_small
from clusterjax.data.loader import make_eval_loader, make_train_loader
from clusterjax.data.sources import open_source
from clusterjax.errors import InputError
from clusterjax.experiment import DatasetFacts, Network, create_network, dataset_facts, make_builder
from clusterjax.jobs.provenance import keep_provenance
from clusterjax.jobs.session import Session, is_done, read_json, say, write_json
from clusterjax.parallel import check_divisible, to_global, to_host
from clusterjax.report.plots_learning import plot_lr_range
from clusterjax.report.theme import to_png
from clusterjax.training.checkpoint import Checkpoints
from clusterjax.training.evaluate import STEP_FIELDS
from clusterjax.training.evaluate import evaluate as run_evaluation
from clusterjax.training.loop import TrainingRun
from clusterjax.training.loop import train as run_training
from clusterjax.training.lr_range import LrRangeResult, lr_range_test
from clusterjax.training.profile import Profile
from clusterjax.training.schedules import Plateau, make_backbone_schedule, make_schedule
from clusterjax.training.state import shardings_of
from clusterjax.training.step import Update, compile_update, make_eval_step, make_evaluation, make_update, with_seed
from clusterjax.writing import write_bytes, write_text
from tfds_builders.sharing import Share

# Of the training config, besides the batch size
_CHANGE_THE_LOSS = ("label_smoothing", "label_noise", "class_weights", "balanced_batches")


def build(session: Session):
    """The data set of the config, built unless it is there."""
    builder = make_builder(session.config)
    if hosts.from_first_host(lambda: pathlib.Path(builder.data_dir).exists()):
        return make_builder(session.config)  # another process may have built it since that one was made
    say(f"building {builder.info.full_name} in {builder.data_dir}")
    started = time.perf_counter()
    if hosts.num_hosts() > 1 and hasattr(builder, "make_share"):
        builder.share = Share(hosts.host_index(), hosts.num_hosts(), pathlib.Path(builder.data_dir).parent / ".shares")
        hosts.on_first_host(builder.share.clear)
        if not hosts.is_first_host():
            builder.make_share()
    hosts.on_first_host(builder.download_and_prepare)
    if hosts.num_hosts() > 1:
        if hosts.is_first_host() and getattr(builder, "share", None) is not None:
            builder.share.remove()
        builder = make_builder(session.config)  # with what the first host has written
    counts = ", ".join(f"{split.num_examples} {name}" for name, split in builder.info.splits.items())
    say(f"built in {time.perf_counter() - started:.0f} s: {counts}")
    return builder


@dataclasses.dataclass
class Learning:
    """What the range test and the training of all members share: above all one compiled update."""

    network: Network  # with the session's seed
    update: Update
    compiled_update: Update
    evaluation: Callable
    eval_step: Callable
    source: Any  # the training split, in memory if it is small
    validation: Any
    _validation_batches: Any = None

    def train_step(self, mesh, seed: int) -> Callable:
        """``(state, batch) -> (state, scalars)`` of the run with that seed."""
        return with_seed(self.compiled_update, mesh, seed)

    def make_loader(self, config: ExperimentConfig, *, seed: int, source=None):
        """Batches of the training split, or of another source."""
        return make_train_loader(
            self.source if source is None else source,
            config.data,
            seed=seed,
            batch_size=config.training.global_batch_size // hosts.num_hosts(),
            augment=config.augment,
            preprocess=self.network.facts.preprocess,
            balanced=config.training.balanced_batches,
            label_noise=config.training.label_noise,
            num_classes=len(self.network.facts.class_names),
        )

    def batch_shapes(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Of what a step reads."""
        size = self.network.config.training.global_batch_size
        shapes = {"image": (self.source[0]["image"].shape, np.float32), "label": ((), np.int32), "valid": ((), bool)}
        return {name: jax.ShapeDtypeStruct((size, *shape), dtype) for name, (shape, dtype) in shapes.items()}

    def validation_batches(self, config: ExperimentConfig, source=None):
        """Batches of the validation split, for all runs the same object, or of another source."""
        if source is not None:
            return evaluation_batches(config, source)
        if self._validation_batches is None:
            self._validation_batches = evaluation_batches(config, self.validation)
        return self._validation_batches


def evaluation_batches(config: ExperimentConfig, source):
    """This host's part of batches of ``config.training.eval_batch_size``."""
    return make_eval_loader(source, config.data, batch_size=config.training.eval_batch_size // hosts.num_hosts())


def set_up(session: Session) -> Learning:
    """The data, a fresh network, and the update that it learns by. Raises InputError for batches that do not fit."""
    config, training = session.config, session.config.training
    _check_batches(training, session.mesh.size)  # a data set takes longer to build than a mistake should to be told
    builder = build(session)
    facts = dataset_facts(config, builder)
    source = keep_if_small(open_source(builder, "train"), config.data)
    if len(source) < training.global_batch_size:
        raise InputError(
            f"config.training.global_batch_size={training.global_batch_size} is more than the {len(source)} training "
            "images; use a smaller batch"
        )
    network, tx = create_network(config, facts, session.mesh)
    update = make_update(
        network.graphdef,
        tx,
        mesh=session.mesh,
        accumulate_steps=training.accumulate_steps,
        batch_norm=training.batch_norm,
        prepare=_make_prepare(config, facts),
        label_smoothing=training.label_smoothing,
        class_weights=_class_weights(training, facts.class_names),
    )
    return Learning(
        network,
        update,
        compile_update(update, session.mesh, shardings_of(network.state)),
        make_evaluation(network.graphdef, facts.preprocess),
        make_eval_step(network.graphdef, session.mesh, facts.preprocess),
        source,
        open_source(builder, "validation"),
    )


def _check_batches(training: TrainingConfig, num_devices: int) -> None:
    """Raise InputError unless the devices share a batch, and the parts that it is taken in, evenly."""
    check_divisible("config.training.global_batch_size", training.global_batch_size, num_devices)
    parts = num_devices * training.accumulate_steps
    if training.global_batch_size % parts:
        raise InputError(
            f"config.training.global_batch_size={training.global_batch_size} is not divisible by {num_devices} devices "
            f"times config.training.accumulate_steps={training.accumulate_steps}; use a multiple of {parts}"
        )
    check_divisible("config.training.eval_batch_size", training.eval_batch_size, num_devices)


def _class_weights(training: TrainingConfig, class_names: Sequence[str]) -> list[float] | None:
    """One weight a class; None where the config gives none."""
    unknown = sorted(set(training.class_weights) - set(class_names))
    if unknown:
        raise InputError(f"config.training.class_weights has no classes {unknown}; use {list(class_names)}")
    if not training.class_weights:
        return None
    return [float(training.class_weights.get(name, 1.0)) for name in class_names]


def _make_prepare(config, facts: DatasetFacts):
    """(raw images, key) -> network input, inside the step; None where Grain has done it on the host."""
    if config.data.augment_on == "host":
        return None
    return make_train_transform(facts.preprocess, config.augment)


def find_learning_rate(session: Session, learning: Learning | None = None) -> float:
    """The LR range test; its answer is kept in lr_range/lr_range.json and used from there."""
    config = session.config
    path = session.folder("lr_range") / "lr_range.json"
    made_from = {
        "seed": config.seed,
        **{part: dataclasses.asdict(getattr(config, part)) for part in ("model", "optim", "lr_range", "augment")},
        "batch_size": config.training.global_batch_size,
        **{name: getattr(config.training, name) for name in _CHANGE_THE_LOSS},
    }
    stored = hosts.from_first_host(lambda: read_json(path) if is_done(path, made_from) else None)
    if stored is not None:
        result = LrRangeResult(**{name: value for name, value in stored.items() if name != "made_from"})
    else:
        learning = learning or set_up(session)
        say("LR range test: {num_steps} steps, {lr_min:g} to {lr_max:g}".format(**vars(config.lr_range)))
        # A loader with another seed: other batches than training begins with.
        batches = iter(learning.make_loader(config, seed=config.seed + 1))
        batches = (to_global({name: batch[name] for name in STEP_FIELDS}, session.mesh) for batch in batches)
        result = lr_range_test(
            learning.train_step(session.mesh, config.seed), learning.network.state, batches, config.lr_range,
            validation_loss=_validation_loss(session, learning),
        )  # fmt: skip
        hosts.on_first_host(lambda: _write_lr_range(path, result, made_from))
    if result.suggestion is None:
        raise InputError(f"the LR range test has no suggestion: {result.reason}; or set config.optim.learning_rate")
    say(f"learning rate {result.suggestion:.3g}: {result.reason}")
    return result.suggestion


def _write_lr_range(path: pathlib.Path, result: LrRangeResult, made_from: dict) -> None:
    write_json(path, {**dataclasses.asdict(result), "made_from": made_from})
    figure = plot_lr_range(result.learning_rates, result.losses, result.smoothed, suggestion=result.suggestion)
    write_bytes(path.with_suffix(".png"), to_png(figure))


def _validation_loss(session: Session, learning: Learning) -> Callable | None:
    """State -> mean loss of the first ``lr_range.validation_batches`` batches of validation; None where that is 0."""
    num = session.config.lr_range.validation_batches
    if not num:
        return None
    batches = list(itertools.islice(learning.validation_batches(session.config), num))
    return lambda state: run_evaluation(learning.eval_step, state, batches, session.mesh)[0]["loss"]


def is_trained(session: Session) -> bool:
    """True if the newest checkpoint of the workdir says that training had reached its end."""
    if not hosts.from_first_host((session.workdir / "checkpoints").exists):
        return False
    with Checkpoints(session.workdir / "checkpoints") as checkpoints:
        step = checkpoints.latest_step
        return step is not None and checkpoints.about(step)["progress"]["finished"]


def train(session: Session) -> None:
    """Train to the end or the early stop, from the newest checkpoint if there is one."""
    config = session.config
    if is_trained(session):
        say(f"training is finished; remove {session.workdir / 'checkpoints'} to train again")
        return
    learning = set_up(session)
    rate = config.optim.learning_rate
    if rate is None:
        rate = find_learning_rate(session, learning)
    describe(session, learning)
    hosts.on_first_host(lambda: keep_provenance(session.workdir))
    with Checkpoints(session.workdir / "checkpoints") as checkpoints:
        run_training(make_run(session, learning, learning.network, rate, checkpoints), session.workdir)


def open_profile(folder: pathlib.Path) -> Profile:
    """Says so where there is a trace already."""
    if folder.exists():
        say(f"note: {folder} holds an earlier trace, which stays; the new one lies beside it under its own date")
    return Profile(folder)


def describe(session: Session, learning: Learning) -> None:
    """On the console, and the parameters in parameters.txt."""
    params = learning.network.state.params
    values = to_host(params)
    if hosts.is_first_host():
        overview = parameter_overview.get_parameter_overview(values)
        write_text(session.workdir / "parameters.txt", overview + "\n")
    say(
        f"training {session.config.model.name}: {sum(leaf.size for leaf in jax.tree.leaves(params)):,} parameters, "
        f"{len(learning.source)} images, {len(learning.source) // session.config.training.global_batch_size} steps an "
        f"epoch, {session.mesh.size} device{'s' * (session.mesh.size > 1)}"
        + (f" of {hosts.num_hosts()} hosts" if hosts.num_hosts() > 1 else "")
    )


def make_run(
    session: Session, learning: Learning, network: Network, rate: float, checkpoints: Checkpoints,
    *, source=None, validation=None, epoch_size: int | None = None,
) -> TrainingRun:  # fmt: skip
    """The run of the session's config and seed, on the training and the validation split or other sources.

    An epoch is as many examples as the source has, or ``epoch_size``.
    """
    config, mesh = session.config, session.mesh
    if epoch_size is None:
        epoch_size = len(learning.source if source is None else source)
    steps_per_epoch = epoch_size // config.training.global_batch_size
    return TrainingRun(
        state=network.state,
        train_step=learning.train_step(mesh, config.seed),
        eval_step=learning.eval_step,
        batches=iter(learning.make_loader(config, seed=config.seed, source=source)),
        validation=learning.validation_batches(config, validation),
        schedule=make_schedule(
            config.optim, learning_rate=rate, steps_per_epoch=steps_per_epoch, num_epochs=config.training.num_epochs
        ),
        plateau=Plateau.from_config(config.optim, rate),
        backbone_schedule=make_backbone_schedule(config.optim, steps_per_epoch=steps_per_epoch),
        steps_per_epoch=steps_per_epoch,
        config=config.training,
        checkpoints=checkpoints,
        mesh=mesh,
        about=network.about(),
        profile=open_profile(session.workdir / "profile") if session.profile else None,
    )
