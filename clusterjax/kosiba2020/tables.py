"""From the runs of each setup to tables: means and standard deviations over seeds, the published ones beside them."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from astropy.table import Table
from jaxtyping import Float

from clusterjax.config import ExperimentConfig
from clusterjax.data.votes.dawid_skene import dawid_skene_classes
from clusterjax.data.votes.weighting import is_cluster
from clusterjax.evaluation.binary import binary_metrics
from clusterjax.evaluation.curves import Labels, RocCurve, auc, roc_curve
from clusterjax.evaluation.multiclass import multiclass_metrics
from clusterjax.jobs.calibrating import column_names, scores_of
from clusterjax.kosiba2020.setups import FIGURES, PUBLISHED_SAMPLES, PUBLISHED_VOTES, Setup
from clusterjax.recipes import published_iterations
from clusterjax.simulation.knobs import XRAY_CLASSES, XRAY_CLUSTERS, XRAY_OBJECT_TYPES
from clusterjax.simulation.xray_optical.objects import SIZE
from clusterjax.simulation.xray_optical.volunteers import simulate_votes
from clusterjax.sky.catalogues import read_table

SIMULATED, PUBLISHED = "simulated", "real (published)"
_PUBLISHED_SEEDS = 10
_VOTED_OBJECTS, _VOTED_CLUSTERS = 404, 0.625  # theirs; as many clusters as their accuracy and recall leave room for


def read_predictions(run: pathlib.Path) -> Table:
    """Of the mean of the seeds."""
    return read_table(run / "evaluation" / "predictions_test.fits")


def seed_scores(run: pathlib.Path, class_names: Sequence[str]) -> tuple[Labels, Float[np.ndarray, "seed n class"]]:
    """(label, scores of each seed) of the test split; a lone run is one seed."""
    path = run / "evaluation" / "members_test.fits"
    if not path.exists():
        table = read_predictions(run)
        return np.asarray(table["label"]), scores_of(table, class_names)[None]
    table = read_table(path)
    columns = column_names("score", class_names)
    number = sum(name.startswith(f"{columns[0]}_") for name in table.colnames)
    seeds = []
    for seed in range(number):
        of_seed = Table({name: table[f"{name}_{seed}"] for name in columns})
        seeds.append(scores_of(of_seed, class_names))
    return np.asarray(table["label"]), np.stack(seeds)


def binary_figures(run: pathlib.Path) -> list[dict[str, float]]:
    """One a seed."""
    label, seeds = seed_scores(run, ("other", "cluster"))
    rows = [binary_metrics(label, scores[:, 1]) for scores in seeds]
    return [{name: float(row[name]) for name in FIGURES} for row in rows]


def five_class_figures(run: pathlib.Path) -> list[dict[str, float]]:
    """Of one class against the rest, one a seed: means over the classes of accuracy and AUC."""
    label, seeds = seed_scores(run, XRAY_CLASSES)
    rows = []
    for scores in seeds:
        called = np.argmax(scores, axis=1)
        accuracy = np.mean([(called == k) == (label == k) for k in range(len(XRAY_CLASSES))])
        rows.append({"accuracy": float(accuracy), "auc": multiclass_metrics(label, scores, XRAY_CLASSES)["macro_auc"]})
    return rows


def samples_table(labels: Mapping[tuple[str, str], Labels]) -> Table:
    """``labels`` (1 is a cluster) by sample and split: how many of each, beside the published numbers."""
    rows = []
    for (sample, split), label in labels.items():
        clusters, others = PUBLISHED_SAMPLES[sample, split]
        rows.append(
            {
                "labels by": sample, "split": split,
                "clusters": int(np.sum(label == 1)), "others": int(np.sum(label == 0)),
                "clusters_published": clusters, "others_published": others,
            }
        )  # fmt: skip
    return Table(rows)


def settings_table(setups: Sequence[Setup], scale: str) -> Table:
    """A row a setting: of each network the one used, beside the published."""
    rows = {}
    for used, kind in ((scale, ""), ("published", " published")):
        for setup in setups:
            config = setup.config(used, num_seeds=1, data_dir="")
            rows[setup.network + kind] = _settings(config)
        for setup in setups if kind else ():  # whole epochs make not quite as many
            rows[setup.network + kind]["iterations"] = str(published_iterations(setup.model))
    names = rows[setups[0].network]
    return Table({"setting": list(names), **{name: list(values.values()) for name, values in rows.items()}})


def _settings(config: ExperimentConfig) -> dict[str, str]:
    data, optim, training, augment = config.data, config.optim, config.training, config.augment
    size = data.input_size or data.image_size or data.simulated_size
    plateau = "none"
    if optim.plateau_patience is not None:
        plateau = (
            f"{optim.plateau_patience} epochs, times {optim.plateau_factor:g}, not below {optim.plateau_min_rate:g}"
        )
    kwargs = "".join(f", {name} {value}" for name, value in optim.kwargs.items())
    return {
        "input pixels": str(size),
        "batch": str(training.global_batch_size),
        "iterations": str(training.num_epochs * (data.num_train // training.global_batch_size)),
        "optimizer": f"{optim.name}{kwargs}",
        "learning rate": f"{optim.learning_rate:g}, {optim.schedule}",
        "decay a step": f"{optim.decay_per_step:g}",
        "plateau": plateau,
        "rotation": f"\u00b1{augment.rotation_deg:g}\u00b0",
        "scale": f"{1 / augment.scale:.2f} to {augment.scale:g}",
        f"shift, of {SIZE} pixels": f"\u00b1{augment.shift_fraction * SIZE:.3g}",
    }


def setup_table(figures: Mapping[Setup, Sequence[Mapping[str, float]]]) -> Table:
    """Two rows a setup: mean and standard deviation over seeds (NaN of one) of what was measured on simulated
    candidates, then the published, of real ones."""
    names = [name for name in FIGURES if all(name in setup.published for setup in figures)]
    rows = []
    for setup, runs in figures.items():
        measured, published = _row(setup, SIMULATED, len(runs)), _row(setup, PUBLISHED, _PUBLISHED_SEEDS)
        for name in names:
            values = np.array([run[name] for run in runs])
            measured[name] = values.mean()
            measured[f"{name}_std"] = values.std(ddof=1) if len(values) > 1 else np.nan
            published[name], published[f"{name}_std"] = setup.published[name]
        rows += [measured, published] if np.isfinite([published[name] for name in names]).any() else [measured]
    return Table(rows)


def _row(setup: Setup, candidates: str, num_seeds: int) -> dict:
    return {"setup": setup.name, "candidates": candidates, "seeds": num_seeds}


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
        measured = (np.mean(called == truth), hits / max(called.sum(), 1), hits / truth.sum())
        rows.append((name, SIMULATED, *map(float, measured)))
        if name in PUBLISHED_VOTES:
            rows.append((name, PUBLISHED, *PUBLISHED_VOTES[name]))
    return Table(rows=rows, names=("votes", "candidates", *FIGURES[:3]))


def data_format_curves(runs: Mapping[str, pathlib.Path]) -> tuple[dict[str, RocCurve], dict[str, float]]:
    """ROC curves and their areas, by the name of the run."""
    curves, areas = {}, {}
    for name, run in runs.items():
        table = read_predictions(run)
        label, score = np.asarray(table["label"]), np.asarray(table["score"], float)
        curves[name], areas[name] = roc_curve(label, score), auc(label, score)
    return curves, areas
