"""The section of a report about the scores of the test split: two classes, or many."""

import functools

import numpy as np

from clusterjax.evaluation.binary import binary_metrics, confusion_matrix
from clusterjax.evaluation.breakdown import confusion_by_object_type, recall_in_bins
from clusterjax.evaluation.curves import auc, average_precision, precision_recall_curve, roc_curve
from clusterjax.evaluation.multiclass import called_class, per_class_table
from clusterjax.report import plots_scores
from clusterjax.report.blocks import FigureBlock, Section, TableBlock
from clusterjax.report.contents import Predictions

REDSHIFT_EDGES = (0.1, 0.3, 0.5, 0.8, 1.1, 1.6)  # of the published figures
_LEAST_TO_BIN = 20  # positives with a redshift or mass; fewer make no curve


def _observers(predictions: Predictions) -> dict[str, tuple[np.ndarray, float]]:
    """Score and threshold by name, the network first."""
    observers = {predictions.network_name: (predictions.probabilities[:, 1], predictions.threshold)}
    classical = predictions.column(predictions.classical) if predictions.classical else None
    if classical is not None and np.isfinite(classical).all():
        observers[predictions.classical_name] = (classical, predictions.classical_threshold)
    return observers


def binary_section(predictions: Predictions) -> Section:
    """Curves, histogram, confusion, object types, recall against redshift and mass."""
    label, names = predictions.label, list(predictions.class_names)
    observers = _observers(predictions)
    metrics = {name: binary_metrics(label, score, threshold=cut) for name, (score, cut) in observers.items()}
    score = predictions.probabilities[:, 1]
    blocks = [*_curve_blocks(label, observers, metrics)]
    by_class = {names[1]: score[label == 1], names[0]: score[label == 0]}
    network = metrics[predictions.network_name]
    blocks += [
        FigureBlock(
            "score_histogram",
            functools.partial(plots_scores.plot_score_histogram, by_class, threshold=predictions.threshold),
            f"Histogram of the network's scores for {names[1]} and {names[0]}, on a logarithmic axis.",
            "Two piles at the ends are a network that is sure of itself; what lies on the wrong side of the "
            "threshold are its mistakes.",
        ),
        FigureBlock(
            "confusion",
            functools.partial(
                plots_scores.plot_confusion, confusion_matrix(label, score >= predictions.threshold), names
            ),
            f"Confusion matrix of two classes: recall {network['recall']:.3f}, "
            f"false-positive rate {network['fpr']:.3f}.",
            f"Each row is a true class and sums to 100 %. Called {names[1]}: score at or above "
            f"{predictions.threshold:g}.",
        ),
    ]
    blocks += _object_type_blocks(predictions, label, observers)
    for column in ("redshift", "m500c_msun"):
        blocks += _recall_blocks(predictions, column, label, observers)
    return Section(
        "scores",
        "How well it separates",
        f"{len(label):,} test cutouts that no training step has seen, {int(label.sum()):,} of them of class "
        f"“{names[1]}”. Dots on the curves are the thresholds used in the tables.",
        blocks,
    )


def _curve_blocks(label, observers, metrics) -> list[FigureBlock]:
    rocs = {name: roc_curve(label, score) for name, (score, _) in observers.items()}
    areas = {name: auc(label, score) for name, (score, _) in observers.items()}
    precisions = {name: precision_recall_curve(label, score) for name, (score, _) in observers.items()}
    averages = {name: average_precision(label, score) for name, (score, _) in observers.items()}
    summary = ", ".join(f"{name} {area:.3f}" for name, area in areas.items())
    return [
        FigureBlock(
            "roc",
            functools.partial(
                plots_scores.plot_roc,
                rocs,
                areas,
                working_points={name: (figures["fpr"], figures["recall"]) for name, figures in metrics.items()},
            ),
            f"ROC curves with a logarithmic false-positive axis. Areas: {summary}.",
            "Recall against the false-positive rate. Look at the left: a survey meets thousands of empty windows "
            "for each cluster, so only rates below a per cent are of use there.",
        ),
        FigureBlock(
            "precision_recall",
            functools.partial(
                plots_scores.plot_precision_recall,
                precisions,
                averages,
                prevalence=float(np.mean(label)) if len(label) else None,
                working_points={name: (figures["recall"], figures["precision"]) for name, figures in metrics.items()},
            ),
            "Precision against recall: " + ", ".join(f"{name} {value:.3f}" for name, value in averages.items()) + ".",
            "Precision against recall for this mix of objects. Where the curve leaves the top edge, purity is "
            "being paid for completeness.",
        ),
    ]


