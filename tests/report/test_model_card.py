"""A model card as a page and as Markdown says the same."""

import html
import re

import pytest
from astropy.table import Table

from clusterjax.errors import InputError
from clusterjax.report.model_card import CardSection, CardTable, ModelCard, to_markdown, write_model_card

CARD = ModelCard(
    "Model card: <x>",
    "A network.",
    [
        CardSection("Details", facts=[("Network", "CN & more")]),
        CardSection("Limits", "Some.", points=["Not for radio maps."]),
        CardSection(
            "Figures",
            tables=[
                CardTable("By type.", Table({"object_type": ["bright_star", "a|b"], "auc": [0.91, 0.5]}), ("auc",))
            ],
        ),
    ],
)


def test_markdown():
    lines = to_markdown(CARD).splitlines()
    assert lines[:3] == ["# Model card: &lt;x>", "", "A network."]
    assert "- **Network**: CN &amp; more" in lines
    assert "- Not for radio maps." in lines
    start = lines.index("| AUC |")
    assert lines[start + 1 : start + 4] == ["| ---: |", "| 0.910 |", "| 0.500 |"]
    everything = ModelCard("t", "s", [CardSection("F", tables=[CardTable("c", CARD.sections[2].tables[0].table)])])
    assert "| a\\|b | 0.500 |" in to_markdown(everything)


def test_page_holds_the_same_words(tmp_path):
    path = write_model_card(tmp_path / "report", CARD)
    text = path.read_text("utf-8")
    words = " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text.partition("<body>")[2])).split())
    for part in ("Model card: <x>", "Network CN & more", "Not for radio maps.", "By type.", "AUC 0.910 0.500"):
        assert part in words
    assert not re.search(r"https?://|src=", text)
    assert (path.parent / "model_card.md").read_text("utf-8") == to_markdown(CARD)


def test_unwritable(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"model card cannot be written to .*file"):
        write_model_card(tmp_path / "file" / "report", CARD)
