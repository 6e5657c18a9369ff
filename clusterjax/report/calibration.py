"""The section of a report about whether scores and probabilities mean what they say."""

import functools

import numpy as np
from astropy.table import Table

from clusterjax.evaluation.reliability import outcomes, reliability_table
from clusterjax.report import plots_calibration, plots_scores
from clusterjax.report.blocks import FigureBlock, Section, TableBlock
from clusterjax.report.contents import Predictions


def calibration_section(predictions: Predictions) -> Section:
    """Reliability before and after, all calibrations side by side, and the change of prior where there is one."""
    label, binary = predictions.label, predictions.is_binary
    said = {"score, as it comes": predictions.probabilities}
    if predictions.calibrated is not None:
        said = {"score, as it comes": predictions.probabilities, "probability, calibrated": predictions.calibrated}
    tables = {name: reliability_table(*outcomes(label, values)) for name, values in said.items()}
    what = f"are {predictions.class_names[1]}s" if binary else "are of the class that was called"
    blocks: list = [
        FigureBlock(
            "reliability",
            functools.partial(
                plots_calibration.plot_reliability,
                tables,
                xlabel="what was said: mean of the bin" if binary else "what was said of the class called",
                ylabel=f"fraction that {what}",
            ),
            f"Reliability diagram: the fraction of test cutouts that {what} against what was said of them.",
            f"Test cutouts in bins of equal counts: the fraction that {what} against what the network said. Below the "
            "diagonal it is too sure."
            + (" The calibration was fitted on the validation split." if predictions.calibrated is not None else ""),
        )
    ]
    if binary and predictions.calibrated is not None:
        probability = predictions.calibrated[:, 1]
        by_class = {predictions.class_names[i]: probability[label == i] for i in (1, 0)}
        blocks.append(
            FigureBlock(
                "probability_histogram",
                functools.partial(plots_scores.plot_score_histogram, by_class, xlabel="probability"),
                "Histogram of the calibrated probabilities of each class, on a logarithmic axis.",
                "The calibrated probabilities. Mistakes that were made with certainty are the tails at the wrong end.",
            )
        )
    blocks += [
        TableBlock(f"reliability_{name.split(',')[0]}", table, f"Reliability of the {name}, bin by bin.", folded=True)
        for name, table in tables.items()
    ]
    if predictions.calibration is not None:
        blocks.append(TableBlock("calibration", predictions.calibration, _explain(predictions.calibration)))
    if predictions.prior is not None:
        blocks.append(
            TableBlock(
                "prior",
                predictions.prior,
                "How often cutouts of the data set and windows of the sky show each type of object. In maps and of "
                "candidates, probabilities are those of the sky; in tables of predictions, those of the data set.",
            )
        )
    lead = "Of all objects to which a probability of 0.8 is given, four in five should be what they are said to be."
    return Section("calibration", "Can a score be believed", lead, blocks)


def _explain(table: Table) -> str:
    used = [str(row["calibration"]) for row in table if row["used"]]
    best = str(table["calibration"][int(np.argmin(table["log_loss"]))])
    return (
        "On the test split: log loss (nats), Brier score, and the expected calibration error with its bootstrap error, "
        "beside what it would be if nothing were wrong. "
        + (f"Used: {used[0]}. " if used and used[0] != "none" else "None is used. ")
        + f"Least log loss: {best}."
    )
