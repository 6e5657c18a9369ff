"""Recall against redshift, spectroscopic and photometric redshifts apart: the latter are good to a few per cent."""

import functools

import numpy as np

from clusterjax.evaluation.breakdown import recall_in_bins
from clusterjax.report import plots_scores
from clusterjax.report.blocks import FigureBlock, TableBlock
from clusterjax.report.contents import Predictions

LEAST_TO_BIN = 20  # clusters with a redshift of that kind; fewer make no curve
_NAMES = {"spec": "spectroscopic", "phot": "photometric"}


def redshift_kind_blocks(predictions: Predictions, label: np.ndarray) -> list:
    """The network's recall in bins of equal numbers, a curve for each kind that the data set has; none without."""
    if "redshift_kind" not in predictions.table.colnames or (redshift := predictions.column("redshift")) is None:
        return []
    kinds = np.asarray(predictions.table["redshift_kind"]).astype(str)
    score, tables = predictions.probabilities[:, 1], {}
    for kind, name in _NAMES.items():
        values = np.where((kinds == kind) & (redshift > 0), redshift, np.nan)
        known = int(np.isfinite(values[label == 1]).sum())
        if known >= LEAST_TO_BIN:
            tables[name] = recall_in_bins(
                values, label, score, threshold=predictions.threshold, num_quantiles=min(10, known // 10)
            )
    if not tables:
        return []
    numbers = ", ".join(f"{int(np.sum(table['num']))} {name}" for name, table in tables.items())
    return [
        FigureBlock(
            "recall_redshift_kinds",
            functools.partial(plots_scores.plot_recall, tables, xlabel="redshift"),
            f"Recall against redshift of clusters with {' and '.join(tables)} redshifts.",
            f"The network's recall in bins of equal numbers, by how the redshift was measured ({numbers}), with 1σ "
            "binomial intervals. Spectroscopy prefers rich and bright clusters: a difference between the curves need "
            "not be one of the redshifts.",
        ),
        *(
            TableBlock(f"recall_redshift_{name}", table, f"Recall in bins of {name} redshifts.", folded=True)
            for name, table in tables.items()
        ),
    ]
