"""The model card of a run: from its config, data set, evaluation and provenance."""

import dataclasses
import datetime
import pathlib

import jax
import numpy as np
from astropy.table import Table
from flax import nnx

from clusterjax.config import ExperimentConfig
from clusterjax.evaluation.breakdown import confusion_by_object_type
from clusterjax.experiment import DatasetFacts, dataset_facts
from clusterjax.jobs.card_data import (
    RANGED,
    Run,
    analyses,
    evaluation_data,
    positive_values,
    training_columns,
    training_data,
)
from clusterjax.jobs.provenance import describe_hardware, describe_software, read_provenance
from clusterjax.models import create_model
from clusterjax.models.registry import model_entry
from clusterjax.report.contents import Predictions
from clusterjax.report.html import flatten
from clusterjax.report.model_card import CardSection, ModelCard


def make_model_card(
    workdir: pathlib.Path, config: ExperimentConfig, builder, metrics: dict, predictions: Predictions, headline: Table
) -> ModelCard:
    """Sections as in Mitchell et al. 2019. ``metrics`` and ``headline`` are those of the job evaluate."""
    run = Run(
        config, builder, dataset_facts(config, builder), metrics, predictions, headline, training_columns(builder),
        read_provenance(workdir),
    )  # fmt: skip
    summary = (
        f"{config.model.name}, trained on {builder.info.full_name}: {', '.join(run.facts.bands)} images of "
        f"{run.facts.image_size} pixels in, a score for {' or '.join(run.facts.class_names)} out."
    )
    sections = [
        _details(run), _intended_use(run), _factors(run), _metrics(run), training_data(run), evaluation_data(run),
        analyses(run), _ethics(), _limits(run), *_provenance(run),
    ]  # fmt: skip
    return ModelCard(f"Model card: {config.name}", summary, sections)


def _details(run: Run) -> CardSection:
    config, entry = run.config, model_entry(run.config.model.name)
    model = nnx.eval_shape(
        lambda: create_model(
            config.model.name, num_bands=len(run.facts.bands), num_classes=len(run.facts.class_names),
            dtype=config.model.dtype, rngs=nnx.Rngs(0), head=config.model.head, **config.model.kwargs,
        )
    )  # fmt: skip
    number = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
    optim, training = config.optim, config.training
    return CardSection("Model details", facts=[
        ("Network", f"{config.model.name} ({entry.paper}), {config.model.head or entry.head} head, {number:,} "
         "parameters"),
        ("Starts from", config.model.pretrained or "random weights"),
        ("Input", f"{', '.join(run.facts.bands)}; {run.facts.units or 'no units'}; {_pixels(run.facts)}"),
        ("Output", f"a score in [0, 1] for each of {', '.join(run.facts.class_names)}; with "
         f"{config.evaluation.calibration} calibration a probability"),
        ("Normalisation", f"{config.data.stretch} stretch of pixels in units of {config.data.softening:g} robust sigma "
         "of the training split"),
        ("Training", f"{optim.name}, learning rate {optim.learning_rate or 'by LR range test'}, {optim.schedule} "
         f"schedule, {training.num_epochs} epochs at most, batches of {training.global_batch_size}; the checkpoint of "
         "least validation loss"),
        ("Seeds", f"{config.seed}; of the data {config.data.seed}"),
        ("Checkpoint", str(run.metrics["made_from"]["checkpoint"])),
        ("Date", run.provenance[-1]["date"] if run.provenance else "of training, not recorded"),
        ("Licence of the code", "Apache-2.0"),
    ])  # fmt: skip


def _pixels(facts: DatasetFacts) -> str:
    scale = f" of {facts.pixel_scale_arcsec:g} arcsec" if facts.pixel_scale_arcsec else ""
    return f"{facts.image_size} × {facts.image_size} pixels{scale}"


def _intended_use(run: Run) -> CardSection:
    if not run.is_sky:
        return CardSection("Intended use", points=[
            f"To sort images like those it was trained on into {', '.join(run.facts.class_names)}.",
            "For people who look at its mistakes in the report before they rely on it.",
            "Not for images of other instruments, scales or kinds of object: it gives them one of its classes all the "
            "same.",
        ])  # fmt: skip
    return CardSection("Intended use", points=[
        f"To rank cutouts, and to scan maps for candidates of the class “{run.positive}” that other observations then "
        "confirm.",
        "For astronomers who extend catalogues, and who compare it with a classical finder on the same sky.",
        "Not as a catalogue by itself: the purity in a map is not that of the test split, of which "
        f"{100 * np.mean(run.predictions.label == 1):.0f} % are of this class.",
        f"Not for other bands, units or pixel scales than {', '.join(run.facts.bands)} in {run.facts.units} at "
        f"{run.facts.pixel_scale_arcsec:g} arcsec: the program warns of a map that differs, it cannot correct it.",
        "Not for masses or redshifts of clusters: it has learnt none.",
    ])  # fmt: skip


