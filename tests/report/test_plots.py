"""Figures show the numbers that they were given."""

import subprocess
import sys

import made_up
import matplotlib
import numpy as np
import pytest
from astropy.table import Table
from matplotlib.backends.backend_agg import RendererAgg

from clusterjax.evaluation.breakdown import confusion_by_object_type, recall_in_bins
from clusterjax.evaluation.curves import precision_recall_curve, roc_curve
from clusterjax.report import plots_learning, plots_scores, plots_sky
from clusterjax.report.survey import _marks
from clusterjax.report.theme import DARK, LIGHT, THEMES, to_png
from clusterjax.sky.geometry import make_wcs


@pytest.fixture(scope="module")
def predictions():
    return made_up.predictions(400)


@pytest.fixture(scope="module")
def survey():
    return made_up.survey(side=300, num_clusters=5)


def line_of(figure, label):
    """The data (n, 2) of the line whose label begins so."""
    lines = [line for axes in figure.axes for line in axes.get_lines()]
    return next(line.get_xydata() for line in lines if str(line.get_label()).startswith(label))


def test_pyplot_is_never_imported():
    code = "import clusterjax.report.html, sys; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("theme", THEMES)
def test_themes_leave_no_trace(theme, predictions):
    before = dict(matplotlib.rcParams)
    figure = plots_scores.plot_score_histogram({"all": predictions.column("score")}, theme=theme)
    assert dict(matplotlib.rcParams) == before
    assert matplotlib.colors.to_hex(figure.get_facecolor()) == theme.background


def test_the_same_figure_is_the_same_bytes():
    draw = plots_learning.plot_history
    assert to_png(draw(made_up.history(2), "loss")) == to_png(draw(made_up.history(2), "loss"))
    assert to_png(draw(made_up.history(2), "loss")) != to_png(draw(made_up.history(2), "loss", theme=DARK))


def test_roc_and_precision_recall(predictions):
    label, score = predictions.label, predictions.column("score")
    roc, curve = roc_curve(label, score), precision_recall_curve(label, score)
    figure = plots_scores.plot_roc({"net": roc}, {"net": 0.97}, working_points={"net": (0.1, 0.8)})
    drawn = line_of(figure, "net, AUC 0.970")
    np.testing.assert_array_equal(drawn[:, 1], roc.true_positive_rate)
    np.testing.assert_allclose(drawn[1:, 0], np.maximum(roc.false_positive_rate, 1e-4)[1:])
    figure = plots_scores.plot_precision_recall({"net": curve}, {"net": 0.9}, prevalence=0.5)
    drawn = line_of(figure, "net, average 0.900")
    np.testing.assert_array_equal(drawn, np.stack([curve.recall, curve.precision], axis=1))


def test_confusion_writes_counts_and_shares():
    figure = plots_scores.plot_confusion(np.array([[90, 10], [0, 0]]), ["other", "cluster"])
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["90.0 %", "90", "10.0 %", "10", "–", "0", "–", "0"]


def test_recall_draws_every_bin_that_holds_something():
    value = np.array([0.2, 0.2, 0.9, 0.9, 0.9])
    table = recall_in_bins(value, np.ones(5, int), np.array([1, 0, 1, 1, 0.0]), edges=[0.1, 0.3, 0.5, 1.0])
    figure = plots_scores.plot_recall({"net": table}, xlabel="redshift", published=[(0.1, 0.3, 0.4)])
    drawn = figure.axes[0].containers[0].lines[0].get_xydata()
    np.testing.assert_allclose(drawn, [[0.2, 0.5], [0.9, 2 / 3]])
    low, high = figure.axes[0].get_ylim()
    assert low < table["recall_low"][0] < high


def test_object_types_keep_one_order(predictions):
    label, types = predictions.label, np.asarray(predictions.table["object_type"])
    tables = {
        name: confusion_by_object_type(types, label, score, threshold=cut)
        for name, score, cut in (
            ("net", predictions.column("score"), 0.5),
            ("count", predictions.column("aperture_count"), 8.0),
        )
    }
    axes = plots_scores.plot_by_object_type(tables).axes[0]
    names = [text.get_text().split("  ")[0].replace(" ", "_") for text in axes.get_yticklabels()]
    assert names == tables["net"]["object_type"].tolist()
    count = dict(zip(tables["count"]["object_type"], tables["count"]["fraction_called_positive"], strict=True))
    drawn = axes.containers[1].lines[0].get_xydata()[:, 0]
    np.testing.assert_allclose(drawn, [count[name] for name in names])


