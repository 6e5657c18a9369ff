"""The program's memory is in large pages where the system gives them to those that ask."""

import os
import pathlib
import subprocess
import sys

import pytest

from clusterjax import large_pages

ASKED = "glibc.malloc.hugetlb=1"
asking = pytest.mark.skipif(
    not large_pages.has_to_be_asked(), reason="no glibc of 2.35 or newer, or all have large pages, or none"
)

_TELL = """
import os, sys
from clusterjax.large_pages import use_large_pages
use_large_pages()
print(os.getpid(), sys.argv[1:], sys.flags.dev_mode, os.environ["GLIBC_TUNABLES"], sep="|")
"""

# The mapping of an array of 64 MiB: is it marked for huge pages?
_LOOK = """
import pathlib, re
from clusterjax.large_pages import use_large_pages
use_large_pages()
block = bytearray(2**26)
mappings = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", pathlib.Path("/proc/self/smaps").read_text())
sizes = {int(re.search(r"Size: +([0-9]+)", text)[1]): text for text in mappings if text}
print(" hg" in re.search("VmFlags:(.*)", sizes[max(size for size in sizes if size < 2**18)])[1])
"""


def run(script: pathlib.Path, text: str, *arguments: str, tunables: str | None = None) -> tuple[str, int]:
    script.write_text(text)
    environment = {name: value for name, value in os.environ.items() if name != large_pages.VARIABLE}
    if tunables is not None:
        environment[large_pages.VARIABLE] = tunables
    command = [sys.executable, "-X", "dev", str(script), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        said, _ = process.communicate()
    assert process.returncode == 0
    return said.strip(), process.pid


@asking
@pytest.mark.parametrize(
    ("tunables", "then"),
    [
        (None, ASKED),
        ("glibc.malloc.arena_max=4", f"glibc.malloc.arena_max=4:{ASKED}"),
        ("glibc.malloc.hugetlb=0", "glibc.malloc.hugetlb=0"),
    ],
)
def test_a_program_starts_again_as_it_was(tmp_path, tunables, then):
    said, pid = run(tmp_path / "tell.py", _TELL, "a b", "--c='d'", tunables=tunables)
    assert said == f"{pid}|{['a b', "--c='d'"]}|True|{then}"


@asking
@pytest.mark.parametrize(("tunables", "is_large"), [(None, "True"), ("glibc.malloc.hugetlb=0", "False")])
def test_memory_is_in_large_pages(tmp_path, tunables, is_large):
    assert run(tmp_path / "look.py", _LOOK, tunables=tunables)[0] == is_large


@asking
@pytest.mark.parametrize("program", [["clusterjax.main", "--job=train"], ["clusterjax.cli", "train"]])
def test_the_program_asks(tmp_path, program):
    config = tmp_path / "config.py"
    config.write_text("import os\nraise ValueError('tunables ' + os.environ['GLIBC_TUNABLES'])\n")
    environment = {name: value for name, value in os.environ.items() if name != large_pages.VARIABLE}
    done = subprocess.run(
        [sys.executable, "-m", *program, f"--config={config}"], capture_output=True, text=True, env=environment
    )
    assert f"tunables {ASKED}" in done.stderr


@pytest.mark.parametrize("modes", ["always madvise [never]", "[always] madvise never", None])
def test_nothing_is_started_where_it_would_not_help(tmp_path, monkeypatch, modes):
    path = tmp_path / "enabled"
    if modes:
        path.write_text(modes)
    monkeypatch.setattr(large_pages, "_MODES", path)
    monkeypatch.delenv(large_pages.VARIABLE, raising=False)
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("started again"))
    large_pages.use_large_pages()
    assert large_pages.VARIABLE not in os.environ


def test_a_program_that_cannot_start_again_goes_on(monkeypatch):
    calls = []

    def refuse(*arguments):
        calls.append(arguments)
        raise PermissionError

    monkeypatch.setattr(large_pages, "has_to_be_asked", lambda: True)
    monkeypatch.setattr(os, "execv", refuse)
    monkeypatch.setenv(large_pages.VARIABLE, "")
    large_pages.use_large_pages()
    assert len(calls) == 1
