"""What the program does: each job takes an experiment's config and leaves its results in the workdir.

``all`` runs the jobs in order and skips what is done, so an interrupted run goes on by the same command.
"""

import dataclasses
import pathlib

import jax

from clusterjax.config import ExperimentConfig
from clusterjax.experiment import load_network
from clusterjax.jobs.comparing import compare as compare
from clusterjax.jobs.data_card import write_data_card
from clusterjax.jobs.explaining import explain
from clusterjax.jobs.learning import build, find_learning_rate, train
from clusterjax.jobs.reporting import report
from clusterjax.jobs.scoring import evaluate
from clusterjax.jobs.searching import can_scan, scan
from clusterjax.jobs.session import Session, keep_config, open_workdir
from clusterjax.models import check_model
from clusterjax.parallel import make_mesh


def build_and_show(session: Session) -> None:
    """The data set of the config and its data card."""
    write_data_card(session, build(session))


_JOBS = {
    "build": build_and_show,
    "lr_range_test": find_learning_rate,
    "train": train,
    "evaluate": evaluate,
    "explain": explain,
    "scan": scan,
    "report": report,
}


def run(
    job: str,
    config: ExperimentConfig | None,
    *,
    workdir: pathlib.Path | None = None,
    checkpoint: pathlib.Path | None = None,
    images: tuple[str, ...] = (),
    catalogue: str | None = None,
) -> None:
    """Do ``job`` (one of ``clusterjax.main.JOBS``). Without a config, that of the ``checkpoint`` is taken.

    Raises InputError for whatever the user can mend.
    """
    mesh = make_mesh()
    network = None
    if checkpoint is not None:
        network = load_network(checkpoint, mesh, expected=config)
        config = network.config if config is None else config
    if images or catalogue:
        search = dataclasses.replace(config.search, images=images, catalogue=catalogue or config.search.catalogue)
        config = dataclasses.replace(config, search=search)
    check_model(config.model.name, head=config.model.head, **config.model.kwargs)  # before anything is built for it
    workdir = pathlib.Path("runs") / config.name if workdir is None else workdir
    open_workdir(workdir)
    jax.config.update("jax_compilation_cache_dir", str((workdir.parent / "compilation_cache").resolve()))
    if job in ("all", "lr_range_test", "train"):
        keep_config(workdir, config)
    session = Session(config, workdir, mesh, network)
    if job != "all":
        _JOBS[job](session)
        return
    train(session)
    evaluate(session)
    explain(session)
    if can_scan(config):
        scan(session)
    report(session)
