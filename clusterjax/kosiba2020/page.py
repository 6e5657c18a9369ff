"""The page with the tables and figures of Kosiba et al. (2020), from the runs of all setups."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable

import numpy as np

from clusterjax.config import ExperimentConfig
from clusterjax.data.sources import open_source
from clusterjax.experiment import make_builder
from clusterjax.jobs.cross_validation import FOLDER as CROSS_VALIDATION
from clusterjax.jobs.reporting import shown_scores
from clusterjax.jobs.session import read_json
from clusterjax.kosiba2020.setups import (
    BINARY,
    EXPERTS,
    FIVE_CLASSES,
    OPTICAL,
    PUBLISHED_FOLDS,
    PUBLISHED_SAMPLES,
    VOLUNTEERS,
    X_RAY,
    Setup,
)  # fmt: skip
from clusterjax.kosiba2020.tables import (
    binary_figures,
    data_format_curves,
    five_class_figures,
    read_predictions,
    samples_table,
    settings_table,
    setup_table,
    votes_table,
)
from clusterjax.report.blocks import FigureBlock, Section, TableBlock
from clusterjax.report.contents import CrossValidation, Report
from clusterjax.report.explanations import explanations_section
from clusterjax.report.galleries import gallery_blocks
from clusterjax.report.html import write_report
from clusterjax.report.members import cross_validation_section
from clusterjax.report.multiclass import multiclass_section
from clusterjax.report.plots_extent import plot_extent_plane
from clusterjax.report.plots_scores import plot_roc
from clusterjax.sky.catalogues import read_table

WARNING = (
    "The published figures are of real candidates of X-CLASS (170 for testing), ours of simulated ones: to be looked "
    "at side by side, not compared."
)
FOLDS = "cross_validation"  # the folder of that run
_FORMATS = {"X-ray and optical": EXPERTS, "X-ray": X_RAY, "optical": OPTICAL}


def write_page(workdir: pathlib.Path, scale: str, *, num_seeds: int, data_dir: str) -> pathlib.Path:
    """``workdir``/report/index.html, its figures and tables beside it."""
    get_config = functools.partial(Setup.config, scale=scale, num_seeds=num_seeds, data_dir=data_dir)
    sections = [
        _samples(scale, get_config),
        _cluster_or_not(workdir),
        _five_classes(workdir, get_config),
        _cross_validation(workdir / FOLDS / CROSS_VALIDATION),
        *_examples(workdir / EXPERTS.folder, get_config),
    ]
    seeds = f"{num_seeds} seed{'s' * (num_seeds > 1)} each"
    report = Report(
        title="Kosiba et al. (2020) on simulated data",
        subtitle=f"{len(BINARY) + len(FIVE_CLASSES)} setups, {seeds}; scale: {scale}",
        sections=sections,
        warnings=[WARNING],
    )
    return write_report(workdir / "report", report)


def _samples(scale: str, get_config: Callable) -> Section:
    labels = {}
    for sample, split in PUBLISHED_SAMPLES:
        builder = make_builder(get_config(EXPERTS if sample == "experts" else VOLUNTEERS))
        labels[sample, split] = open_source(builder, split).columns(["label"])["label"]
    blocks = [
        TableBlock("samples", samples_table(labels), "Clusters and others as they are labelled, and as published."),
        TableBlock("settings", settings_table(BINARY[:2], scale), "How the networks were trained, and as published."),
        TableBlock("votes", votes_table(), "What volunteers decide: theirs on 404 objects, ours simulated."),
    ]
    return Section("samples", "Samples, settings and votes", WARNING, blocks)


def _cluster_or_not(workdir: pathlib.Path) -> Section:
    figures = {setup: binary_figures(workdir / setup.folder) for setup in BINARY}
    curves, areas = data_format_curves({name: workdir / setup.folder for name, setup in _FORMATS.items()})
    test = read_predictions(workdir / EXPERTS.folder)
    plane = functools.partial(
        plot_extent_plane,
        np.asarray(test["extent_arcsec"], float),
        np.asarray(test["extension_likelihood"], float),
        np.asarray(test["label"]).astype(bool),
        np.asarray(test["score"], float) >= 0.5,
    )
    blocks = [
        TableBlock("binary", setup_table(figures), "Cluster or not: mean and standard deviation over seeds."),
        FigureBlock(
            "roc_data_formats", functools.partial(plot_roc, curves, areas), "ROC curves by data format",
            "The custom network on both images and on either alone; mean score of the seeds.",
        ),
        FigureBlock(
            "extent_plane", plane, "Extent and extension likelihood of clusters and others",
            "Where the custom network is right and wrong, beside XAmin's classes C1 and C2; mean score of the seeds.",
        ),
    ]  # fmt: skip
    return Section("binary", "Cluster or not", "", blocks)


def _five_classes(workdir: pathlib.Path, get_config: Callable) -> Section:
    """The table of both networks; ROC of each class and the figures a class of the first, MobileNet."""
    first = FIVE_CLASSES[0]
    figures = {setup: five_class_figures(workdir / setup.folder) for setup in FIVE_CLASSES}
    table = TableBlock(
        "five_classes", setup_table(figures), "Five classes, each against the rest; means over the classes."
    )
    section = multiclass_section(_shown(workdir / first.folder, get_config(first))["predictions"])
    return dataclasses.replace(
        section, anchor="five_classes", title="Five classes",
        lead=f"Figures and the second table are of {first.network}, mean score of the seeds.",
        blocks=[table, *section.blocks],
    )  # fmt: skip


def _cross_validation(folder: pathlib.Path) -> Section:
    folds = CrossValidation(read_table(folder / "predictions.fits"), read_table(folder / "folds.fits"))
    section = cross_validation_section(folds)
    lead = f"The custom network on both images; published accuracies of the ten folds: {PUBLISHED_FOLDS}."
    return dataclasses.replace(section, lead=lead)


def _examples(run: pathlib.Path, get_config: Callable) -> list[Section]:
    """Galleries of right, wrong and uncertain ones in all channels, and activation maps."""
    shown = _shown(run, get_config(EXPERTS))
    explanations = shown["explanations"]
    galleries = gallery_blocks(shown["galleries"], natural=True)
    return [
        Section("examples", "Right, wrong and uncertain", explanations.description, galleries),
        explanations_section(explanations, natural=True),
    ]


def _shown(run: pathlib.Path, config: ExperimentConfig) -> dict:
    return shown_scores(run, config, config.explain, read_json(run / "evaluation" / "metrics.json"))
