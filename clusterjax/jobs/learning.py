"""The jobs build, lr_range_test and train."""

import dataclasses
import itertools
import json
import pathlib
import time
from collections.abc import Callable, Iterable, Sequence

import jax
import numpy as np
from clu import parameter_overview

from clusterjax.config import TrainingConfig
from clusterjax.data.device_augment import make_train_transform
from clusterjax.data.loader import make_eval_loader, make_train_loader
from clusterjax.data.sources import open_source
from clusterjax.errors import InputError
from clusterjax.experiment import DatasetFacts, Network, create_network, dataset_facts, make_builder
from clusterjax.jobs.provenance import keep_provenance
from clusterjax.jobs.session import Session, is_done, say, write_json
from clusterjax.parallel import check_divisible, to_global
from clusterjax.report.plots_learning import plot_lr_range
from clusterjax.report.theme import to_png
from clusterjax.training.checkpoint import Checkpoints
from clusterjax.training.evaluate import STEP_FIELDS
from clusterjax.training.evaluate import evaluate as run_evaluation
from clusterjax.training.loop import TrainingRun
from clusterjax.training.loop import train as run_training
from clusterjax.training.lr_range import LrRangeResult, lr_range_test
from clusterjax.training.schedules import Plateau, make_backbone_schedule, make_schedule
from clusterjax.training.step import make_eval_step, make_train_step

# Of the training config, besides the batch size
_CHANGE_THE_LOSS = ("label_smoothing", "label_noise", "class_weights", "balanced_batches")


def build(session: Session):
    """The data set of the config, built unless it is there."""
    builder = make_builder(session.config)
    if not pathlib.Path(builder.data_dir).exists():
        say(f"building {builder.info.full_name} in {builder.data_dir}")
        started = time.perf_counter()
        builder.download_and_prepare()
        counts = ", ".join(f"{split.num_examples} {name}" for name, split in builder.info.splits.items())
        say(f"built in {time.perf_counter() - started:.0f} s: {counts}")
    return builder


@dataclasses.dataclass
class _Learning:
    """What the range test and training share: above all one compiled train step."""

    network: Network
    train_step: Callable
    make_loader: Callable  # seed -> Grain dataset of batches
    num_train: int
    builder: object


def _set_up(session: Session) -> _Learning:
    config, builder = session.config, build(session)
    facts = dataset_facts(config, builder)
    source = open_source(builder, "train")
    training, num_devices = config.training, session.mesh.size
    check_divisible("config.training.global_batch_size", training.global_batch_size, num_devices)
    check_divisible("config.training.eval_batch_size", training.eval_batch_size, num_devices)
    if len(source) < training.global_batch_size:
        raise InputError(
            f"config.training.global_batch_size={training.global_batch_size} is more than the {len(source)} training "
            "images; use a smaller batch"
        )
    network, tx = create_network(config, facts, session.mesh)
    train_step = make_train_step(
        network.graphdef,
        tx,
        session.mesh,
        seed=config.seed,
        prepare=_make_prepare(config, facts),
        label_smoothing=training.label_smoothing,
        class_weights=_class_weights(training, facts.class_names),
    )

    def make_loader(seed: int):
        return make_train_loader(
            source,
            config.data,
            seed=seed,
            batch_size=training.global_batch_size // jax.process_count(),
            augment=config.augment,
            preprocess=facts.preprocess,
            balanced=training.balanced_batches,
            label_noise=training.label_noise,
            num_classes=len(facts.class_names),
        )

    return _Learning(network, train_step, make_loader, len(source), builder)


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


