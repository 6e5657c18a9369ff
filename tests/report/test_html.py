"""The page: whole, self-contained, and true to what it was given."""

import dataclasses
import html.parser
import re

import made_up
import numpy as np
import pytest
from astropy.table import Table
from PIL import Image

from clusterjax.errors import InputError
from clusterjax.report.contents import Report
from clusterjax.report.html import _cards, write_report

VOID = {"meta", "link", "img", "br", "input"}


class Page(html.parser.HTMLParser):
    """What a browser would find; tags must close in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.images, self.text = [], set(), [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if "id" in attributes:
            assert attributes["id"] not in self.ids
            self.ids.add(attributes["id"])
        if tag == "a":
            self.links.append(attributes["href"])
        if tag == "img":
            self.images.append(attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def infrared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("infrared")
    report = made_up.infrared_report()
    return report, write_report(folder / "report", report)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    report = made_up.images_report()
    return report, write_report(tmp_path_factory.mktemp("images"), report)


def read(index):
    return Page(index.read_text("utf-8"))


@pytest.mark.parametrize("name", ["infrared", "images"])
def test_page_is_self_contained_and_accessible(name, request):
    _, index = request.getfixturevalue(name)
    text = index.read_text("utf-8")
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", text)
    assert not re.search(r"https?://|@import|url\(", text)
    page = Page(text)
    assert page.images
    for image in page.images:
        assert image["src"].startswith(("data:image/png;base64,", "data:image/jpeg;base64,"))
        assert len(image["alt"]) > 5
    for link in page.links:
        assert link[1:] in page.ids
    assert 'name="viewport"' in text
    assert "prefers-color-scheme: dark" in text
    dark = sum(image.get("class") == "on-dark" for image in page.images)
    assert dark == sum(image.get("class") == "on-light" for image in page.images) > 3
    assert index.stat().st_size < 8e6


def test_infrared_page_tells_all(infrared):
    report, index = infrared
    page = read(index)
    for name in (
        "roc", "precision_recall", "score_histogram", "confusion", "by_object_type", "recall_redshift", "recall_mass",
        "sky_map", "score_map", "plane", "activations_0", "completeness_purity", "completeness_mass", "loss",
        "accuracy", "lr_range",
    ):  # fmt: skip
        assert f"figure-{name}" in page.ids
        assert (index.parent / "figures" / f"{name}.png").is_file()
    for name in ("accuracy", "auc"):
        assert f"{report.headline[name][0]:.3f}" in page.words
    assert "published, 5k cutouts *" in page.words
    assert report.warnings[0] in page.words
    assert "0123abc" in page.words
    assert "optim.decay_per_epoch" in page.words or "decay_per_epoch" in page.words
    for title in ("Missed", "False alarms", "Found", "Rejected", "Most uncertain"):
        assert title in page.words


def test_galleries_show_bands_and_saliency_beside_each_cutout(infrared):
    report, index = infrared
    alts = [image["alt"] for image in read(index).images]
    for gallery in report.galleries:
        for text in gallery.captions:
            for name in ("colour", "W1", "W2", "Grad-CAM", "attribution"):
                assert f"{name} of {gallery.title}: {text}".replace("\n", ", ") in alts
    words = read(index).words
    assert report.explanations.description in words
    assert "attribution W1" in words


def test_candidates_are_listed_with_position_and_verdict(infrared):
    report, index = infrared
    detections = report.survey.detections
    assert np.sum(detections["source_index"] < 0) > 0
    words = read(index).words
    for row in detections:
        assert f"{row['ra_deg']:.5f} {row['dec_deg']:+.5f}" in words
        verdict = "true" if row["source_index"] >= 0 else "false"
        assert f"{row['detection_id']} score {row['score']:.4f} {verdict}" in words


@pytest.mark.parametrize("name", ["infrared", "images"])
def test_every_picture_opens_and_every_table_reads_back(name, request):
    report, index = request.getfixturevalue(name)
    pictures = list((index.parent / "figures").glob("*"))
    assert {path.suffix for path in pictures} == {".png", ".pdf"}
    assert {path.stem for path in pictures if path.suffix == ".pdf"} == {path.stem for path in pictures}
    for path in pictures:
        if path.suffix == ".pdf":
            assert path.read_bytes().startswith(b"%PDF-")
            continue
        with Image.open(path) as picture:
            picture.load()
            assert min(picture.size) > 300
    tables = {path.stem for path in (index.parent / "tables").glob("*.ecsv")}
    assert tables == {path.stem for path in (index.parent / "tables").glob("*.csv")}
    for stem in tables:
        again = Table.read(index.parent / "tables" / f"{stem}.ecsv")
        plain = Table.read(index.parent / "tables" / f"{stem}.csv", format="ascii.csv")
        assert again.colnames == plain.colnames
        assert len(again) == len(plain)
    headline = Table.read(index.parent / "tables" / "headline.ecsv")
    np.testing.assert_array_equal(headline["accuracy"], report.headline["accuracy"])


def test_images_page_has_classes_and_nothing_of_the_sky(images):
    report, index = images
    page = read(index)
    assert "figure-roc" in page.ids
    assert not {"survey", "candidates", "figure-recall_redshift", "figure-by_object_type", "figure-lr_range"} & page.ids
    for name in made_up.CLASSES:
        assert f"Right: {name}" in page.words
    assert "commonest class" in page.words
    assert len(Table.read(index.parent / "tables" / "per_class.ecsv")) == 4
    assert f"{report.headline['accuracy'][0]:.3f}" in page.words


def test_a_run_that_only_trained(tmp_path):
    report = Report("Only trained", history=made_up.history(2), lr_range=made_up.lr_range())
    page = read(write_report(tmp_path, report))
    assert {"figure-loss", "figure-accuracy", "figure-lr_range"} <= page.ids
    assert not {"headline", "scores", "survey"} & page.ids


def test_nothing_but_a_title_and_that_is_escaped(tmp_path):
    page = read(write_report(tmp_path, Report("<script>alert(1)</script>", warnings=["a < b & c"])))
    assert "<script>alert(1)</script>" in page.words
    assert "a < b & c" in page.words


def test_a_scan_without_candidates_catalogue_or_image(tmp_path):
    survey = made_up.survey(side=200, num_clusters=2)
    bare = dataclasses.replace(
        survey, detections=survey.detections[:0]["detection_id", "ra_deg", "dec_deg", "x_pixels", "y_pixels", "score"],
        sky_map=None, sources=None, summary=None, completeness_curve=None, completeness_by_mass=None,
    )  # fmt: skip
    page = read(write_report(tmp_path, Report("Empty sky", survey=bare)))
    assert "0 candidates" in page.words
    assert "No window scored above the threshold" in page.words
    assert "figure-score_map" in page.ids
    assert "figure-sky_map" not in page.ids


def test_unwritable_folder_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"report cannot be written to .*file"):
        write_report(tmp_path / "file" / "report", Report("x"))


def test_the_cards_completeness_is_of_the_sources_it_names(infrared):
    """Not that of all sources under the massive ones' name."""
    report, _ = infrared
    summary = {**report.survey.summary, "completeness": 0.123, "false_per_deg2": 2.5}
    cases = (({}, "0.123", "all sources"), ({"completeness_massive": 0.817}, "0.817", "M500c > 3e14"))
    for extra, value, note in cases:
        survey = dataclasses.replace(report.survey, summary={**summary, **extra}, complete_for="M500c > 3e14")
        card = _cards(dataclasses.replace(report, survey=survey))[-1]
        assert (card["name"], card["value"]) == ("Completeness on the map", value)
        assert card["note"].startswith(note)
