"""The section of a report that compares runs."""

import functools

from clusterjax.report import plots_scores
from clusterjax.report.blocks import FigureBlock, Section, TableBlock
from clusterjax.report.contents import Comparison


def comparison_section(comparison: Comparison) -> Section:
    """One table of all runs, recall against redshift of all in one picture, and the differences of pairs."""
    blocks: list = [
        TableBlock(
            "comparison",
            comparison.figures,
            "Each run on its own test split, 1σ errors over draws of it. The published accuracies are of other data.",
        )
    ]
    blocks += _purity_blocks(comparison)
    for i, (data, tables) in enumerate(comparison.recalls.items()):
        blocks.append(
            FigureBlock(
                f"recall_redshift_{i + 1}",
                functools.partial(plots_scores.plot_recall, tables, xlabel="redshift"),
                f"Recall against redshift of {', '.join(tables)}.",
                f"Recall in bins of redshift that hold equal numbers, of all runs on {data}, with 1σ intervals.",
                layout="full" if len(tables) > 3 else "half",
            )
        )
    if len(comparison.differences):
        blocks.append(
            TableBlock(
                "differences",
                comparison.differences,
                "Every two runs on the same test cutouts: differences with 1σ intervals and p-values, of accuracy by a "
                "paired bootstrap, of AUC by DeLong. With many pairs some small p-values are chance.",
            )
        )
    lead = "Figures of different data sets are not to be compared; those of one data set are, pair by pair."
    return Section("comparison", "Side by side", lead, blocks)


def _purity_blocks(comparison: Comparison) -> list:
    purity = comparison.purity
    if not len(purity):
        return []
    names = [name for name in purity.colnames if name != "data_set"]
    mix = (
        "in the mix of objects that the sky has (evaluation.sky_density_per_deg2)"
        if set(purity["mix"]) == {"sky"}
        else "in each data set's own mix, or the sky's where its densities are given"
    )
    blocks: list = [
        TableBlock(
            "purity",
            purity,
            f"Purity of the samples that hold 0.5, 0.7, 0.8 and 0.9 of the clusters, {mix}; errors over draws of the "
            "test cutouts, standard deviations over an ensemble's members. Classical observers see the same cutouts.",
            tuple(name for name in names if name != "mix" and (not name.endswith("_0.8") and "_0.8_" not in name)),
        )
    ]
    if len(comparison.purity_differences):
        blocks.append(
            TableBlock(
                "purity_differences",
                comparison.purity_differences,
                "The first's purity less the second's at equal completeness: 1σ intervals and p-values of a paired "
                "bootstrap of the test cutouts.",
                folded=True,
            )
        )
    return blocks
