"""Docstrings as Markdown, where the site is made: roles as code, examples as blocks."""

import re

import griffe


class Docstrings(griffe.Extension):
    def on_object(self, *, obj: griffe.Object, **_) -> None:
        if obj.docstring is not None:
            obj.docstring.value = to_markdown(obj.docstring.value)


def to_markdown(text: str) -> str:
    text = re.sub(r":\w+:`~?([^`]*)`", r"`\1`", text.replace("``", "`"))
    return re.sub(r"(?:^|\n)((?:>>> .*\n(?:(?!\n).+\n?)*)+)", r"\n```pycon\n\1```\n", text)
