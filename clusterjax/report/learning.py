"""The section of a report about training: loss and accuracy curves, the LR range test, the history as a table."""

import functools
from collections.abc import Mapping, Sequence

import numpy as np
from astropy.table import Table

from clusterjax.report import plots_learning
from clusterjax.report.blocks import FigureBlock, Section, TableBlock
from clusterjax.report.contents import Report


def learning_section(report: Report) -> Section:
    blocks: list = []
    if report.history:
        best = plots_learning.best_epoch(report.history)
        for metric in ("loss", "accuracy"):
            if not any(row.get(metric) is not None for row in report.history):
                continue
            blocks.append(
                FigureBlock(
                    metric,
                    functools.partial(plots_learning.plot_history, report.history, metric),
                    f"{metric.capitalize()} of training and validation against epochs.",
                    f"{metric.capitalize()} of training batches (augmented, with dropout) and of validation. "
                    + (f"The dotted line is epoch {best:g}, the checkpoint reported here." if best is not None else ""),
                )
            )
    if report.lr_range is not None and len(report.lr_range.learning_rates):
        test = report.lr_range
        blocks.append(
            FigureBlock(
                "lr_range",
                functools.partial(
                    plots_learning.plot_lr_range,
                    test.learning_rates, test.losses, test.smoothed, suggestion=test.suggestion,
                ),
                "Loss against learning rate in the range test.",
                "LR range test: one batch at each rate, each a little higher than the last. "
                + (test.reason or "Training takes the rate at which the loss falls most steeply."),
            )
        )  # fmt: skip
    if report.history:
        blocks.append(TableBlock("history", history_table(report.history), "Every logged row.", folded=True))
    return Section("learning", "How it learned", "", blocks)


def history_table(history: Sequence[Mapping]) -> Table:
    """The rows of metrics.jsonl as a table, NaN where a row lacks a figure."""
    names = list(dict.fromkeys(name for row in history for name in row))

    def column(name):
        values = [row.get(name) for row in history]
        if any(isinstance(value, str) for value in values):
            return [str(value or "") for value in values]
        return [np.nan if value is None else value for value in values]

    return Table({name: column(name) for name in names})
