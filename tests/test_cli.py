"""The command ``clusterjax``: the program's jobs by name, with help that is true."""

import importlib
import pathlib
import subprocess
import sys
import tomllib

import pytest

from clusterjax import __version__, cli
from clusterjax import main as program
from clusterjax.config_files import find_config

ROOT = pathlib.Path(__file__).parents[1]


def test_every_job_is_a_command():
    assert set(cli.COMMANDS) == {*program.JOBS, *cli.MODULES}


@pytest.mark.parametrize("command", program.JOBS)
def test_a_command_is_the_job(command, monkeypatch):
    given = []
    monkeypatch.setattr(program, "start", given.append)
    cli.main([command, "--workdir=runs/a", "runs/b"])
    assert given == [["clusterjax", f"--job={command}", "--workdir=runs/a", "runs/b"]]


def test_what_comes_first_is_an_experiment_or_a_map(monkeypatch):
    given = []
    monkeypatch.setattr(program, "start", given.append)
    cli.main(["train", "alexnet_ir:smoke", "--workdir=runs/a"])
    cli.main(["scan", "map.fits", "--workdir=runs/a"])
    assert [arguments[2] for arguments in given] == ["--config=alexnet_ir:smoke", "map.fits"]


def test_other_commands_are_modules(monkeypatch):
    ran = []
    monkeypatch.setattr(cli.runpy, "run_module", lambda name, **_: ran.append((name, sys.argv[1:])))
    monkeypatch.setattr(sys, "argv", ["clusterjax"])
    for command, module in cli.MODULES.items():
        cli.main([command, "--smoke"])
        assert ran.pop() == (module, ["--smoke"])
        package = importlib.util.find_spec(module)
        assert package.submodule_search_locations is None or importlib.util.find_spec(f"{module}.__main__")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "has no command 'trian'; did you mean train?"),
        (["xyz"], "has no command 'xyz'; did you mean "),
        (["--config=a.py"], "a command comes before the options, as in: clusterjax all --config=a.py"),
        (["train", "--job=scan"], "the job is train; leave out --job"),
    ],
)
def test_mistakes(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_help_is_a_screenful_and_true(capsys):
    pages = []
    for arguments in ([], ["--help"], *([command, "--help"] for command in cli.COMMANDS)):
        cli.main(arguments)
        pages.append(capsys.readouterr().out)
    assert pages[0] == pages[1]
    for page in pages:
        assert page.count("\n") <= 30
        assert max(map(len, page.splitlines())) <= 120
    for command, (_, *examples) in cli.COMMANDS.items():
        assert command in pages[0]
        for example in examples:
            name, of, *rest = example.split()
            assert (name, of) == ("clusterjax", command)
            for argument in rest:
                if argument.startswith("--config="):
                    assert argument.startswith("--config=my_") or find_config(argument.partition("=")[2])
                elif argument.startswith("--") and not argument.startswith("--config.") and command not in cli.MODULES:
                    assert argument[2:].partition("=")[0] in program.flags.FLAGS


def test_console_script(capsys):
    """It is what pyproject.toml names, and the mistakes of a job are told as by the program itself."""
    module, _, name = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"][
        "clusterjax"
    ].partition(":")
    assert getattr(importlib.import_module(module), name) is cli.main
    cli.main(["--version"])
    assert capsys.readouterr().out == f"clusterjax {__version__}\n"
    command = [sys.executable, "-m", "clusterjax.cli", "train", "--config=nowhere.py"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert result.returncode == 2
    assert result.stderr == (
        "error: config file nowhere.py does not exist; clusterjax configs lists the shipped ones\n"
    )
