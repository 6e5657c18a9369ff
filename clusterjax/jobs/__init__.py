"""What the program does: each job takes an experiment's config and leaves its results in the workdir.

``all`` runs the jobs in order and skips what is done, so an interrupted run goes on by the same command.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence

import jax

from clusterjax import hosts
from clusterjax.config import ExperimentConfig
from clusterjax.errors import InputError
from clusterjax.experiment import load_network
from clusterjax.jobs.choosing import choose_network, map_name
from clusterjax.jobs.comparing import compare as compare
from clusterjax.jobs.comparing import show_learning_rates
from clusterjax.jobs.cross_validation import cross_validate
from clusterjax.jobs.data_card import write_data_card
from clusterjax.jobs.explaining import explain
from clusterjax.jobs.exporting import export
from clusterjax.jobs.fusing import fuse as fuse
from clusterjax.jobs.injecting import inject
from clusterjax.jobs.learning import build, find_learning_rate
from clusterjax.jobs.members import train
from clusterjax.jobs.merging import merge as merge
from clusterjax.jobs.packing import pack
from clusterjax.jobs.reporting import report
from clusterjax.jobs.scoring import evaluate
from clusterjax.jobs.searching import can_scan, scan
from clusterjax.jobs.sending import send
from clusterjax.jobs.session import Session, keep_config, open_workdir, say
from clusterjax.jobs.vetting import vet as vet
from clusterjax.models import check_model
from clusterjax.networks import is_shipped
from clusterjax.parallel import make_mesh


def build_and_show(session: Session) -> None:
    """The data set of the config and its data card."""
    builder = build(session)
    hosts.on_first_host(lambda: write_data_card(session, builder))


def _explain(session: Session) -> None:
    _with_network_on_first_host(explain, session)


def _report(session: Session) -> None:
    hosts.on_first_host(lambda: report(session))


def _with_network_on_first_host(job, session: Session) -> None:
    """A job that one host does by itself with the trained network, which all hosts must load."""
    session.trained_network()
    own = session.alone()
    hosts.on_first_host(lambda: job(own))


_JOBS = {
    "build": build_and_show,
    "lr_range_test": find_learning_rate,
    "train": train,
    "evaluate": evaluate,
    "explain": _explain,
    "scan": scan,
    "inject": functools.partial(_with_network_on_first_host, inject),
    "report": _report,
    "export": functools.partial(_with_network_on_first_host, export),
    "pack": functools.partial(_with_network_on_first_host, pack),
    "cross_validate": cross_validate,
}


def run(
    job: str,
    config: ExperimentConfig | None,
    *,
    workdir: pathlib.Path | None = None,
    checkpoint: pathlib.Path | None = None,
    images: tuple[str, ...] = (),
    catalogue: tuple[str, ...] = (),
    samp: bool = False,
    profile: bool = False,
) -> None:
    """Do ``job`` (one of ``clusterjax.main.JOBS``). Without a config, that of the ``checkpoint`` is taken; without
    either, the network that clusterjax brings along for such ``images``. With one of those, the workdir is named after
    the ``images``.

    Raises InputError for whatever the user can mend.
    """
    mesh = make_mesh()
    network = None
    if checkpoint is None and config is None:
        checkpoint = choose_network(images)
    if workdir is None and config is None and images and is_shipped(checkpoint):
        workdir = pathlib.Path("runs") / map_name(images)
    if checkpoint is not None:
        network = load_network(checkpoint, mesh, expected=config)
        config = network.config if config is None else config
    if images or catalogue:
        search = dataclasses.replace(config.search, images=images, catalogue=catalogue or config.search.catalogue)
        config = dataclasses.replace(config, search=search)
    check_model(config.model.name, head=config.model.head, **config.model.kwargs)  # before anything is built for it
    workdir = pathlib.Path("runs") / config.name if workdir is None else workdir
    hosts.on_first_host(lambda: open_workdir(workdir))
    jax.config.update("jax_compilation_cache_dir", str((workdir.parent / "compilation_cache").resolve()))
    if job in ("all", "lr_range_test", "train", "cross_validate"):
        hosts.on_first_host(lambda: keep_config(workdir, config))
    session = Session(config, workdir, mesh, network, profile)
    if job != "all":
        _JOBS[job](session)
    else:
        train(session)
        evaluate(session)
        _explain(session)
        if can_scan(config):
            scan(session)
        _report(session)
    if samp:
        hosts.on_first_host(lambda: send(session))


def sweep(
    job: str, experiments: Mapping[str, ExperimentConfig], workdir: pathlib.Path, *, fused: Sequence[str] = ()
) -> None:
    """Do ``job`` for each experiment, in a folder of ``workdir`` named after it; ``all``: train, evaluate and compare.

    The scores of the experiments ``fused`` are fused, into further folders, before all are compared. An experiment
    whose ``model.pretrained`` is the name of one before it begins with that one's weights.
    What is done is skipped, and an experiment that cannot be done is left out, so that the others still are. Raises
    InputError at the end, with the reasons, if there was one.
    """
    hosts.on_first_host(lambda: open_workdir(workdir))
    parts = ("train", "evaluate") if job == "all" else (job,)
    failures = {}
    for number, (name, experiment) in enumerate(experiments.items(), start=1):
        say(f"{name}: {number} of {len(experiments)}")
        try:
            experiment = _started_from(experiment, experiments, workdir)
            for part in parts:
                run(part, experiment, workdir=workdir / name)
        except InputError as error:
            say(f"{name} is left out: {error}")
            failures[name] = str(error)
        jax.clear_caches()  # the programs of one network are of no use to the next
    hosts.on_first_host(lambda: _compare_swept(job, [workdir / name for name in experiments], workdir, fused))
    if failures:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in failures.items())
        raise InputError(f"{len(failures)} of {len(experiments)} experiments failed: {reasons}")


def _compare_swept(job: str, folders: list[pathlib.Path], workdir: pathlib.Path, fused: Sequence[str]) -> None:
    show_learning_rates(folders, workdir)
    evaluated = [folder for folder in folders if (folder / "evaluation" / "metrics.json").exists()]
    if job in ("all", "evaluate") and fused and all(workdir / name in evaluated for name in fused):
        evaluated += fuse([workdir / name for name in fused], workdir)
    if job in ("all", "evaluate") and len(evaluated) > 1:
        compare(evaluated, workdir / "comparison")


def _started_from(experiment: ExperimentConfig, experiments: Mapping[str, ExperimentConfig], workdir: pathlib.Path):
    """With the path of the checkpoint, where its weights begin with those of another experiment."""
    if experiment.model.pretrained not in experiments:
        return experiment
    model = dataclasses.replace(experiment.model, pretrained=str(workdir / experiment.model.pretrained))
    return dataclasses.replace(experiment, model=model)
