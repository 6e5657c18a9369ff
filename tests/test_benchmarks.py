"""The scripts of benchmarks/ start, and the one that runs those for a GPU calls them as they are."""

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

BENCHMARKS = pathlib.Path(__file__).parents[1] / "benchmarks"
SCRIPTS = sorted(path.name for path in BENCHMARKS.glob("*.py") if not path.stem.endswith("_torch"))
ON_GPU = BENCHMARKS / "on_gpu.sh"

# All in one process: each imports jax.
_ASK_EACH = """
import contextlib, io, json, runpy, sys
folder, *names = sys.argv[1:]
sys.path.insert(0, folder)
helps = {}
for name in names:
    sys.argv = [name, "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
        runpy.run_path(f"{folder}/{name}", run_name="__main__")
    helps[name] = said.getvalue()
print(json.dumps(helps))
"""


@pytest.fixture(scope="module")
def helps() -> dict[str, str]:
    """What each script answers to --help."""
    done = subprocess.run(
        [sys.executable, "-c", _ASK_EACH, str(BENCHMARKS), *SCRIPTS], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def run_on_gpu(*steps: str, python: str, **environment: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHON": python, "TORCH_PYTHON": "true", **environment}
    return subprocess.run(["bash", str(ON_GPU), *steps], capture_output=True, text=True, env=environment)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_tells_how_it_is_called(helps, script):
    assert helps[script].startswith(f"usage: {script}")


def test_what_runs_on_a_gpu_is_called_as_it_is(helps):
    done = run_on_gpu(python="echo")
    assert done.returncode == 0, done.stderr
    calls = [shlex.split(line) for line in done.stdout.splitlines() if line.startswith("benchmarks/")]
    assert {pathlib.Path(call[0]).stem for call in calls} == {"scan", "kernels", "train", "ensemble", "models"}
    for script, *arguments in calls:
        options = {argument for argument in arguments if argument.startswith("--")}
        assert options <= set(re.findall(r"--\w+", helps[pathlib.Path(script).name])), script


def test_what_was_not_measured_on_a_gpu_is_named_and_the_others_go_on():
    done = run_on_gpu("scan", "ensemble", python="false")
    assert done.returncode == 1
    assert done.stderr.count("not measured: scan ") == 1
    assert done.stderr.count("not measured: ensemble ") == 4


def test_a_step_that_outlasts_its_limit_is_ended(tmp_path):
    endless = tmp_path / "endless"
    endless.write_text("#!/bin/bash\nsleep 60\n")
    endless.chmod(0o755)
    done = run_on_gpu("scan", python=str(endless), LIMIT="0.2")
    assert done.returncode == 1
    assert "(status 124)" in done.stderr


def test_an_unknown_step_is_told():
    done = run_on_gpu("scan", "scam", python="echo")
    assert done.returncode == 2
    assert done.stderr.startswith("no step scam; there are scan kernels")
    assert not done.stdout  # nothing was begun


def test_shellcheck_has_nothing_to_say():
    done = subprocess.run([shutil.which("shellcheck"), str(ON_GPU)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
