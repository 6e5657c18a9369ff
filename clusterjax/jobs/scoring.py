"""The job evaluate: scores of the validation and test splits, and all that follows from them."""

from collections.abc import Callable

import numpy as np
from astropy.table import Table

from clusterjax import hosts
from clusterjax.data.sources import open_source
from clusterjax.errors import InputError
from clusterjax.evaluation.aperture_count import fit_aperture_count
from clusterjax.evaluation.binary import binary_metrics, fit_threshold
from clusterjax.evaluation.ensemble import member_table
from clusterjax.evaluation.extension import extension_score
from clusterjax.evaluation.fusion import fit_fused_classical
from clusterjax.evaluation.headline import PUBLISHED, Observer, binary_headline, multiclass_headline, with_members
from clusterjax.evaluation.matched_filter import fit_matched_filter
from clusterjax.evaluation.multiclass import multiclass_metrics
from clusterjax.experiment import Network
from clusterjax.jobs.calibrating import calibrate, calibration_inputs, column_names, scores_of
from clusterjax.jobs.ceilings import add_ceilings, ceiling_figures, with_ceilings
from clusterjax.jobs.learning import build, evaluation_batches
from clusterjax.jobs.session import Session, is_done, say, write_json
from clusterjax.parallel import check_divisible
from clusterjax.report.console import headline_text
from clusterjax.simulation.knobs import JointSky, MicrowaveSky
from clusterjax.simulation.microwave.bands import microwave_sky_of, uk_per_unit
from clusterjax.simulation.microwave.filters import matched_filter
from clusterjax.sky.catalogues import write_table
from clusterjax.training.ensemble import make_ensemble_eval_step, mean_and_spread
from clusterjax.training.evaluate import evaluate as run_evaluation
from clusterjax.training.step import make_eval_step
from clusterjax.writing import replacing

SPLITS = ("validation", "test")
HELD_OUT = "test_"  # the beginning of the name of a split of a catalogue that was held out
# The classical observers: the column of its score -> its name
CLASSICAL = {
    "classical_fusion": "aperture count + matched filter",
    "aperture_count": "aperture count",
    "matched_filter": "matched filter",
    "extension": "XAmin's selection",
}
CLASSICAL_TRAINING_CUTOUTS = 12_000
INFRARED_BANDS = ("W1", "W2")
SPREAD = "spread"  # the column of the standard deviation of the members' scores
_PART = 1024


def classical_column(table: Table) -> str | None:
    """The column of the classical observer's score, if there is one; of several, that of all bands."""
    return next(iter(classical_columns(table)), None)


def classical_columns(table: Table) -> list[str]:
    """Of all classical observers, that of :func:`classical_column` first."""
    return [name for name in CLASSICAL if name in table.colnames]


def evaluate(session: Session) -> None:
    """Score validation, test, and what was held out, with the best checkpoint.

    Writes predictions_*.fits and .ecsv, metrics.json, headline.ecsv.
    """
    network = session.trained_network()
    folder = session.folder("evaluation")
    builder = build(session)
    made_from = {
        "checkpoint": network.source,
        "data": builder.info.full_name,
        "calibration": calibration_inputs(session.config),
        **scores_inputs(session.config),
        "ceilings": session.config.evaluation.ceilings,
    }
    if hosts.from_first_host(lambda: is_done(folder / "metrics.json", made_from)):
        say(f"evaluation of {network.source} is done: {folder}")
        return
    features = builder.info.features
    if tuple(features["label"].names) != network.facts.class_names:
        raise InputError(
            f"{builder.info.full_name} has the classes {features['label'].names}, checkpoint {network.source} has "
            f"{list(network.facts.class_names)}; evaluate on a data set with the same classes"
        )
    check_divisible("config.training.eval_batch_size", session.config.training.eval_batch_size, session.mesh.size)
    say(f"evaluating {network.source}")
    eval_step = _make_eval_step(session, network)
    scored = {}
    for split in (*SPLITS, *(name for name in builder.info.splits if name.startswith(HELD_OUT))):
        batches = evaluation_batches(session.config, open_source(builder, split))
        scored[split] = run_evaluation(eval_step, network.state, batches, session.mesh)
    hosts.on_first_host(lambda: _write(session.config, network, builder, scored, folder, made_from))


