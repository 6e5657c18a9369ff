"""Where a run comes from: code, versions, hardware and data, as they were when it was trained."""

import datetime
import hashlib
import importlib.metadata
import json
import pathlib
import platform
import subprocess

import jax

import clusterjax
from clusterjax.jobs.session import parse_json
from clusterjax.writing import write_text

FILE = "provenance.jsonl"
_PACKAGES = (
    "clusterjax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "tensorflow-datasets", "numpy",
    "scipy", "astropy",
)  # fmt: skip
_ENDS = 2**20  # bytes of a record file's beginning, and of its end


def describe_software() -> dict[str, str]:
    """Versions of Python and of the packages that figures depend on, and the commit of a git clone."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # a clone on the path that was never installed
            versions[name] = clusterjax.__version__ if name == "clusterjax" else "not installed"
    return {"commit": find_commit() or "not a git clone", "python": platform.python_version(), **versions}


def find_commit(folder: pathlib.Path | None = None) -> str | None:
    """The commit of the clone that ``folder`` (of this package's code) is the root of, with "+ changes" where tracked
    files differ from it. None where it is no clone, or git is not installed."""
    folder = pathlib.Path(clusterjax.__file__).parents[1] if folder is None else folder
    if not (folder / ".git").exists():
        return None
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return commit + (" + changes" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: pathlib.Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()


def describe_hardware() -> dict[str, str]:
    devices = jax.devices()
    return {
        "devices": f"{len(devices)} {devices[0].device_kind}",
        "hosts": str(jax.process_count()),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def keep_provenance(workdir: pathlib.Path) -> None:
    """Add a line to provenance.jsonl, unless training last went on with the same code, versions and hardware."""
    entry = {"software": describe_software(), "hardware": describe_hardware()}
    before = read_provenance(workdir)
    if not before or {name: before[-1][name] for name in entry} != entry:
        entry = {"date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), **entry}
        write_text(workdir / FILE, "".join(json.dumps(one) + "\n" for one in (*before, entry)))


def read_provenance(workdir: pathlib.Path) -> list[dict]:
    """An entry for each time that training began or went on with something else; the first is the oldest."""
    path = workdir / FILE
    return [parse_json(line, path) for line in path.read_bytes().splitlines()] if path.exists() else []


def fingerprint(data_dir: str | pathlib.Path) -> str:
    """16 hexadecimal digits that tell a data set from others, wherever it lies, in the time of a blink.

    A SHA-256 of its files' names and sizes, of the description and the statistics of its pixels, and of the first and
    the last MiB of each file of records.
    """
    digest = hashlib.sha256()
    for path in sorted(pathlib.Path(data_dir).iterdir()):
        if path.name.startswith(".") or not path.is_file():
            continue
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as stream:
            digest.update(stream.read(_ENDS))
            if size > _ENDS:
                stream.seek(max(size - _ENDS, _ENDS))
                digest.update(stream.read())
    return digest.hexdigest()[:16]