def find_learning_rate(session: Session, learning: _Learning | None = None) -> float:
    """The LR range test; its answer is kept in lr_range/lr_range.json and used from there."""
    config = session.config
    path = session.folder("lr_range") / "lr_range.json"
    made_from = {
        "seed": config.seed,
        **{part: dataclasses.asdict(getattr(config, part)) for part in ("model", "optim", "lr_range", "augment")},
        "batch_size": config.training.global_batch_size,
        **{name: getattr(config.training, name) for name in _CHANGE_THE_LOSS},
    }
    if is_done(path, made_from):
        result = LrRangeResult(**{k: v for k, v in json.loads(path.read_text()).items() if k != "made_from"})
    else:
        learning = learning or _set_up(session)
        say("LR range test: {num_steps} steps, {lr_min:g} to {lr_max:g}".format(**vars(config.lr_range)))
        # A loader with another seed: other batches than training begins with.
        batches = iter(learning.make_loader(config.seed + 1))
        batches = (to_global({name: batch[name] for name in STEP_FIELDS}, session.mesh) for batch in batches)
        result = lr_range_test(
            learning.train_step, learning.network.state, batches, config.lr_range,
            validation_loss=_validation_loss(session, learning),
        )  # fmt: skip
        write_json(path, {**dataclasses.asdict(result), "made_from": made_from})
        figure = plot_lr_range(result.learning_rates, result.losses, result.smoothed, suggestion=result.suggestion)
        path.with_suffix(".png").write_bytes(to_png(figure))
    if result.suggestion is None:
        raise InputError(f"the LR range test has no suggestion: {result.reason}; or set config.optim.learning_rate")
    say(f"learning rate {result.suggestion:.3g}: {result.reason}")
    return result.suggestion


def _validation_loss(session: Session, learning: _Learning) -> Callable | None:
    """State -> mean loss of the first ``lr_range.validation_batches`` batches of validation; None where that is 0."""
    num = session.config.lr_range.validation_batches
    if not num:
        return None
    eval_step, validation = _make_validation(session, learning)
    batches = list(itertools.islice(validation, num))
    return lambda state: run_evaluation(eval_step, state, batches, session.mesh)[0]["loss"]


def _make_validation(session: Session, learning: _Learning) -> tuple[Callable, Iterable]:
    """The compiled evaluation step and the batches of the validation split."""
    config, network = session.config, learning.network
    source = open_source(learning.builder, "validation")
    batches = make_eval_loader(source, config.data, batch_size=config.training.eval_batch_size)
    return make_eval_step(network.graphdef, session.mesh, network.facts.preprocess), batches


def is_trained(session: Session) -> bool:
    """True if the newest checkpoint of the workdir says that training had reached its end."""
    if not (session.workdir / "checkpoints").exists():
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
    learning = _set_up(session)
    network, mesh, training = learning.network, session.mesh, config.training
    rate = config.optim.learning_rate
    if rate is None:
        rate = find_learning_rate(session, learning)
    steps_per_epoch = learning.num_train // training.global_batch_size
    overview = session.workdir / "parameters.txt"
    overview.write_text(
        parameter_overview.get_parameter_overview(jax.tree.map(np.asarray, network.state.params)) + "\n"
    )
    num_parameters = sum(leaf.size for leaf in jax.tree.leaves(network.state.params))
    say(
        f"training {config.model.name}: {num_parameters:,} parameters, {learning.num_train} images, "
        f"{steps_per_epoch} steps an epoch, {mesh.size} device{'s' * (mesh.size > 1)}"
    )
    eval_step, validation = _make_validation(session, learning)
    keep_provenance(session.workdir)
    with Checkpoints(session.workdir / "checkpoints") as checkpoints:
        run_training(
            TrainingRun(
                state=network.state,
                train_step=learning.train_step,
                eval_step=eval_step,
                batches=iter(learning.make_loader(config.seed)),
                validation=validation,
                schedule=make_schedule(
                    config.optim, learning_rate=rate, steps_per_epoch=steps_per_epoch, num_epochs=training.num_epochs
                ),
                plateau=Plateau.from_config(config.optim, rate),
                backbone_schedule=make_backbone_schedule(config.optim, steps_per_epoch=steps_per_epoch),
                steps_per_epoch=steps_per_epoch,
                config=training,
                checkpoints=checkpoints,
                mesh=mesh,
                about=network.about(),
            ),
            session.workdir,
        )
