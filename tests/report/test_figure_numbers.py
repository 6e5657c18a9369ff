"""The numbers that are read back from a figure are those that it was given."""

import made_up
import numpy as np
from astropy.table import Table
from matplotlib.figure import Figure

from clusterjax.evaluation.breakdown import recall_in_bins
from clusterjax.evaluation.curves import roc_curve
from clusterjax.report import plots_scores
from clusterjax.report.figure_numbers import figure_numbers
from clusterjax.report.theme import LIGHT


def test_every_kind_of_mark():
    figure = Figure()
    axes = figure.add_subplot()
    axes.set(xlabel="mass", ylabel="number")
    axes.plot([1, 2, 3], [4, 5, 6], label="a line")
    axes.axhline(0.5)  # spans the axes: no numbers of the data
    axes.scatter([7], [8], label="dots")
    axes.bar([1], [3], width=0.5, label="bars")
    axes.errorbar([2], [5], yerr=[[1], [2]], fmt="o", label="measured")
    axes.fill_between([0, 1], [0, 0], [1, 2], label="band")
    axes.imshow([[1.0, np.nan], [3.0, 4.0]])
    table = figure_numbers(figure)
    assert set(table["x_label"]) == {"mass"}
    assert set(table["y_label"]) == {"number"}

    def rows(kind, series=""):
        found = table[(table["kind"] == kind) & (table["series"] == series)]
        return np.array([found[name] for name in ("x", "y", "x_to", "y_to", "value")]).T

    np.testing.assert_array_equal(rows("line", "a line")[:, :2], [[1, 4], [2, 5], [3, 6]])
    np.testing.assert_array_equal(rows("line", "measured")[:, :2], [[2, 5]])
    np.testing.assert_array_equal(rows("interval", "measured")[:, :4], [[2, 4, 2, 7]])
    np.testing.assert_array_equal(rows("points", "dots")[:, :2], [[7, 8]])
    np.testing.assert_array_equal(
        table[table["kind"] == "bar"]["x", "y", "x_to", "y_to"].as_array().tolist(), [(0.75, 0, 1.25, 3)]
    )
    assert rows("area", "band")[:, 1].max() == 2
    cells = rows("cell")
    np.testing.assert_array_equal(cells[:, [0, 1, 4]], [[0, 0, 1], [1, 0, np.nan], [0, 1, 3], [1, 1, 4]])
    assert len(table[table["kind"] == "line"]) == 4
    assert len(figure_numbers(Figure())) == 0


def test_of_the_reports_own_figures():
    predictions = made_up.predictions(500)
    label, score = predictions.label, predictions.column("score")
    curve = roc_curve(label, score)
    drawn = figure_numbers(plots_scores.plot_roc({"net": curve}, {"net": 0.9}, working_points={}, theme=LIGHT))
    rows = drawn[np.char.startswith(np.asarray(drawn["series"], str), "net")]
    np.testing.assert_array_equal(rows["y"], curve.true_positive_rate)
    bins = recall_in_bins(predictions.column("redshift"), label, score, num_quantiles=5)
    drawn = figure_numbers(plots_scores.plot_recall({"net": bins}, xlabel="redshift", theme=LIGHT))
    points = drawn[(drawn["kind"] == "line") & (drawn["series"] == "net")]
    np.testing.assert_allclose(points["y"], bins["recall"])
    ends = drawn[(drawn["kind"] == "interval") & (drawn["x"] == drawn["x_to"])]
    np.testing.assert_allclose(ends["y"], bins["recall_low"])
    np.testing.assert_allclose(ends["y_to"], bins["recall_high"])
    assert isinstance(drawn, Table)
