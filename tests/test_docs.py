"""README and docs/: every code block is run, or, where it says why it cannot be here, its commands are seen to exist.

A comment before a block, ``<!-- test: slow -->`` or ``<!-- test: parse -->``, says which. The blocks of a page run in
order, in a folder of their own, and share their names.
"""

import contextlib
import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest
from absl import flags

from clusterjax import cli, config_files
from clusterjax import main as program
from clusterjax.config import SweepConfig
from clusterjax.config_checks import validate

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"(?:<!-- test: (?P<how>\w+) -->\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.S | re.M)
# README's example is run in tests/test_classifier.py, on a run that is finished.
_ELSEWHERE = ("Classifier.load('runs/alexnet_ir')", 'Classifier.load("runs/alexnet_ir")')


def blocks(page: pathlib.Path, *kinds: str):
    """(how, kind, text) of each block of code."""
    return [
        (match["how"] or "run", match["kind"], match["text"])
        for match in _BLOCK.finditer(page.read_text())
        if match["kind"] in kinds and not any(name in match["text"] for name in _ELSEWHERE)
    ]


def name_of(page: pathlib.Path) -> str:
    return page.relative_to(ROOT).as_posix()


def commands(text: str) -> list[str]:
    """What stands after the prompts, without comments."""
    lines = [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]
    return [re.sub(r"\s+# .*", "", line) for line in lines]


def with_blocks(*kinds, how=("run",)):
    return [page for page in PAGES if any(block[0] in how for block in blocks(page, *kinds))]


def test_blocks_say_what_they_are():
    for page in PAGES:
        text = page.read_text()
        assert len(re.findall(r"^```", text, re.M)) % 2 == 0, page
        assert set(re.findall(r"<!-- test: (\w+) -->", text)) <= {"slow", "parse"}, page
        for how, kind, _ in blocks(page, "python", "console"):
            assert kind == "python" or how != "run", f"{page}: a console block is slow, or parsed"


@pytest.mark.parametrize("page", with_blocks("python"), ids=name_of)
def test_python_of(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "page"}
    for how, _, text in blocks(page, "python"):
        if how == "run":
            exec(compile(text, name_of(page), "exec"), names)


@pytest.mark.parametrize("page", with_blocks("python", "console", how=("parse", "slow")), ids=name_of)
def test_commands_exist_of(page):
    for how, kind, text in blocks(page, "python", "console"):
        if kind == "python":
            compile(text, name_of(page), "exec")
        elif how != "run":
            for command in commands(text):
                check_command(command)


def check_command(command: str) -> None:
    """Its name, its options, its config and the config's fields are there."""
    words = shlex.split(command.partition(" | ")[0].partition(" > ")[0].partition(" && ")[0])
    if words[0] == "eval":
        words = shlex.split(words[1].removeprefix("$(").removesuffix(")"))
    if words[0] in ("pip", "uv", "git", "export"):
        return
    assert words[0] == "clusterjax", command
    name, *rest = words[1:]
    assert name in cli.COMMANDS, command
    if name in cli.MODULES:
        return
    given = [word for word in rest if not word.startswith("-")]
    options = [word[2:].partition("=") for word in rest if word.startswith("--")]
    config = next((value for option, _, value in options if option == "config"), "")
    if name not in cli.TAKE_PATHS and given:
        config = given[0]
    loaded = load_config(config) if config and not config.startswith("my_") else None
    for option, _, value in options:
        if not option.startswith("config."):
            assert option in {*flags.FLAGS, "config"}, f"{command}: --{option}"
            continue
        where = loaded
        for part in option.split(".")[1:]:
            assert hasattr(where, part), f"{command}: --{option}={value}"
            where = getattr(where, part)
    assert program.JOBS  # whose flags were looked up


def load_config(text: str):
    path, _, variant = config_files.find_config(text).rpartition(".py")
    names: dict = {}
    exec(compile(pathlib.Path(path + ".py").read_text(), path, "exec"), names)
    config = names["get_config"](variant.removeprefix(":"))
    for experiment in config.resolve().values() if isinstance(config, SweepConfig) else [config]:
        with contextlib.suppress(ValueError):  # of images and maps that the command names
            validate(experiment)
    return config


def test_tables_name_commands_that_exist():
    """Within a line: ``clusterjax JOB ...``, and the fields of ``--config.x.y=``."""
    for page in PAGES:
        for text in re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", page.read_text(), flags=re.S)):
            if re.match(r"clusterjax [a-z]", text) and "JOB" not in text and "CONFIG" not in text:
                check_command(text.replace(" ...", ""))
            for field in re.findall(r"--config((?:\.[a-z0-9_]+)+)=", text):
                where = load_config("alexnet_ir")
                for part in field[1:].split("."):
                    assert hasattr(where, part) or hasattr(load_config("sweeps/all_ir"), part), f"{page}: {text}"
                    where = getattr(where, part, where)


@pytest.mark.slow
@pytest.mark.parametrize("page", with_blocks("console", how=("slow",)), ids=name_of)
def test_console_of(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "page"}
    environment = os.environ | {"PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"}
    for how, kind, text in blocks(page, "python", "console"):
        if kind == "python" and how == "run":
            exec(compile(text, name_of(page), "exec"), names)
        for command in commands(text) if kind == "console" and how == "slow" else []:
            subprocess.run(command, shell=True, check=True, env=environment, timeout=1200)


def test_the_site_is_made(tmp_path):
    """No link that leads nowhere, no page left out; the settings and commands are in it."""
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    made = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert made.returncode == 0, made.stderr
    site = tmp_path / "site"
    settings = (site / "reference" / "settings" / "index.html").read_text()
    for text in ("healpix_order", "any of healpix, hips, moc", "global_batch_size", "noise_scale"):
        assert text in settings, text
    reference = (site / "reference" / "commands" / "index.html").read_text()
    assert all(f"clusterjax {name}" in reference for name in cli.COMMANDS)
    assert "<math" in (site / "physics" / "index.html").read_text()
    for page in site.rglob("*.html"):
        assert not re.search(r'(?:src|rel="stylesheet" href)="https?://', page.read_text()), (
            page
        )  # nothing from elsewhere
