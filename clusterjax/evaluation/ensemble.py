"""What the members of an ensemble say apart and together: figures of each, mean and standard deviation, and whether
their spread knows where they err."""

from collections.abc import Sequence

import numpy as np
from astropy.table import Table
from jaxtyping import Float

from clusterjax.evaluation.binary import binary_metrics
from clusterjax.evaluation.curves import Labels
from clusterjax.evaluation.multiclass import multiclass_metrics
from clusterjax.evaluation.valid import check_scores

FIGURES = ("accuracy", "precision", "recall", "f1", "f2", "fpr", "auc", "average_precision")
MULTICLASS_FIGURES = ("accuracy", "balanced_accuracy", "macro_precision", "macro_f1", "macro_auc")


def figures_of(label: Labels, scores: Float[np.ndarray, "n class"], class_names: Sequence[str]) -> dict[str, float]:
    """The figures that tables of several runs show; of two classes those of the second."""
    if len(class_names) == 2:
        figures = binary_metrics(label, scores[:, 1])
        return {name: figures[name] for name in FIGURES}
    figures = multiclass_metrics(label, scores, class_names)
    return {name: figures[name] for name in MULTICLASS_FIGURES}


def with_mean_and_std(names: Sequence[str], rows: Sequence[dict[str, float]], *, called: str) -> Table:
    """A row each of ``names`` (column ``called``), then "mean" and "std": that of a sample, NaN for a single row.

    A figure that a row does not have, as the AUC of a single class, is left out of both.
    """
    table = Table({called: [*names, "mean", "std"]})
    for figure in rows[0]:
        values = np.array([row[figure] for row in rows], float)
        known = values[np.isfinite(values)]
        mean = known.mean() if len(known) else np.nan
        table[figure] = [*values, mean, known.std(ddof=1) if len(known) > 1 else np.nan]
    return table


def member_table(
    label: Labels, scores: Float[np.ndarray, "n member class"], names: Sequence[str], class_names: Sequence[str]
) -> Table:
    """A row a member, mean and std of the rows, and the row "ensemble" of the mean scores."""
    rows = [figures_of(label, scores[:, i], class_names) for i in range(scores.shape[1])]
    table = with_mean_and_std(names, rows, called="member")
    table.add_row({"member": "ensemble", **figures_of(label, scores.mean(1), class_names)})
    return table


def coverage_curve(right: np.ndarray, uncertainty: Float[np.ndarray, " n"], *, num_points: int = 20) -> Table:
    """Accuracy of the fraction ``coverage`` of examples that are least uncertain (El-Yaniv & Wiener 2010, JMLR 11).

    ``right`` says which were called what they are. ``accuracy_best`` is that of an uncertainty that knows all errors.
    Equal uncertainties keep their order.
    """
    check_scores(uncertainty)
    order = np.argsort(uncertainty, kind="stable")
    counts = np.unique(np.ceil(np.linspace(0, len(right), num_points + 1)[1:]).astype(int))
    kept = np.cumsum(np.asarray(right, float)[order])[counts - 1] / counts
    best = np.minimum(np.sum(right) / counts, 1.0)
    return Table({"coverage": counts / max(len(right), 1), "num": counts, "accuracy": kept, "accuracy_best": best})
