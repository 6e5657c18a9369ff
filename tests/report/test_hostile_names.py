"""Whatever a header, a table or a folder's name says, a page has the same elements, and shows it as text."""

import dataclasses
from html.parser import HTMLParser

import made_up
import numpy as np
import pytest
from astropy.table import Table

from clusterjax.report import html
from clusterjax.report.contents import Comparison, DatasetCard
from clusterjax.report.html import write_report
from clusterjax.report.model_card import CardSection, CardTable, ModelCard, write_model_card

NAMES = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "'-alert(3)-'",
    "{{ 7*7 }}{% include 'page.html' %}",
    "</style></title><svg/onload=alert(4)>",
    "$\\frac{1}{$ $x^{",
    "javascript:alert(5)//\u202e\x00\x1b[2J",
    "../../../etc/passwd",
)


class Elements(HTMLParser):
    """(tag, names of its attributes) of each element, and all that is shown."""

    def __init__(self, text: str):
        super().__init__()
        self.found, self.addresses, self.shown = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, tuple(name for name, _ in attributes)))
        self.addresses += [value for name, value in attributes if name in ("href", "src", "action", "style")]

    def handle_data(self, data):
        self.shown += data


def report(mark):
    """All there can be in one, ``mark(i)`` for the names that come from elsewhere."""
    made = made_up.infrared_report()
    table = made.predictions.table.copy()
    kinds = {name: f"{mark(i)}{i}" for i, name in enumerate(made_up.TYPES) if name != "cluster"}
    table["object_type"] = [kinds.get(kind, kind) for kind in table["object_type"]]
    prior = made.predictions.prior.copy()
    prior["object_type"] = [kinds.get(kind, kind) for kind in prior["object_type"]]
    galleries = [
        dataclasses.replace(
            gallery, title=f"{mark(i)} {i}", description=mark(i + 1), band_names=(mark(2), mark(3)),
            captions=[mark(j) for j in range(len(gallery.images))],
        )
        for i, gallery in enumerate(made.galleries)
    ]  # fmt: skip
    detections = made.survey.detections.copy()
    for i, column in enumerate(("name", "known_as", "flags", "redshift_source")):
        detections[column] = [mark(i + j) for j in range(len(detections))]
    rng = np.random.default_rng(0)
    runs = Table({"run": [mark(0), mark(1)], "model": [mark(2), mark(3)], "accuracy": [0.5, 0.6]})
    pairs = Table({"run": [mark(0)], "other": [mark(1)], "p": [0.5]})
    counts = Table({"type": [mark(4), mark(5)], "train": [1, 2], "all": [1, 2]})
    sky = Table({"ra_deg": [1.0, 2.0], "dec_deg": [1.0, 2.0], "split": [mark(0), mark(1)]})
    pixels = {mark(6): (rng.normal(size=50), rng.normal(size=50))}
    return dataclasses.replace(
        made, title=mark(0), subtitle=mark(1), galleries=galleries[:2], warnings=[mark(2)], explanations=None,
        provenance={mark(0): mark(1), "config": {mark(2): {mark(3): mark(4)}}},
        predictions=dataclasses.replace(made.predictions, table=table, prior=prior, network_name=mark(5)),
        survey=dataclasses.replace(
            made.survey, detections=detections, description=mark(6), verdicts=(mark(0), mark(1)), complete_for=mark(3)
        ),
        comparison=Comparison(runs, pairs),
        dataset=DatasetCard(mark(5), counts, sky, units=mark(6), pixels=pixels),
    )  # fmt: skip


def write_both(folder, names):
    """The pages with plain names and with hostile ones."""
    marks = lambda i: f"name {i % len(names)}", lambda i: names[i % len(names)]
    pages = (write_report(folder / str(number), report(mark)) for number, mark in enumerate(marks))
    return [Elements(page.read_text("utf-8")) for page in pages]


def assert_harmless(plain, hostile):
    assert hostile.found == plain.found
    assert not [names for _, names in hostile.found if any(name.startswith("on") for name in names)]
    for address in hostile.addresses:
        assert address.startswith(("#", "data:", "--", *{one.split(":")[0] for one in plain.addresses}))
    shown = " ".join(hostile.shown.split())
    for name in NAMES[:6]:
        assert name in shown


def test_the_page_has_the_same_elements_and_shows_the_names(tmp_path, monkeypatch):
    monkeypatch.setattr(html, "_write_figure", lambda *_: {"light": "data:,", "dark": "data:,"})
    monkeypatch.setattr(html, "_write_sheets", lambda *_: None)
    assert_harmless(*write_both(tmp_path, NAMES))


@pytest.mark.slow  # the same with the figures, which have the names too
def test_figures(tmp_path):
    assert_harmless(*write_both(tmp_path, ["".join(filter(str.isprintable, name)) for name in NAMES]))
    assert not list(tmp_path.parent.glob("etc"))


def test_model_card(tmp_path):
    cards = [
        ModelCard(
            mark(0), mark(1),
            [
                CardSection(mark(2), mark(3), facts=[(mark(4), mark(5))], points=[mark(6)]),
                CardSection(mark(7), tables=[CardTable(mark(0), Table({"name": [mark(i) for i in range(8)]}))]),
            ],
        )
        for mark in (lambda i: f"name {i}", lambda i: NAMES[i])
    ]  # fmt: skip
    plain, hostile = (write_model_card(tmp_path / str(i), card) for i, card in enumerate(cards))
    assert Elements(hostile.read_text()).found == Elements(plain.read_text()).found
    # Hubs show the Markdown as HTML: no element may be in it, no picture, and no line more than there should be.
    text = hostile.with_suffix(".md").read_text()
    assert not Elements(text).found
    assert "](" not in text
    assert len(text.splitlines()) == len(plain.with_suffix(".md").read_text().splitlines())