def _write(config, network: Network, builder, scored: dict[str, tuple], folder, made_from: dict) -> None:
    """All that follows from the scores of each split: (its losses, its columns)."""
    features, class_names = builder.info.features, network.facts.class_names
    classical = fit_classical(builder)
    tables, losses, members = {}, {}, {}
    for split, (split_losses, columns) in scored.items():
        source, losses[split] = open_source(builder, split), split_losses
        if columns["scores"].ndim == 3:
            members[split] = columns["scores"]
        tables[split] = predictions_table(columns, features, class_names)
        if classical is not None:
            parts = _in_parts(classical[1].columns, source)
            for column in parts[0]:
                tables[split][column] = np.concatenate([part[column] for part in parts])
        if "extension_likelihood" in tables[split].colnames and "score" in tables[split].colnames:
            measured = (np.asarray(tables[split][name], float) for name in ("extent_arcsec", "extension_likelihood"))
            tables[split]["extension"] = extension_score(*measured)
    if config.evaluation.ceilings:
        test_source = open_source(builder, "test")
        add_ceilings(builder, tables["test"], lambda observer: np.concatenate(_in_parts(observer, test_source)))
    calibrate(config, tables, class_names, folder, made_from)
    for split, table in tables.items():
        write_table(folder / f"predictions_{split}", table)
    metrics = split_metrics(tables, losses, class_names)
    headline = make_headline(tables["test"], metrics, network.config.model.name, class_names)
    for path in folder.glob("members*"):  # of an earlier evaluation
        path.unlink()
    if members:
        headline = show_members(folder, tables, members, headline, class_names)
    with replacing(folder / "headline.ecsv") as partial:
        headline.write(partial, format="ascii.ecsv", overwrite=True)
    write_json(folder / "metrics.json", {"made_from": made_from, **metrics})
    print(headline_text(headline), flush=True)
    say(f"predictions and metrics: {folder}")


def fit_classical(builder) -> tuple[str, Callable] | None:
    """(column, observer) of what astronomers use without a network, fitted on training cutouts; None for images that
    are not of a sky it is for, and for more than two classes."""
    metadata = builder.info.metadata or {}
    if metadata.get("input_kind") != "sky" or builder.info.features["label"].num_classes != 2:
        return None
    bands, sky = tuple(metadata["bands"]), getattr(builder.builder_config, "sky", None)
    if isinstance(sky, JointSky):
        number = len(INFRARED_BANDS)
        return "classical_fusion", fit_fused_classical(
            matched_filter(sky.microwave, tsz_painted=True),
            range(number),
            range(number, len(bands)),
            *_training_columns(builder, ("image", "label", "redshift")),
        )
    if bands == INFRARED_BANDS:
        return "aperture_count", fit_aperture_count(*_training_columns(builder, ("image", "label", "redshift")))
    unit_uk, pixels = 1.0, {}
    if not isinstance(sky, MicrowaveSky):  # real maps
        sky = microwave_sky_of(bands)
        if sky is None:
            return None
        try:
            unit_uk = uk_per_unit(metadata["units"])
        except InputError:
            return None
        pixels = {"pixel_scale_arcmin": metadata["pixel_scale_arcsec"] / 60}
    find = matched_filter(sky, bands=bands, **pixels)
    columns = _training_columns(builder, ("image", "label"))
    return "matched_filter", fit_matched_filter(lambda images: find(images * np.float32(unit_uk)), *columns)


def _training_columns(builder, names) -> list[np.ndarray]:
    source = open_source(builder, "train")
    records = [source[i] for i in range(min(len(source), CLASSICAL_TRAINING_CUTOUTS))]
    return [np.stack([record[name] for record in records]) for name in names]


def _in_parts(observer: Callable, source) -> list:
    """What the observer says of the records, a part at a time: a split need not fit into memory."""
    parts = [range(start, min(start + _PART, len(source))) for start in range(0, len(source), _PART)]
    return [observer(np.stack([source[i]["image"] for i in part])) for part in parts]


def scores_inputs(config) -> dict:
    """What scores are made of besides the checkpoint; said only where it is not the usual."""
    return {"dropout_samples": config.evaluation.dropout_samples} if config.evaluation.dropout_samples else {}