def _factors(run: Run) -> CardSection:
    known = [name for name in ("object_type", *RANGED, "snr") if name in run.predictions.table.colnames]
    words = {"object_type": "type of object", "m500c_msun": "mass", "snr": "S/N of the matched filter"}
    return CardSection(
        "Factors",
        "Figures are broken down by "
        + (", ".join(words.get(name, name) for name in known) or "class")
        + ". Others are not: "
        + (
            "the survey's depth, its calibration and artefacts, the galactic latitude."
            if run.is_sky
            else "where the images come from, their scale and noise."
        ),
    )


def _metrics(run: Run) -> CardSection:
    threshold = (
        f"Cutouts are called {run.positive} at a score of {run.metrics['test']['threshold']:g} or more; the "
        "classical observer has the threshold of best accuracy on the validation split. "
        if run.predictions.is_binary
        else "The class of the highest score is called. "
    )
    return CardSection(
        "Metrics",
        "Accuracy, precision, recall, false-positive rate and the area under the ROC curve. " + threshold
        + "Errors are 1σ over draws of the test split: binomial, for the area DeLong's. They do not hold what another "
        "seed of the training would change.",
    )  # fmt: skip


def _ethics() -> CardSection:
    return CardSection(
        "Ethical considerations",
        "The images show the sky, or what the user gave; no field of the data describes a person. What a wrong score "
        "costs is telescope time, and a biased sample where found clusters are counted as if they were all.",
    )


def _limits(run: Run) -> CardSection:
    points = []
    if run.config.sky is not None:
        points.append(
            "It was trained and tested on simulated sky. On a real map, first compare its candidates with known "
            "clusters."
        )
    for column, (name, scale) in RANGED.items():
        values = positive_values(run.train, column)
        if values is not None:
            low, high = values.min() / scale, values.max() / scale
            points.append(f"Clusters with {name} below {low:.2g} or above {high:.2g} are new to it.")
    if run.predictions.is_binary and "object_type" in run.predictions.table.colnames:
        types = np.asarray(run.predictions.table["object_type"]).astype(str)
        points += _mistaken(run, types)
    leak = (run.builder.info.metadata or {}).get("leak_check")
    if leak is not None and np.isfinite(leak["auc"]):
        points.append(
            f"Alone, {leak.get('features', 'position and depth')} tell the label with an AUC of {leak['auc']:.3f} ± "
            f"{leak['error']:.3f} (0.5: not at all)."
        )
    if run.config.evaluation.calibration == "none":
        points.append("Its scores are not probabilities: no calibration was fitted.")
    elif run.predictions.is_binary and not run.config.evaluation.sky_density_per_deg2:
        points.append("Its probabilities hold for the data set's mix of objects, not for a map of the sky.")
    number = run.config.training.num_members
    if number == 1:
        points.append("One network of one seed: how much another seed differs is not in the errors.")
    else:
        points.append(f"The mean of {number} networks of as many seeds; how much they differ is told beside it.")
    return CardSection("Caveats and recommendations", points=points)


def _mistaken(run: Run, types: np.ndarray) -> list[str]:
    predictions = run.predictions
    score = predictions.probabilities[:, 1]
    table = confusion_by_object_type(types, predictions.label, score, threshold=predictions.threshold)
    others = table[~np.asarray(table["positive"], bool)]
    if not len(others):
        return []
    worst = others[0]
    return [
        f"Most often taken for a {run.positive}: {str(worst['object_type']).replace('_', ' ')}, "
        f"{100 * worst['fraction_called_positive']:.0f} % of {worst['num']:,}. Types of object that are not in the "
        "tables it has never seen."
    ]


def _provenance(run: Run) -> list[CardSection]:
    if run.provenance:
        trained = [
            (f"{entry['date']}, {name}", value) for entry in run.provenance
            for part in ("software", "hardware") for name, value in entry[part].items()
        ]  # fmt: skip
    else:
        trained = [("trained with", "not recorded: an earlier version of clusterjax")]
    last = {**run.provenance[-1]["software"], **run.provenance[-1]["hardware"]} if run.provenance else {}
    now = {**describe_software(), **describe_hardware()}
    return [
        CardSection("Provenance", facts=[
            *trained,
            *((f"this card, {name}", value) for name, value in now.items() if last.get(name) != value),
            ("card written", datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")),
        ]),
        CardSection(
            "Settings",
            "Those that are not the defaults of clusterjax.config; config.json in the run's folder holds all.",
            facts=_settings(run.config),
        ),
    ]  # fmt: skip


def _settings(config: ExperimentConfig) -> list[tuple[str, str]]:
    default = dict(flatten(dataclasses.asdict(ExperimentConfig())))
    return [(name, text) for name, text in flatten(dataclasses.asdict(config)) if default.get(name) != text]