def test_history_and_best_epoch():
    history = made_up.history(6)
    figure = plots_learning.plot_history(history, "accuracy")
    expected = [[row["epoch"], row["accuracy"]] for row in history if row["split"] == "validation"]
    np.testing.assert_allclose(line_of(figure, "validation"), expected)
    losses = {row["epoch"]: row["loss"] for row in history if row["split"] == "validation"}
    assert plots_learning.best_epoch(history) == min(losses, key=losses.get)
    assert plots_learning.best_epoch(history[:3]) is None


def test_a_history_that_diverged_is_drawn():
    history = [
        {"step": i, "epoch": i / 3, "split": split, "loss": value}
        for i, value in enumerate([0.7, np.nan, np.inf, np.nan])
        for split in ("train", "validation")
    ]
    assert to_png(plots_learning.plot_history(history, "loss"))
    assert plots_learning.plot_lr_range([1e-5, 1e-4], [0.7, np.nan], [0.7, np.nan]).axes


def test_map_marks_lie_on_their_pixels(survey):
    """On the map they are the detections' own pixels; on the score grid those over the stride, less the offset."""
    on_map = _marks(survey, survey.sky_map.sky_to_pixel)
    np.testing.assert_allclose(on_map.x_pixels, survey.detections["x_pixels"], atol=1e-3)
    np.testing.assert_allclose(on_map.y_pixels, survey.detections["y_pixels"], atol=1e-3)
    figure = plots_sky.plot_score_map(survey.probability_map.score, survey.probability_map.wcs, on_map)
    assert figure.axes[0].images[0].get_clim() == (0, 1)
    assert figure.axes[0].images[0].get_cmap().name == "PuBu"


@pytest.mark.parametrize(
    ("ra_deg", "dec_deg", "words"), [(30.0, 5.0, "ʰ"), (0.0, -40.0, "−40°00'"), (180.0, 89.5, "ʰ")]
)
@pytest.mark.parametrize("pixel_scale_arcsec", [2.75, 30.0])
def test_coordinates_are_written_as_one_reads_them(ra_deg, dec_deg, words, pixel_scale_arcsec, monkeypatch):
    """Not in TeX: the report takes a dollar for a dollar."""
    drawn = []
    draw_text = RendererAgg.draw_text

    def note(self, graphics, x, y, text, *args, **kwargs):
        drawn.append((text, kwargs.get("ismath", args[2] if len(args) > 2 else False)))
        return draw_text(self, graphics, x, y, text, *args, **kwargs)

    monkeypatch.setattr(RendererAgg, "draw_text", note)
    wcs = make_wcs((120, 120), ra_deg=ra_deg, dec_deg=dec_deg, pixel_scale_arcsec=pixel_scale_arcsec)
    nobody = np.zeros(0)
    to_png(plots_sky.plot_score_map(np.zeros((120, 120)), wcs, plots_sky.Marks(nobody, nobody, nobody)))
    assert any(words in text for text, _ in drawn)
    assert not [text for text, ismath in drawn if "$" in text and not ismath]


def test_completeness_curve_marks_the_threshold():
    curve = Table(
        {
            "threshold": [0.5, 0.7, 0.9],
            "completeness": [0.9, 0.8, 0.6],
            "purity": [0.5, 0.7, 1.0],
            "false_per_deg2": [4.0, 2.0, 0.0],
        }
    )
    figure = plots_sky.plot_completeness_curve(curve, threshold=0.6, target=(1.0, 0.8))
    np.testing.assert_allclose(line_of(figure, "completeness"), [[1, 0.6], [2, 0.8], [4, 0.9]])
    np.testing.assert_allclose(line_of(figure, "threshold"), [[2, 0.8]])
    strict = plots_sky.plot_completeness_curve(curve, threshold=0.99)
    both = plots_sky.plot_completeness_curve(curve, others={"matched filter": curve[:2]})
    lines = {line.get_label(): line for line in both.axes[0].get_lines()}
    assert len(lines["completeness, matched filter"].get_xdata()) == 2
    np.testing.assert_allclose(line_of(strict, "threshold"), [[1, 0.6]])


def test_thumbnails_sheet_holds_all():
    pictures = np.zeros((8, 6, 6, 3), np.uint8)
    figure = plots_sky.plot_thumbnails(pictures, [str(i) for i in range(8)], num_columns=6, theme=LIGHT)
    assert [text.get_text() for text in figure.axes[0].texts] == [str(i) for i in range(8)]
    assert len(figure.axes[0].images) == 8