def _make_eval_step(session: Session, network: Network) -> Callable:
    samples = session.config.evaluation.dropout_samples
    if network.num_members is None and not samples:
        return make_eval_step(network.graphdef, session.mesh, network.facts.preprocess)
    return make_ensemble_eval_step(network.member_scores(dropout_samples=samples), session.mesh)


def show_members(
    folder, tables: dict[str, Table], members: dict[str, np.ndarray], headline: Table, class_names
) -> Table:
    """Write members_<split> (each member's scores) and members (its figures on the test split); the headline with
    their mean and standard deviation. ``members`` are scores (example, member, class) by split."""
    number = members["test"].shape[1]
    for split, scores in members.items():
        of_members = tables[split][[name for name in ("object_id", "label") if name in tables[split].colnames]]
        for i in range(number):
            for k, name in enumerate(column_names("score", class_names)):
                of_members[f"{name}_{i}"] = scores[:, i, k + (len(class_names) == 2)]
        write_table(folder / f"members_{split}", of_members)
    names = [f"member {i}" for i in range(number)]
    figures = member_table(np.asarray(tables["test"]["label"]), members["test"], names, class_names)
    write_table(folder / "members", figures)
    return with_members(headline, figures, number)


def predictions_table(columns: dict[str, np.ndarray], features, class_names) -> Table:
    """A row an example: what the data set knows of it, and ``score`` (two classes) or ``score_<class>`` for each; of
    several members their mean, and ``spread``, their standard deviation (of the class called)."""
    scores, spread = columns.pop("scores"), None
    if scores.ndim == 3:
        scores, spread = mean_and_spread(np.moveaxis(scores, 1, 0))
    table = Table({name: values for name, values in columns.items() if values.ndim == 1})
    for name in ("object_type", "redshift_kind"):
        if name in table.colnames:
            table[name] = np.asarray(features[name].names)[table[name]]
    if len(class_names) == 2:
        table["score"] = scores[:, 1]
    else:
        for i, name in enumerate(class_names):
            table[f"score_{name}"] = scores[:, i]
    if spread is not None:
        called = spread[:, 1] if len(class_names) == 2 else spread[np.arange(len(spread)), scores.argmax(1)]
        table[SPREAD] = called.astype(np.float32)
        table[SPREAD].description = "standard deviation of the score over the members"
    return table


def split_metrics(tables: dict[str, Table], losses: dict, class_names) -> dict:
    """Per split: loss, and every figure of the network and of the classical observer, whose threshold is the
    validation split's best."""
    result: dict = {}
    for split, table in tables.items():
        label = np.asarray(table["label"])
        if len(class_names) == 2:
            figures = binary_metrics(label, np.asarray(table["score"], float))
        else:
            figures = multiclass_metrics(label, scores_of(table, class_names), class_names)
        result[split] = {"loss": losses[split]["loss"], **figures}
    for column in classical_columns(tables["test"]):
        validation, test = tables["validation"], tables["test"]
        threshold = fit_threshold(np.asarray(validation["label"]), np.asarray(validation[column], float))
        figures = binary_metrics(np.asarray(test["label"]), np.asarray(test[column], float), threshold=threshold)
        result[column] = {"threshold": threshold, **figures}
    return result | ceiling_figures(tables["test"])


def make_headline(test: Table, metrics: dict, model_name: str, class_names) -> Table:
    """The network beside the classical observer on the same draws, and the published figure of the same task."""
    label = np.asarray(test["label"])
    if len(class_names) != 2:
        return multiclass_headline(model_name, label, scores_of(test, class_names), class_names)
    observers = [Observer(model_name, np.asarray(test["score"], float))]
    for column in classical_columns(test):
        scores = np.asarray(test[column], float)
        observers.append(Observer(CLASSICAL[column], scores, threshold=metrics[column]["threshold"]))
    redshift = np.asarray(test["redshift"], float) if "redshift" in test.colnames else None
    ceiling = PUBLISHED.get(classical_column(test))
    headline = binary_headline(label, observers, redshift=redshift, ceiling=ceiling)
    return with_ceilings(headline, test, observers)
