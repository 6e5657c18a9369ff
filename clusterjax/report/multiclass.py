"""The section of a report about the scores of the test split, for many classes."""

import functools

import numpy as np

from clusterjax.evaluation.binary import confusion_matrix
from clusterjax.evaluation.curves import precision_recall_curve, roc_curve
from clusterjax.evaluation.multiclass import called_class, per_class_table
from clusterjax.report import plots_scores
from clusterjax.report.blocks import FigureBlock, Section, TableBlock
from clusterjax.report.contents import Predictions
from clusterjax.report.scores import confusion_blocks


def multiclass_section(predictions: Predictions) -> Section:
    """Confusion, a row of figures a class, ROC and precision-recall of each class against the rest."""
    label, names = predictions.label, [str(name) for name in predictions.class_names]
    probabilities = predictions.probabilities
    called, top = called_class(probabilities), probabilities.max(axis=1)
    table = per_class_table(label, probabilities, names)
    occurring = [i for i in range(len(names)) if 0 < np.sum(label == i) < len(label)]
    rocs = {names[i]: roc_curve(label == i, probabilities[:, i]) for i in occurring}
    precisions = {names[i]: precision_recall_curve(label == i, probabilities[:, i]) for i in occurring}
    areas = {name: float(table["auc"][names.index(name)]) for name in rocs}
    averages = {name: float(table["average_precision"][names.index(name)]) for name in rocs}
    blocks = [
        *confusion_blocks(confusion_matrix(label, called, len(names)), names),
        FigureBlock(
            "score_histogram",
            functools.partial(
                plots_scores.plot_score_histogram,
                {"called right": top[called == label], "called wrong": top[called != label]},
                xlabel="score of the class called",
            ),
            "Histogram of the highest score of each image, for right and for wrong calls, on a logarithmic axis.",
            "The score of the class that was called: a network that knows what it does not know is wrong at the left.",
        ),
        TableBlock("per_class", table, "Each class against the rest; intervals are 1σ."),
    ]
    if rocs:
        blocks[:0] = [
            FigureBlock(
                "roc",
                functools.partial(plots_scores.plot_roc, rocs, areas),
                "ROC curves of each class against the rest: "
                + ", ".join(f"{name} {area:.3f}" for name, area in areas.items()) + ".",
                "Recall of each class against the share of the others that is taken for it.",
            ),
            FigureBlock(
                "precision_recall",
                functools.partial(plots_scores.plot_precision_recall, precisions, averages),
                "Precision against recall of each class against the rest.",
                "Precision against recall, each class against the rest. Rare classes lie lower for the same "
                "ranking: there is more that can be taken for them.",
            ),
        ]  # fmt: skip
    lead = f"{len(label):,} test images of {len(names)} classes, which no training step has seen."
    return Section("scores", "How well it separates", lead, blocks)
