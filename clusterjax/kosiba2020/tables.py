"""From the runs of each setup to tables: means and standard deviations over seeds, the published ones beside them."""

import json
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from astropy.table import Table

from clusterjax.data.votes.dawid_skene import dawid_skene_classes
from clusterjax.data.votes.weighting import is_cluster
from clusterjax.evaluation.curves import RocCurve, auc, roc_curve
from clusterjax.evaluation.multiclass import multiclass_metrics
from clusterjax.jobs.calibrating import scores_of
from clusterjax.kosiba2020.setups import FIGURES, PUBLISHED_VOTES, Setup
from clusterjax.simulation.knobs import XRAY_CLASSES, XRAY_CLUSTERS, XRAY_OBJECT_TYPES
from clusterjax.simulation.xray_optical.volunteers import simulate_votes
from clusterjax.sky.catalogues import read_table

_VOTED_OBJECTS, _VOTED_CLUSTERS = 404, 0.625  # theirs; as many clusters as their accuracy and recall leave room for


def read_predictions(run: pathlib.Path) -> Table:
    return read_table(run / "evaluation" / "predictions_test.fits")


def binary_figures(run: pathlib.Path) -> dict[str, float]:
    metrics = json.loads((run / "evaluation" / "metrics.json").read_text())["test"]
    return {name: float(metrics[name]) for name in FIGURES}


def five_class_figures(run: pathlib.Path) -> dict[str, float]:
    """Of one class against the rest: means over the classes of accuracy and AUC."""
    table = read_predictions(run)
    label, scores = np.asarray(table["label"]), scores_of(table, XRAY_CLASSES)
    called = np.argmax(scores, axis=1)
    accuracy = np.mean([(called == k) == (label == k) for k in range(len(XRAY_CLASSES))])
    return {"accuracy": float(accuracy), "auc": multiclass_metrics(label, scores, XRAY_CLASSES)["macro_auc"]}


def setup_table(figures: Mapping[Setup, Sequence[Mapping[str, float]]]) -> Table:
    """A row a setup: how many seeds, then for each figure mean, standard deviation (NaN of one), and the published."""
    names = [name for name in FIGURES if all(name in setup.published for setup in figures)]
    rows = []
    for setup, runs in figures.items():
        row: dict = {"setup": setup.name, "seeds": len(runs)}
        for name in names:
            values = np.array([run[name] for run in runs])
            row[name] = values.mean()
            row[f"{name}_std"] = values.std(ddof=1) if len(values) > 1 else np.nan
            row[f"{name}_published"], row[f"{name}_published_std"] = setup.published[name]
        rows.append(row)
    return Table(rows)


def votes_table(seed: int = 0, *, num: int = 10 * _VOTED_OBJECTS) -> Table:
    """What simulated volunteers decide by themselves, of as many clusters as the paper's 404 objects held."""
    rng = np.random.default_rng(seed)
    other = (1 - _VOTED_CLUSTERS) / (len(XRAY_OBJECT_TYPES) - 2)
    fractions = [_VOTED_CLUSTERS / 2] * 2 + [other] * (len(XRAY_OBJECT_TYPES) - 2)
    types = rng.choice(XRAY_OBJECT_TYPES, num, p=fractions).tolist()
    truth, votes = np.isin(types, XRAY_CLUSTERS), simulate_votes(types, rng)
    decided = {
        "unweighted": is_cluster(votes, weighted=False),
        "weighted": is_cluster(votes),
        "Dawid & Skene": np.asarray(dawid_skene_classes(votes, binary=True)),
    }
    rows = []
    for name, called in decided.items():
        hits = (called & truth).sum()
        figures = (np.mean(called == truth), hits / max(called.sum(), 1), hits / truth.sum())
        row: dict = {"votes": name}
        published = PUBLISHED_VOTES.get(name, (np.nan,) * 3)
        for figure, value, theirs in zip(FIGURES[:3], figures, published, strict=True):
            row[figure], row[f"{figure}_published"] = float(value), theirs
        rows.append(row)
    return Table(rows)


def data_format_curves(runs: Mapping[str, pathlib.Path]) -> tuple[dict[str, RocCurve], dict[str, float]]:
    """ROC curves and their areas, by the name of the run."""
    curves, areas = {}, {}
    for name, run in runs.items():
        table = read_predictions(run)
        label, score = np.asarray(table["label"]), np.asarray(table["score"], float)
        curves[name], areas[name] = roc_curve(label, score), auc(label, score)
    return curves, areas
