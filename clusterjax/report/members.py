"""The sections of a report about several networks: the members of an ensemble, and the folds of a cross-validation."""

import functools

import numpy as np
from astropy.table import Table

from clusterjax.evaluation.curves import roc_curve
from clusterjax.evaluation.ensemble import coverage_curve
from clusterjax.report import plots_scores
from clusterjax.report.blocks import FigureBlock, Section, TableBlock
from clusterjax.report.contents import CrossValidation, Predictions
from clusterjax.report.plots_members import plot_coverage

SPREAD = "spread"


def members_section(predictions: Predictions, members: Table) -> Section:
    """Each member's figures, and whether the spread of their scores tells where the ensemble errs."""
    label, called = predictions.label, np.argmax(predictions.probabilities, axis=1)
    right = called == label
    curves = {}
    spread = predictions.column(SPREAD)
    if spread is not None:
        curves["spread of the members"] = coverage_curve(right, spread)
    curves["score nearest to undecided"] = coverage_curve(right, 1 - predictions.probabilities.max(axis=1))
    half = {name: float(curve["accuracy"][len(curve) // 2 - 1]) for name, curve in curves.items()}
    lead = (
        "The scores of this page are the mean over several networks, or over passes with other units dropped. What one "
        "of them alone does is below; their standard deviation is the column spread of the predictions, the map and "
        "the candidates."
    )
    blocks = [
        FigureBlock(
            "coverage",
            functools.partial(plot_coverage, curves, accuracy=float(right.mean())),
            "Accuracy of the least uncertain fraction of the cutouts: "
            + ", ".join(f"{value:.3f} of half of them by {name}" for name, value in half.items()) + ".",
            "Accuracy when only the least uncertain are called. A spread worth having rises to the left as fast as the "
            "distance of the score from undecided, or faster; dotted: an uncertainty that knows every error.",
        ),
        TableBlock("members", members, "Each member on the test split; mean and standard deviation; the mean score."),
    ]  # fmt: skip
    return Section("members", "How far its members agree", lead, blocks)


def cross_validation_section(folds: CrossValidation) -> Section:
    table = folds.predictions
    blocks: list = [TableBlock("folds", folds.figures, "Each fold, tested on sky that its network has not seen.")]
    if "score" in table.colnames:
        fold = np.asarray(table["fold"])
        curves, areas = {}, {}
        auc = dict(zip(folds.figures["fold"], folds.figures["auc"], strict=True))
        for number in np.unique(fold):
            name, chosen = f"fold {number}", fold == number
            label = np.asarray(table["label"])[chosen]
            if 0 < label.sum() < len(label):
                curves[name] = roc_curve(label, np.asarray(table["score"], float)[chosen])
                areas[name] = float(auc[name])
        if curves:
            blocks.insert(
                0,
                FigureBlock(
                    "roc_folds",
                    functools.partial(plots_scores.plot_roc, curves, areas),
                    "ROC curves of the folds: " + ", ".join(f"{name} {area:.3f}" for name, area in areas.items()) + ".",
                    "The ROC curve of each fold.",
                ),
            )
    lead = (
        f"{len(table):,} examples in {len(folds.figures) - 2} folds of whole sky blocks: each is scored by the network "
        "that was trained, and its checkpoint chosen, without its fold."
    )
    return Section("cross_validation", "Cross-validation", lead, blocks)
