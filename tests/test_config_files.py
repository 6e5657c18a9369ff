"""Configs by name, from a clone or an installed package; and completion of names in a shell."""

import pathlib
import shutil
import subprocess
import sys

import pytest

from clusterjax import cli, completion, config_files, networks
from clusterjax import main as program
from clusterjax.errors import InputError

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("alexnet_ir", "alexnet_ir.py"),
        ("alexnet_ir:smoke", "alexnet_ir.py:smoke"),
        ("configs/alexnet_ir.py", "alexnet_ir.py"),
        ("configs/networks_ir.py:resnet18-smoke", "networks_ir.py:resnet18-smoke"),
        ("sweeps/all_mw:small", "sweeps/all_mw.py:small"),
    ],
)
def test_shipped_ones_by_name(text, found, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # not in a clone
    assert config_files.find_config(text) == f"{ROOT / 'configs' / found}"


def test_files_of_ones_own_come_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "alexnet_ir.py").write_text("")
    for text in ("configs/alexnet_ir.py", "configs/alexnet_ir.py:smoke"):
        assert config_files.find_config(text) == text
    with pytest.raises(InputError, match=r"config file alexnt_ir does not exist \(alexnet_ir\?\); clusterjax configs"):
        config_files.find_config("alexnt_ir")


def test_list_and_print(capsys):
    config_files.main([])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == config_files.config_names()
    assert {path.stem for path in (ROOT / "configs").glob("*.py")} <= set(config_files.config_names())
    assert all(len(line.split()) > 4 for line in lines)
    config_files.main(["search_ir:smoke"])
    assert capsys.readouterr().out == (ROOT / "configs" / "search_ir.py").read_text()
    with pytest.raises(SystemExit):
        config_files.main(["nothing"])


def complete(script: str, *words: str) -> set[str]:
    """What bash would offer for the last of ``words``, split as it splits them."""
    program = f"{script}\nCOMP_WORDS=({' '.join(map(repr, words))})\nCOMP_CWORD={len(words) - 1}\n_clusterjax\n" + (
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    result = subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=20, cwd="/usr")
    assert result.stderr == ""
    return set(result.stdout.split())


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_completion_in_bash():
    script = completion.bash_script()
    assert complete(script, "clusterjax", "") == set(cli.COMMANDS)
    assert complete(script, "clusterjax", "ex") == {"explain", "export"}
    assert complete(script, "clusterjax", "train", "--wo") == {"--workdir="}
    assert complete(script, "clusterjax", "train", "--config", "=", "search_") == {"search_ir", "search_mw"}
    assert complete(script, "clusterjax", "scan", "--network", "=") == set(networks.NAMES)
    assert complete(script, "clusterjax", "train", "alexnet_i") == {"alexnet_images", "alexnet_ir", "alexnet_ir_survey"}
    assert complete(script, "clusterjax", "networks", "in") == {"infrared"}
    assert complete(script, "clusterjax", "scan", "loc") == {"local"}  # a file: /usr/local
    assert complete(script, "clusterjax", "scan", "--map", "=", "loc") == {"local"}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_is_of_that_shell(shell, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell}")
    (tmp_path / "script").write_text(completion.SHELLS[shell]())
    subprocess.run([shell, "-n", str(tmp_path / "script")], check=True, timeout=20)


def test_completion_knows_the_programs_options(capsys):
    options = completion.option_names()
    assert {"--config=", "--workdir=", "--checkpoint=", "--network=", "--map=", "--samp"} <= set(options)
    assert "--job=" not in options
    assert all(option[2:].removesuffix("=") in program.flags.FLAGS for option in options)
    fish = completion.fish_script()
    assert all(f"-a {command} " in fish for command in cli.COMMANDS)
    with pytest.raises(SystemExit):
        completion.main(["tcsh"])
    assert "bash|zsh|fish" in capsys.readouterr().err


def test_a_name_is_enough():
    """The program, in a folder that holds nothing: as far as the first mistake."""
    command = [sys.executable, "-m", "clusterjax.cli", "train", "alexnet_ir", "--config.training.num_epochs=0"]
    result = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=100)
    assert result.returncode == 2
    assert "config.training.num_epochs=0 must be" in result.stderr
