"""What all scripts of launch/ share: shellcheck, dry runs, one-line errors, quoting."""

import shlex
import shutil
import subprocess

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from stand_ins import LAUNCH

PROGRAM = ("--", "--config=configs/alexnet_ir.py", "--config.model.kwargs={'a': 'b & c'}")
RUNS = {
    "tpu_vm.sh": ("train", "--name=n", "--zone=z"),
    "slurm.sh": ("submit", "--name=n"),
    "docker.sh": ("run",),
    "gke.sh": ("apply", "--name=n", "--image=i", "--claim=c", "--topology=2x4"),
}
TOOLS = {"tpu_vm.sh": "gcloud", "slurm.sh": "sbatch", "docker.sh": "docker", "gke.sh": "kubectl"}


def test_shellcheck_has_nothing_to_say():
    found = subprocess.run(
        [shutil.which("shellcheck"), "-x", *sorted(LAUNCH.glob("*.sh"))], capture_output=True, text=True
    )
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("script", RUNS)
def test_dry_run_prints_the_commands_and_calls_nothing(machine, script):
    for tool in ("gcloud", "kubectl", "sbatch", "docker", "uv"):
        machine.install(tool, "exit 9")
    result = machine.launch(script, *RUNS[script], "--dry-run", *PROGRAM)
    assert result.returncode == 0, result.stderr
    assert machine.calls == []
    assert result.stdout.startswith(TOOLS[script]) or f"\n{TOOLS[script]} " in result.stdout
    if script == "gke.sh":
        manifest = yaml.safe_load(result.stdout.split("<<MANIFEST\n")[1].removesuffix("MANIFEST\n"))
        words = manifest["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]["containers"][0]["args"]
    else:
        words = shlex.split(result.stdout.replace("$?", ""))
        inner = [word.split("=", 1)[1] for word in words if word.startswith(("--command=", "--wrap="))]
        words += [part for text in inner for part in shlex.split(text)]
    assert set(PROGRAM[1:]) <= set(words)


@pytest.mark.parametrize("script", RUNS)
def test_the_help_names_every_command(machine, script):
    result = machine.launch(script, "--help")
    assert result.returncode == 0
    commands = machine.launch(script).stderr.split("give one of: ")[1].split(";")[0].split()
    assert all(f"\n{command} " in result.stdout for command in commands)


@pytest.mark.parametrize("script", RUNS)
def test_a_missing_tool_is_told_in_one_line(machine, script):
    shutil.copy("/bin/bash", machine.bin)  # with nothing else on PATH but what the scripts' first lines need
    for name in ("dirname", "tr", "id", "sed"):
        (machine.bin / name).symlink_to(shutil.which(name))
    result = machine.launch(script, *RUNS[script], *PROGRAM, PATH=str(machine.bin))
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: {TOOLS[script]} is not installed; see https://")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("tpu_vm.sh", "run", "--zone=z"), "--name is missing; give --name=VALUE or set CLUSTERJAX_NAME"),
        (("tpu_vm.sh", "run", "--name=n", "--zone=z", "--dry-run"), "the program's flags are missing"),
        (("tpu_vm.sh", "fly", "--name=n"), "give one of: create install run train logs fetch delete"),
        (("tpu_vm.sh", "run", "--nam=n"), "unknown option --nam; use --name --zone"),
        (("tpu_vm.sh", "run", "--name"), "--name needs a value"),
        (("tpu_vm.sh", "run", "again"), "unexpected argument again; the program's flags come after --"),
        (("tpu_vm.sh", "create", "--name=n", "--zone=z", "--wait=long"), "--wait=long is no whole number"),
        (("tpu_vm.sh", "train", "--name=n", "--zone=z", "--spot", "--dry-run", "--", "--x"), "--spot needs --share"),
        (("tpu_vm.sh", "fetch", "--name=n", "--zone=z", "--dry-run"), "--to is missing"),
        (("gke.sh", "apply", "--name=Big_Name"), "--name=Big_Name is no name for Kubernetes"),
        (("gke.sh", "render", "--name=n", "--image=i"), "--claim is missing"),
        (("gke.sh", "render", "--name=n", "--image=i", "--claim=c", "--", "--x"), "--topology is missing"),
        (("gke.sh", "render", "--name=n", "--image=i", "--claim=c", "--topology=1x1", "--", "a\nb"), "line break: a"),
        (("docker.sh", "build", "--accelerator=rocm"), "--accelerator=rocm is unknown; use cpu, cuda or tpu"),
        (("slurm.sh", "submit", "--name=n", "--nodes=two", "--", "--x"), "--nodes=two is no whole number"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(machine, words, message):
    for tool in TOOLS.values():
        machine.install(tool)
    result = machine.launch(*words)
    assert result.returncode == 2
    assert message in result.stderr.splitlines()[0]
    assert machine.calls == []


def test_what_names_the_place_can_come_from_the_environment(machine):
    result = machine.launch(
        "tpu_vm.sh", "delete", "--dry-run", CLUSTERJAX_NAME="a", CLUSTERJAX_ZONE="b", CLUSTERJAX_PROJECT="c"
    )
    assert result.stdout == "gcloud compute tpus tpu-vm delete a --zone=b --project=c --quiet\n"


@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="ascii")), min_size=1, max_size=4))
@settings(max_examples=25, deadline=None)
def test_quoted_words_survive_another_shell(words):
    source = f". {shlex.quote(str(LAUNCH / 'steps.sh'))}"
    line = source + """; line=$(quoted "$@"; printf x); sh -c "printf '%s\\0' ${line%x}\""""
    out = subprocess.run(["bash", "-euc", line, "bash", *words], capture_output=True, check=True).stdout
    assert out.decode().split("\0")[:-1] == words
