"""Pictures of what the network looks at, and the plane of who finds what."""

import dataclasses

import made_up
import numpy as np
import pytest
from astropy.table import Table

from clusterjax.report.contents import Gallery, Saliency
from clusterjax.report.explanations import attribution_by_band
from clusterjax.report.galleries import gallery_panels
from clusterjax.report.images import band_pictures, fit_stretch, heat_pictures, signed_pictures
from clusterjax.report.plane import plane_blocks
from clusterjax.report.plots_explain import plot_activation_maps, plot_plane


def test_heat_is_brightest_where_the_map_is_largest():
    maps = np.zeros((2, 3, 3))
    maps[0, 1, 2], maps[1, 0, 0], maps[0, 0, 0] = 5.0, 0.01, np.nan
    pictures = heat_pictures(maps).astype(int)
    light = pictures.sum(axis=-1)
    assert np.unravel_index(light[0].argmax(), (3, 3)) == (1, 2)
    assert light[0, 1, 2] == light[1, 0, 0]  # each has its own scale
    assert pictures[0, 0, 0].tolist() == [118] * 3
    assert heat_pictures(np.zeros((1, 3, 3))).max() < 10  # nothing: black


def test_red_speaks_for_it_and_blue_against():
    maps = np.array([[[4.0, -4.0], [0.0, np.nan]]])
    (plus, minus), (zero, missing) = signed_pictures(maps)[0].astype(int)
    assert plus[0] > 2 * plus[2]
    assert minus[2] > 2 * minus[0]
    assert np.ptp(zero) < 5
    assert zero.min() > 240
    assert missing.tolist() == [118] * 3


def test_each_band_is_shown_by_itself():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(1, 20, 20, 2))
    images[0, 5, 5, 0], images[0, 15, 15, 1] = 50, 50
    stretch = fit_stretch(images)
    grey = band_pictures(images, stretch)
    assert np.unravel_index(grey[0, ..., 0, 0].argmax(), (20, 20)) == (5, 5)
    assert np.unravel_index(grey[0, ..., 1, 0].argmax(), (20, 20)) == (15, 15)
    gallery = Gallery("Found", images, ["one"], band_names=("W1", "W2"))
    assert list(gallery_panels(gallery, stretch, natural=False)) == ["colour", "W1", "W2"]
    saliency = Saliency(np.ones((1, 20, 20)), np.ones((1, 20, 20)))
    panels = gallery_panels(dataclasses.replace(gallery, saliency=saliency), stretch, natural=False)
    assert list(panels) == ["colour", "W1", "W2", "Grad-CAM", "attribution"]
    assert len({picture.shape for picture in panels.values()}) == 1
    one = dataclasses.replace(gallery, images=images[..., :1], band_names=("r",))
    assert list(gallery_panels(one, fit_stretch(one.images), natural=False)) == ["colour"]  # which is grey already


def test_activation_maps_have_a_row_a_layer():
    rng = np.random.default_rng(0)
    maps = {"backbone.a": rng.normal(size=(8, 8, 4)), "backbone.b": rng.normal(size=(2, 2, 2))}
    figure = plot_activation_maps(
        np.zeros((9, 9, 3), np.uint8), maps, {"backbone.a": [3, 1, 0, 9], "backbone.b": [7, 2]}
    )
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["cutout", "filter 3", "filter 1", "filter 0", "filter 9", "", "filter 7", "filter 2", "", ""]
    shown = figure.axes[2].images[0].get_array()
    brightest = np.unravel_index(shown.sum(axis=-1).argmax(), (8, 8))
    assert brightest == np.unravel_index(maps["backbone.a"][..., 1].argmax(), (8, 8))


def plane(predictions, **changes):
    predictions = dataclasses.replace(predictions, **changes)
    score = predictions.probabilities[:, 1]
    return plane_blocks(predictions, {"net": (score, 0.5), "count": (predictions.column("aperture_count"), 8.0)})


def test_the_plane_draws_and_counts_every_object():
    made = made_up.predictions()
    figure_block, counts = plane(made)
    assert counts.table["num_positives"].sum() == (made.label == 1).sum()
    figure = figure_block.plot()
    clusters, others = figure.axes
    drawn = sum(len(points.get_offsets()) for points in clusters.collections)
    assert drawn == (made.label == 1).sum()
    assert others.get_title(loc="left") == f"not “cluster” ({np.sum(made.table['object_type'] == 'group'):,})"
    both = (made.probabilities[:, 1] >= 0.5) & (made.column("aperture_count") >= 8) & (made.label == 1)
    offsets = clusters.collections[0].get_offsets()
    np.testing.assert_allclose(np.sort(offsets[:, 0]), np.sort(made.column("redshift")[both]))
    np.testing.assert_allclose(np.sort(offsets[:, 1]), np.sort(made.column("m500c_msun")[both] / 1e14), rtol=1e-5)


def test_a_plane_of_other_columns_of_none_and_of_thousands():
    made = made_up.predictions(num=12_000)
    figure = plane(made, plane=("snr", "score"))[0].plot()
    assert figure.axes[0].get_xlabel() == "snr"
    assert max(sum(len(points.get_offsets()) for points in axes.collections) for axes in figure.axes) == 4000
    assert "4,000 points are drawn" in plane(made, plane=("snr", "score"))[0].caption
    assert plane(made, plane=None) == []
    bare = dataclasses.replace(made, table=made.table.copy())
    bare.table["redshift"] = np.nan
    assert [block.kind for block in plane(bare)] == ["table"]


def test_one_observers_plane_has_found_and_missed():
    panel = (np.array([1.0, 200.0]), np.array([1.0, 2.0]), np.array([0, 1]))
    figure = plot_plane({"cluster": panel}, ["net", "missed"], xlabel="x", ylabel="y")
    assert (figure.axes[0].get_xscale(), figure.axes[0].get_yscale()) == ("log", "linear")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["net", "missed"]


def test_attributions_are_averaged_by_group():
    table = Table(
        {"group": ["a_b", "a_b", "c"], "log_odds": [1.0, 3.0, 5.0], "baseline_log_odds": [0.0, 0.0, 0.0],
         "attribution_W1": [1.0, 1.0, 5.0], "attribution_W2": [0.0, 2.0, 0.0]}
    )  # fmt: skip
    means = attribution_by_band(table)
    assert means["group"].tolist() == ["a b", "c"]
    assert means["num"].tolist() == [2, 1]
    assert means["log_odds"].tolist() == [2, 5]
    assert means["attribution_W2"][0] == pytest.approx(1)
    assert means["attribution_W2_std"][0] == pytest.approx(1)
