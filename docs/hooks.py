"""What the pages of docs/ take from the code when the site is made: commands, settings, the changes, the networks."""

import ast
import pathlib
import re

from latex2mathml.converter import convert

from clusterjax import cli, networks

ROOT = pathlib.Path(__file__).parents[1]


def commands() -> str:
    parts = [f"```text\n{cli.help_text()}\n```"]
    parts += [f"## {name}\n\n```text\n{cli.help_of(name)}\n```" for name in cli.COMMANDS]
    return "\n\n".join(parts)


def settings() -> str:
    """A table for each dataclass of clusterjax/config.py and of the skies' knobs: fields, defaults, comments."""
    parts = []
    for path in ("clusterjax/config.py", "clusterjax/simulation/knobs.py"):
        text = (ROOT / path).read_text()
        lines = text.splitlines()
        for node in ast.parse(text).body:
            if isinstance(node, ast.ClassDef):
                docstring = ast.get_docstring(node) or ""
                parts.append(f"## {node.name}\n\n{_inline(docstring)}\n\n| field | default | |\n|---|---|---|")
                rows = [_row(field, lines) for field in node.body if isinstance(field, ast.AnnAssign)]
                parts[-1] += "\n" + "\n".join(rows)
    return "\n\n".join(parts)


def _row(field: ast.AnnAssign, lines: list[str]) -> str:
    value = "" if field.value is None else ast.unparse(field.value)
    factory = re.fullmatch(r"dataclasses\.field\(default_factory=(?:lambda: )?(.*)\)", value)
    value = factory[1] if factory else value
    comments = []
    for line in reversed(lines[: field.lineno - 1]):
        if not line.strip().startswith("#"):
            break
        comments.insert(0, line.strip("# "))
    trailing = re.search(r"  # (.*)$", lines[field.end_lineno - 1])
    if trailing:
        comments.append(trailing[1])
    text = " ".join(comments)
    return f"| `{field.target.id}` | {f'`{value}`' if value else ''} | {_inline(text)} |"


def _inline(text: str) -> str:
    """Docstrings' ``code`` and roles as Markdown; bars would end a table's cell."""
    text = re.sub(r":\w+:`~?([^`]*)`", r"`\1`", text.replace("``", "`"))
    return re.sub(r"<(?=\w)", "&lt;", text).replace("|", "\\|")


def shipped_networks() -> str:
    parts = []
    for name in networks.NAMES:
        card = networks.find_network(name) / "model_card.md"
        text = card.read_text() if card.exists() else f"# Model card: {name}\n\nIt was not made yet."
        parts.append(re.sub(r"^(#+) ", lambda match: f"#{match[1]} ", text, flags=re.M))
    return "\n\n".join(parts)


FILLED = {"commands": commands, "settings": settings, "networks": shipped_networks}


def on_page_markdown(markdown: str, **_) -> str:
    """MkDocs calls it for each page: ``<!-- fill: NAME -->`` becomes what the function of that name gives, and formulas
    between dollars MathML, outside of code."""
    pieces = re.split(r"(```.*?```|`[^`\n]*`)", markdown, flags=re.S)
    pieces[::2] = [_with_formulas(text) for text in pieces[::2]]
    return re.sub(r"<!-- fill: (\w+) -->", lambda match: FILLED[match[1]](), "".join(pieces))


def _with_formulas(text: str) -> str:
    text = re.sub(r"\$\$(.+?)\$\$", lambda match: convert(match[1].strip(), display="block"), text, flags=re.S)
    return re.sub(r"\$([^$\n]+)\$", lambda match: convert(match[1]), text)
