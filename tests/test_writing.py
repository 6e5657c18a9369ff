"""Files are whole or as they were: when the disk is full, cannot be written, or the program is killed."""

import errno
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import textwrap

import pytest

from clusterjax import writing
from clusterjax.errors import InputError
from clusterjax.jobs.provenance import read_provenance
from clusterjax.jobs.session import is_done, read_config, read_json
from clusterjax.writing import replacing, replacing_folder, write_text

ROOT = pathlib.Path(__file__).parents[1]


def files(folder: pathlib.Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_new_content_takes_the_place_of_the_old(tmp_path):
    write_text(tmp_path / "a", "ä")
    write_text(tmp_path / "a", "new")
    with replacing_folder(tmp_path / "tree") as partial:
        (partial / "b").write_text("1")
    with replacing_folder(tmp_path / "tree") as partial:
        assert not files(partial)
        (partial / "c").write_text("2")
    assert files(tmp_path) == {"a": "new", "tree/c": "2"}


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), ValueError()])
def test_whatever_stops_it_the_old_content_stays(tmp_path, error):
    write_text(tmp_path / "a", "old")
    write_text(tmp_path / "tree_a", "old")
    (tmp_path / "tree").mkdir()
    write_text(tmp_path / "tree" / "b", "old")
    before = files(tmp_path)
    expected = pytest.raises(InputError, match=r"(a|tree) cannot be written: No space left on device")
    for context in (replacing(tmp_path / "a"), replacing_folder(tmp_path / "tree")):
        with expected if isinstance(error, OSError) else pytest.raises(type(error)), context as partial:
            (partial / "c" if partial.is_dir() else partial).write_text("half")
            raise error
    assert files(tmp_path) == before


def test_content_is_on_disk_before_its_name_is(tmp_path, monkeypatch):
    done = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        writing.os, "fsync", lambda file: (done.append(os.readlink(f"/proc/self/fd/{file}")), sync(file))
    )
    monkeypatch.setattr(writing.os, "replace", lambda old, new: (done.append("rename"), replace(old, new)))
    write_text(tmp_path / "a", "x")
    assert done == [str(tmp_path / ".partial-a"), "rename", str(tmp_path)]
    done.clear()
    with replacing_folder(tmp_path / "tree") as partial:
        (partial / "b").write_text("1")
    assert done[-2:] == ["rename", str(tmp_path)]
    assert set(done[:-2]) == {str(tmp_path / ".partial-tree"), str(tmp_path / ".partial-tree" / "b")}


def run_python(code: str, *arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def test_a_limit_of_the_system_is_one_line(tmp_path):
    """As a full disk: the system refuses bytes beyond the first 4096."""
    for name in ("map.fits", "table.ecsv", "list.json"):
        (tmp_path / name).write_text("old")
    result = run_python(
        """
        import pathlib, resource, sys
        import numpy as np
        from astropy.table import Table
        from clusterjax.errors import InputError
        from clusterjax.sky.catalogues import write_table
        from clusterjax.sky.fits import write_sky_map
        from clusterjax.sky.geometry import make_wcs
        from clusterjax.sky.skymap import SkyMap
        from clusterjax.writing import write_text
        folder = pathlib.Path(sys.argv[1])
        wcs = make_wcs((99, 99), ra_deg=1, dec_deg=1, pixel_scale_arcsec=60)
        sky = SkyMap(np.zeros((99, 99, 1), np.float32), wcs, np.ones((99, 99), bool), ("a",), "")
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        for write in (
            lambda: write_sky_map(folder / "map.fits", sky),
            lambda: write_table(folder / "table", Table({"a": np.arange(9999)})),
            lambda: write_text(folder / "list.json", "x" * 9999),
        ):
            try:
                write()
            except InputError as error:
                print(error)
        """,
        tmp_path,
    )
    lines = result.stdout.splitlines()
    assert [line.partition(" cannot be written: ")[0] for line in lines] == [
        str(tmp_path / name) for name in ("map.fits", "table.fits", "list.json")
    ], result.stderr
    assert files(tmp_path) == dict.fromkeys(("map.fits", "table.ecsv", "list.json"), "old")


def test_killed_while_it_writes(tmp_path):
    write_text(tmp_path / "a", "old")
    result = run_python(
        """
        import os, pathlib, signal, sys
        from clusterjax.writing import replacing
        with replacing(pathlib.Path(sys.argv[1]) / "a") as partial:
            partial.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
        """,
        tmp_path,
    )
    assert result.returncode == -signal.SIGKILL
    assert files(tmp_path) == {"a": "old", ".partial-a": "half"}
    write_text(tmp_path / "a", "new")
    assert files(tmp_path) == {"a": "new"}


@pytest.mark.parametrize("content", [b"", b'{"half": ', b"\xff\xfe", b"[]", b"null"])
def test_a_damaged_result_is_named_and_made_again(content, tmp_path):
    path = tmp_path / "metrics.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"metrics\.json is damaged .* run again the job that wrote it"):
        read_json(path)
    assert not is_done(path, {})
    with pytest.raises(InputError, match=r"metrics\.json: "):
        read_config(path)
    path.rename(tmp_path / "provenance.jsonl")
    if content:
        with pytest.raises(InputError, match=r"provenance\.jsonl is damaged"):
            read_provenance(tmp_path)


@pytest.fixture
def small_disk(tmp_path):
    """``small_disk(size)``: a folder on a disk of its own, made or resized; only root may do that."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> pathlib.Path:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("no disk can be mounted here")
        return folder

    yield mount
    subprocess.run(["umount", str(folder)], capture_output=True, check=False)


def assert_one_line(result, *words):
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    for word in words:
        assert word in line


@pytest.mark.slow
@pytest.mark.parametrize("job", ["train", "evaluate", "scan", "report"])
def test_a_full_disk(job, small_disk, finished_run, tiny_config, run_program):
    """Each job ends with one line that names a file there, and goes on when there is space."""
    disk = small_disk("size=" + {"evaluate": "24k", "report": "64m"}.get(job, "150k"))
    arguments = [f"--config={tiny_config}", f"--job={job}", f"--workdir={disk / 'run'}"]
    if job == "train":
        arguments.append("--config.optim.learning_rate=3e-3")
    elif job != "report":
        arguments.append(f"--checkpoint={finished_run[0]}")
    if job == "report":
        shutil.copytree(finished_run[0], disk / "run")
        small_disk(f"remount,size={shutil.disk_usage(disk).used // 1024 + 8}k")
    assert_one_line(run_program(*arguments), str(disk), "space")
    small_disk("remount,size=64m")
    result = run_program(*arguments)
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_a_disk_that_is_read_only(small_disk, finished_run, tiny_config, run_program):
    small_disk("size=8m")
    disk = small_disk("remount,ro")
    for job in ("train", "build"):
        arguments = [f"--config={tiny_config}", f"--job={job}", f"--workdir={disk / 'run'}"]
        assert_one_line(run_program(*arguments), f"workdir {disk / 'run'} is not writable (Read-only file system)")
    result = run_program(
        f"--config={tiny_config}", "--job=build", f"--workdir={disk.parent / 'run'}",
        f"--config.data.data_dir={disk / 'data'}",
    )  # fmt: skip
    assert_one_line(result, str(disk / "data"), "read-only")
