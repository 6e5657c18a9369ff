"""The section of a report about the scores of the test split, for two classes."""

import functools

import numpy as np

from clusterjax.evaluation.binary import binary_metrics, confusion_matrix
from clusterjax.evaluation.breakdown import confusion_by_object_type, recall_in_bins
from clusterjax.evaluation.curves import auc, average_precision, precision_recall_curve, roc_curve
from clusterjax.evaluation.operating import figures_at_false_positive_rates, figures_at_thresholds
from clusterjax.report import plots_scores
from clusterjax.report.blocks import FigureBlock, Section, TableBlock
from clusterjax.report.contents import Predictions
from clusterjax.report.plane import plane_blocks
from clusterjax.report.redshift_kinds import redshift_kind_blocks

REDSHIFT_EDGES = (0.1, 0.3, 0.5, 0.8, 1.1, 1.6)  # of the published figures
_LEAST_TO_BIN = 20  # positives with a redshift, mass or S/N; fewer make no curve
# Column -> (its name, label of the axis, one unit of the axis, logarithmic)
_RECALL_AGAINST = {
    "redshift": ("redshift", "redshift", 1.0, False),
    "m500c_msun": ("mass", "M500c / 10¹⁴ M☉", 1e14, True),
    "snr": ("snr", "S/N of the matched filter", 1.0, False),
}


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
    blocks += [
        FigureBlock(
            "score_histogram",
            functools.partial(plots_scores.plot_score_histogram, by_class, threshold=predictions.threshold),
            f"Histogram of the network's scores for {names[1]} and {names[0]}, on a logarithmic axis.",
            "Two piles at the ends are a network that is sure of itself; what lies on the wrong side of the "
            "threshold are its mistakes.",
        ),
        *confusion_blocks(confusion_matrix(label, score >= predictions.threshold), names),
        TableBlock(
            "at_thresholds",
            figures_at_thresholds(label, score),
            "What the network finds and mistakes at fixed thresholds (1σ intervals are in the table's file).",
            ("threshold", "num_called", "completeness", "fpr", "precision", "f1", "f2"),
        ),
        TableBlock(
            "at_false_positive_rates",
            figures_at_false_positive_rates(label, score),
            "At fixed false-positive rates, the network's threshold and what it finds.",
            folded=True,
        ),
    ]
    blocks += _object_type_blocks(predictions, label, observers)
    blocks += plane_blocks(predictions, observers)
    for column in _RECALL_AGAINST:
        blocks += _recall_blocks(predictions, column, label, observers)
    blocks += redshift_kind_blocks(predictions, label)
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
    name, xlabel, scale, log = _RECALL_AGAINST[column]
    if column != "snr":
        values = np.where(values > 0, values, np.nan)
    known = values[(label == 1) & np.isfinite(values)]
    if len(known) < _LEAST_TO_BIN:
        return []
    published = predictions.ceiling.recall_by_redshift if predictions.ceiling and column == "redshift" else ()
    bins: dict = {"num_quantiles": min(10, len(known) // 10)}
    if published and known.min() >= REDSHIFT_EDGES[0] and known.max() <= REDSHIFT_EDGES[-1]:
        bins = {"edges": REDSHIFT_EDGES}
    tables = {
        name: recall_in_bins(values, label, score, threshold=cut, **bins) for name, (score, cut) in observers.items()
    }
    caption = (
        f"Recall in bins of {xlabel.split(' /')[0]}, each observer at its own threshold, with 1σ binomial intervals."
    )
    if published:
        caption += " Grey: what was published on other draws of the same task."
    else:
        caption += " Bins hold equal numbers."
    if column == "m500c_msun":
        caption += " Light clusters are the hard ones: their signal is small."
    return [
        FigureBlock(
            f"recall_{name}",
            functools.partial(
                plots_scores.plot_recall, tables, xlabel=xlabel, scale=scale, log=log, published=published
            ),
            f"Recall against {xlabel}: "
            + ", ".join(f"{r['recall']:.2f} at {r['median']:.3g}" for r in tables[predictions.network_name] if r["num"])
            + ".",
            caption,
        ),
        TableBlock(f"recall_{name}", tables[predictions.network_name], f"Recall in bins of {xlabel}.", folded=True),
    ]


def confusion_blocks(counts: np.ndarray, names: list[str]) -> list[FigureBlock]:
    """The confusion matrix, normalised over true and over called classes."""
    sums = {
        "true": "Each row is a true class and sums to 100 %. Off the diagonal: what is taken for what.",
        "called": "Each column is what was called so and sums to 100 %: on the diagonal, how pure it is.",
    }
    return [
        FigureBlock(
            "confusion" if over == "true" else "confusion_called",
            functools.partial(plots_scores.plot_confusion, counts, names, over=over),
            f"Confusion matrix of {len(names)} classes, as fractions of each {over} class.",
            caption,
        )
        for over, caption in sums.items()
    ]
