"""Model cards (Mitchell et al. 2019, arXiv:1810.03993): what a trained network is for and how well it does it, as a
page and as Markdown."""

import dataclasses
import pathlib
import re
from collections.abc import Sequence

from astropy.table import Table

from clusterjax.errors import InputError
from clusterjax.report.cells import table_text
from clusterjax.report.pages import make_environment
from clusterjax.writing import write_text

_ESCAPES = {"<": "&lt;", "&": "&amp;"}


@dataclasses.dataclass(frozen=True)
class CardTable:
    caption: str
    table: Table
    columns: Sequence[str] | None = None  # None: all


@dataclasses.dataclass(frozen=True)
class CardSection:
    """``facts`` are (name, value) pairs, ``points`` sentences of a list."""

    title: str
    text: str = ""
    facts: Sequence[tuple[str, str]] = ()
    points: Sequence[str] = ()
    tables: Sequence[CardTable] = ()


@dataclasses.dataclass(frozen=True)
class ModelCard:
    title: str
    summary: str
    sections: Sequence[CardSection]


def write_model_card(folder: str | pathlib.Path, card: ModelCard) -> pathlib.Path:
    """``folder``/model_card.html, whose path is returned, and model_card.md. InputError where it cannot be written."""
    folder = pathlib.Path(folder)
    page = make_environment().get_template("model_card.html").render(card=card)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "model_card.md", to_markdown(card))
        write_text(folder / "model_card.html", page)
    except OSError as error:
        raise InputError(f"the model card cannot be written to {folder}: {error.strerror or error}") from error
    return folder / "model_card.html"


def to_markdown(card: ModelCard) -> str:
    lines = [f"# {_escape(card.title)}", "", _escape(card.summary), ""]
    for section in card.sections:
        lines += [f"## {_escape(section.title)}", ""]
        if section.text:
            lines += [_escape(section.text), ""]
        if section.facts:
            lines += [*(f"- **{_escape(name)}**: {_escape(value)}" for name, value in section.facts), ""]
        if section.points:
            lines += [*(f"- {_escape(point)}" for point in section.points), ""]
        for item in section.tables:
            lines += [*_markdown_table(item), ""]
    return "\n".join(lines)


def _markdown_table(item: CardTable) -> list[str]:
    text = table_text(item.table, item.columns)
    rows = [text["headings"], ["---:" if numeric else "---" for numeric in text["numeric"]], *text["rows"]]
    return [_escape(item.caption), "", *("| " + " | ".join(map(_escape, row)) + " |" for row in rows)]


def _escape(text: object) -> str:
    """One line of text that makes no element, link or column: hubs show Markdown as HTML."""
    plain = " ".join(str(text).split())
    return re.sub(r"[<&|\[\]`]", lambda found: _ESCAPES.get(found[0], "\\" + found[0]), plain)
