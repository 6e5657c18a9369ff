"""The vetting page as a file: what is in it, and that no name can become a program."""

import base64
import hashlib
import html.parser
import io
import json
import re

import numpy as np
import pytest
from made_up_vetting import HOSTILE, made_up_page, made_up_table
from PIL import Image

from clusterjax.data.votes.verdicts import table_hash
from clusterjax.errors import InputError
from clusterjax.report.vetting import _FOLDER, _SCRIPTS, Pictures, VettingPage, _address, write_vetting_page


class Parsed(html.parser.HTMLParser):
    """Elements with their attributes, and the text of scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.scripts, self.inside = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")
            self.inside = True

    def handle_endtag(self, tag):
        self.inside &= tag != "script"

    def handle_data(self, data):
        if self.inside:
            self.scripts[-1] += data


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "vetting" / "index.html"
    write_vetting_page(path, made_up_page(num_shown=20))
    return path.read_text("utf-8")


def test_nothing_is_asked_of_a_server(page):
    for tag, attributes in Parsed(page).elements:
        for name in ("src", "href"):
            value = attributes.get(name, "data:")
            assert value.startswith(("data:", "#")), (tag, value)
    assert "default-src 'none'" in page
    assert "url(" not in page


def test_only_our_program_may_run(page):
    """The policy's hash is that of the one script; the data are no program and hold no tag."""
    parsed = Parsed(page)
    data, script = parsed.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert not set("<>&") & set(data)
    assert [tag for tag, _ in parsed.elements].count("img") == 0
    assert "innerHTML" not in script
    assert all(not name.startswith("on") for _, attributes in parsed.elements for name in attributes)
    assert "A &lt;b&gt;bold&lt;/b&gt; run" in page


def test_data_are_those_of_the_table(page):
    data, table = json.loads(Parsed(page).scripts[0]), made_up_table()
    assert data["table"] == table_hash(table["detection_id"], table["ra_deg"], table["dec_deg"])
    assert data["ids"] == list(range(1, 21))
    assert data["names"][: len(HOSTILE)] == list(HOSTILE)
    columns = [column["name"] for column in data["columns"]]
    assert columns == table.colnames
    for index, name in enumerate(columns):
        values = [row[index] for row in data["rows"]]
        if table[name].dtype.kind == "f":
            expected = np.asarray(table[name], float)[:20]
            np.testing.assert_allclose(np.array(values, float), expected, rtol=1e-4, atol=5e-8)
            assert [value is None for value in values] == np.isnan(expected).tolist()
        else:
            assert values == table[name][:20].tolist()
    assert data["columns"][columns.index("psz2_separation_arcmin")]["unit"] == "arcmin"
    assert data["catalogues"] == ["psz2"]
    assert "4 more, of lower score" in page
    assert data["positions"][0].count(" ") == 5


def test_pictures_are_upright_and_true(page):
    """Row 0 of a FITS image is at the bottom; exact pictures keep every pixel, others nearly so."""
    images = json.loads(Parsed(page).scripts[0])["images"]
    assert [len(row) for row in images] == [4] * 20
    assert [row[3] is None for row in images] == [False] * 3 + [True] * 17
    gradient = np.zeros((1, 32, 32, 3), np.uint8)
    gradient[0] = np.arange(0, 256, 8)[:, None, None]
    for exact, tolerance in ((True, 0), (False, 8)):
        address = _address(Pictures("x", gradient, exact=exact), 0)
        assert address.startswith("data:image/webp;base64,")
        decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGB"))
        assert np.abs(decoded.astype(int) - gradient[0, ::-1]).max() <= tolerance


def test_a_thousand_candidates_of_two_bands_are_small(tmp_path):
    """Of noise, which packs worst: colour, two bands, score and saliency at 64 pixels; a tenth of them."""
    rng = np.random.default_rng(0)
    images = np.clip(rng.normal(40, 25, (100, 64, 64, 3)), 0, 255).astype(np.uint8)
    grey = np.repeat(images[..., :1], 3, axis=-1)
    steps = np.repeat(np.repeat(images[:, ::8, ::8], 8, axis=1), 8, axis=2)
    pictures = (Pictures("colour", images), Pictures("W1", grey), Pictures("W2", grey), Pictures("saliency", images))
    page = VettingPage("big", "", made_up_table(100), 100, (*pictures, Pictures("score", steps, exact=True)))
    path = tmp_path / "index.html"
    write_vetting_page(path, page)
    assert path.stat().st_size * 10 < 25e6


def test_tables_without_names_or_matches(tmp_path):
    table = made_up_table(3)["detection_id", "ra_deg", "dec_deg", "score"]
    write_vetting_page(tmp_path / "index.html", VettingPage("bare", "", table, 3))
    data = json.loads(Parsed((tmp_path / "index.html").read_text("utf-8")).scripts[0])
    assert data["names"] == ["candidate 1", "candidate 2", "candidate 3"]
    assert data["statuses"] == data["catalogues"] == []


def test_a_page_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="the vetting page cannot be written to"):
        write_vetting_page(tmp_path / "file" / "index.html", made_up_page(3))


def test_scripts_are_strict_and_short():
    """As long as files of the project may be."""
    for name in _SCRIPTS:
        text = (_FOLDER / name).read_text("utf-8")
        assert text.startswith('"use strict";')
        assert text.count("\n") < 250
        assert max(map(len, text.splitlines())) <= 120
        assert not re.search(r"\b(eval|document\.write|outerHTML|insertAdjacentHTML)\b", text)