def _object_type_blocks(predictions: Predictions, label, observers) -> list:
    if "object_type" not in predictions.table.colnames:
        return []
    types = np.asarray(predictions.table["object_type"]).astype(str)
    if len(np.unique(types)) < 2:
        return []
    tables = {
        name: confusion_by_object_type(types, label, score, threshold=cut) for name, (score, cut) in observers.items()
    }
    positive = predictions.class_names[1]
    worst = next((row for row in tables[predictions.network_name] if not row["positive"]), None)
    caption = f"The fraction of each object type that is called {positive}; bars are 1σ binomial intervals."
    if worst is not None:
        caption += (
            f" Most often taken for a {positive}: {str(worst['object_type']).replace('_', ' ')} "
            f"({100 * worst['fraction_called_positive']:.0f} %)."
        )
    return [
        FigureBlock(
            "by_object_type",
            functools.partial(plots_scores.plot_by_object_type, tables, positive_name=positive),
            f"Fraction called {positive} for each of {len(np.unique(types))} object types.",
            caption,
            layout="beside",
        ),
        *(
            TableBlock(
                f"confusion_by_object_type_{'network' if i == 0 else 'classical'}",
                table,
                f"Confusion per object type, {name}.",
                folded=True,
            )
            for i, (name, table) in enumerate(tables.items())
        ),
    ]


def _recall_blocks(predictions: Predictions, column: str, label, observers) -> list:
    values = predictions.column(column)
    if values is None:
        return []
    values = np.where(values > 0, values, np.nan)
    known = values[(label == 1) & np.isfinite(values)]
    if len(known) < _LEAST_TO_BIN:
        return []
    is_redshift = column == "redshift"
    published = predictions.ceiling.recall_by_redshift if predictions.ceiling and is_redshift else ()
    bins: dict = {"num_quantiles": min(8, len(known) // 10)}
    if is_redshift and known.min() >= REDSHIFT_EDGES[0] and known.max() <= REDSHIFT_EDGES[-1]:
        bins = {"edges": REDSHIFT_EDGES}
    tables = {
        name: recall_in_bins(values, label, score, threshold=cut, **bins) for name, (score, cut) in observers.items()
    }
    name = "redshift" if is_redshift else "mass"
    caption = f"Recall in bins of {name}, each observer at its own threshold, with 1σ binomial intervals."
    if published:
        caption += " Grey: what was published on other draws of the same task."
    elif not is_redshift:
        caption += " Bins hold equal numbers. Light clusters are the hard ones: their signal is small."
    return [
        FigureBlock(
            f"recall_{name}",
            functools.partial(
                plots_scores.plot_recall,
                tables,
                xlabel="redshift" if is_redshift else "M500c / 10¹⁴ M☉",
                scale=1.0 if is_redshift else 1e14,
                log=not is_redshift,
                published=published,
            ),
            f"Recall against {name}: "
            + ", ".join(f"{r['recall']:.2f} at {r['median']:.3g}" for r in tables[predictions.network_name] if r["num"])
            + ".",
            caption,
        ),
        TableBlock(f"recall_{name}", tables[predictions.network_name], f"Recall in bins of {name}.", folded=True),
    ]


def multiclass_section(predictions: Predictions) -> Section:
    """Confusion, a row of figures a class, ROC and precision-recall of each class against the rest."""
    label, names = predictions.label, [str(name) for name in predictions.class_names]
    probabilities = predictions.probabilities
    table = per_class_table(label, probabilities, names)
    occurring = [i for i in range(len(names)) if 0 < np.sum(label == i) < len(label)]
    rocs = {names[i]: roc_curve(label == i, probabilities[:, i]) for i in occurring}
    precisions = {names[i]: precision_recall_curve(label == i, probabilities[:, i]) for i in occurring}
    areas = {name: float(table["auc"][names.index(name)]) for name in rocs}
    averages = {name: float(table["average_precision"][names.index(name)]) for name in rocs}
    blocks = [
        FigureBlock(
            "confusion",
            functools.partial(
                plots_scores.plot_confusion,
                confusion_matrix(label, called_class(probabilities), len(names)),
                names,
            ),
            f"Confusion matrix of {len(names)} classes.",
            "Each row is a true class and sums to 100 %. Off the diagonal: what is taken for what.",
        ),
        TableBlock("per_class", table, "Each class against the rest; intervals are 1σ."),
    ]
    if rocs:
        blocks[1:1] = [
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
