"""The job cross_validate: k networks, each tested on a k-th of the data set's sky that no other part of it has seen.

Fold i is trained on all folds but i and i + 1, of which i + 1 chooses its checkpoint and i tests it. All splits of the
data set take part (but for catalogues that were held out). Each fold is a run of its own in the workdir's folds/.
"""

import numpy as np
from astropy.table import Table, vstack

from clusterjax import hosts
from clusterjax.config import ExperimentConfig
from clusterjax.data.kept import keep_if_small
from clusterjax.data.sources import Joined, Subset, open_source
from clusterjax.errors import InputError
from clusterjax.evaluation.ensemble import figures_of, with_mean_and_std
from clusterjax.experiment import load_network
from clusterjax.jobs.calibrating import scores_of
from clusterjax.jobs.learning import Learning, build, describe, evaluation_batches, set_up
from clusterjax.jobs.members import Member, learning_rate, member_session, train_members
from clusterjax.jobs.scoring import predictions_table
from clusterjax.jobs.session import Session, read_json, say, write_json
from clusterjax.sky.catalogues import write_table
from clusterjax.sky.regions import assign_folds, sky_block
from clusterjax.training.evaluate import evaluate as run_evaluation

SPLITS = ("train", "validation", "test")
FOLDER = "cross_validation"


def cross_validate(session: Session) -> None:
    """Train and test all folds; write cross_validation/predictions.* (a row an example) and folds.* (a row a fold)."""
    config = session.config
    learning = set_up(session)
    builder = build(session)
    source = keep_if_small(Joined(tuple(open_source(builder, split) for split in SPLITS)), config.data)
    folds = _folds(source, config)
    number = config.training.num_folds
    hosts.on_first_host(lambda: _check_same_folds(session, builder.info.full_name))
    rate = learning_rate(session, learning)
    describe(session, learning)
    members = []
    for fold in range(number):
        test, validation = folds == fold, folds == (fold + 1) % number
        members.append(
            Member(
                member_session(session, fold, rate, folder="folds"),
                source=_part(source, ~(test | validation)),
                validation=_part(source, validation),
            )
        )
    train_members(members, learning, rate)
    tables = []
    for fold, member in enumerate(members):
        table = _test(member.session, learning, _part(source, folds == fold), builder.info.features)
        table.add_column(np.full(len(table), fold), name="fold", index=0)
        tables.append(table)
    hosts.on_first_host(lambda: _write(session, tables, learning.network.facts.class_names))


def _write(session: Session, tables: list[Table], class_names) -> None:
    """predictions.*, and folds.* with the figures of each fold."""
    number = len(tables)
    predictions = vstack(tables, metadata_conflicts="silent")
    rows = [figures_of(np.asarray(table["label"]), scores_of(table, class_names), class_names) for table in tables]
    figures = with_mean_and_std([f"fold {fold}" for fold in range(number)], rows, called="fold")
    folder = session.folder(FOLDER)
    write_table(folder / "predictions", predictions)
    write_table(folder / "folds", figures)
    shown = figures.copy()
    for name in shown.colnames[1:]:
        shown[name].format = ".4f"
    print("\n".join(shown.pformat(max_lines=-1, max_width=-1)), flush=True)
    say(f"cross-validation over {number} folds: {folder}")


def _part(source, chosen: np.ndarray) -> Subset:
    return Subset(source, tuple(np.flatnonzero(chosen).tolist()))


def _folds(source, config: ExperimentConfig) -> np.ndarray:
    """The fold of each example: whole blocks of sky, where the data set has positions; else drawn at random."""
    number = config.training.num_folds
    rng = np.random.default_rng([config.seed, number])
    if "ra_deg" not in source[0]:
        return rng.permutation(np.arange(len(source)) % number)
    positions = np.array([(source[i]["ra_deg"], source[i]["dec_deg"]) for i in range(len(source))])
    return assign_folds(sky_block(*positions.T, nside=config.data.block_nside), number, rng)


def _check_same_folds(session: Session, data: str) -> None:
    """Raise InputError where folds/ was begun with other parts of the data."""
    path = session.folder("folds") / "folds.json"
    config = session.config
    made_from = {
        "num_folds": config.training.num_folds,
        "data": data,
        "seed": config.seed,
        "block_nside": config.data.block_nside,
    }
    if path.exists() and read_json(path) != made_from:
        raise InputError(f"{path.parent} was begun with {path.read_text().strip()}; remove it, or give a --workdir")
    write_json(path, made_from)


def _test(session: Session, learning: Learning, source: Subset, features) -> Table:
    network = load_network(session.workdir / "checkpoints", session.mesh)
    batches = evaluation_batches(session.config, source)
    _, columns = run_evaluation(learning.eval_step, network.state, batches, session.mesh)
    return predictions_table(columns, features, network.facts.class_names)
