"""What all jobs share: config, workdir, mesh, and what is already done."""

import dataclasses
import json
import pathlib
import sys
from typing import Any

import jax
from jax.sharding import Mesh

from clusterjax import hosts
from clusterjax.config import ExperimentConfig, from_json, to_json
from clusterjax.errors import InputError
from clusterjax.experiment import Network, load_network
from clusterjax.parallel import make_mesh
from clusterjax.writing import write_text

# Fields that may differ when a run is taken up again: they do not change the weights.
_FREE_FIELDS = (
    "search.", "evaluation.", "explain.", "inject.", "vetting.",
    "data.data_dir", "data.num_processes", "data.beam", "data.beam_folder", "data.num_workers", "data.num_read_threads",
    *(f"data.survey.{name}" for name in ("cache_dir", "offline", "per_host", "attempts", "timeout_s", "mirrors")),
    "training.num_members", "training.num_folds",
    "training.accumulate_steps", "training.shard_parameters", "training.shard_above",
    "training.eval_batch_size", "training.checkpoint_every_steps", "training.log_every_steps",
)  # fmt: skip


@dataclasses.dataclass
class Session:
    """One run of the program. ``network``: of ``--checkpoint``, else the workdir's best once it is asked for."""

    config: ExperimentConfig
    workdir: pathlib.Path
    mesh: Mesh
    network: Network | None = None
    profile: bool = False  # leave a trace of a few steps of training

    def trained_network(self) -> Network:
        """The network of ``--checkpoint``, else of least validation loss in the workdir, or the ensemble there."""
        if self.network is None:
            hosts.wait_for_all()  # what one host has written, all can read
            path = self.workdir / "checkpoints" if self.config.training.num_members == 1 else self.workdir
            self.network = load_network(path, self.mesh, expected=self.config)
        return self.network

    def alone(self) -> "Session":
        """The same on this host's own devices, with the network if it was loaded: for what no other host takes part in,
        within :func:`clusterjax.hosts.alone`."""
        if hosts.num_hosts() == 1:
            return self
        mesh = make_mesh(jax.local_devices())
        return dataclasses.replace(self, mesh=mesh, network=self.network and self.network.on(mesh))

    def folder(self, name: str) -> pathlib.Path:
        path = self.workdir / name
        path.mkdir(parents=True, exist_ok=True)
        return path


def say(text: str) -> None:
    """On the console of host 0."""
    if jax.process_index() == 0:
        print(text, file=sys.stderr, flush=True)


def open_workdir(workdir: pathlib.Path) -> None:
    """Make the folder. Raises InputError where nothing can be written, as in a current folder that was deleted."""
    try:
        pathlib.Path.cwd()
    except FileNotFoundError as error:
        raise InputError("the current folder has been deleted; change to another") from error
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        probe = workdir / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"workdir {workdir} is not writable ({error.strerror}); give another one by --workdir"
        ) from error


def keep_config(workdir: pathlib.Path, config: ExperimentConfig) -> None:
    """Write config.json. Raises InputError for a workdir that holds a run with another config."""
    path = workdir / "config.json"
    new = json.loads(to_json(config))
    if path.exists() and (workdir / "checkpoints").exists():
        old = json.loads(to_json(read_config(path)))  # with what has come since then at its default
        changed = [name for name in _differences(old, new) if not name.startswith(_FREE_FIELDS)]
        if changed:
            raise InputError(
                f"workdir {workdir} holds a run with another config ({', '.join(changed[:5])} differ); "
                "give another --workdir, or remove it"
            )
    write_json(path, new)


def _differences(old: dict, new: dict, prefix: str = "") -> list[str]:
    names = []
    for key in sorted(set(old) | set(new)):
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            names += _differences(a, b, f"{prefix}{key}.")
        elif a != b:
            names.append(prefix + key)
    return names


def write_json(path: pathlib.Path, values: Any) -> None:
    """Raises InputError where it cannot be written."""
    write_text(path, json.dumps(values, indent=2) + "\n")


def read_json(path: pathlib.Path) -> dict | None:
    """None where there is no such file. Raises InputError for one that is damaged: cut off by a full disk, say."""
    return parse_json(path.read_bytes(), path) if path.exists() else None


def parse_json(content: bytes, path: pathlib.Path) -> dict:
    """The object that ``content``, of ``path``, describes. Raises InputError where it is damaged."""
    try:
        values = json.loads(content)
    except ValueError as error:  # of JSON, or of UTF-8
        values, why = None, str(error)
    else:
        why = f"it holds {str(values)[:20]!r}, not fields"
    if not isinstance(values, dict):
        raise InputError(f"{path} is damaged ({why}); delete it, and run again the job that wrote it")
    return values


def read_config(path: pathlib.Path) -> ExperimentConfig:
    """That of a run. Raises InputError, with the file's name, where it is none."""
    try:
        return from_json(path.read_text())
    except (InputError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}") from None


def is_done(path: pathlib.Path, made_from: dict) -> bool:
    """True if the result at ``path``, JSON with a field ``made_from``, was made from the same inputs.

    A damaged one is not: it is made again.
    """
    try:
        values = read_json(path)
    except InputError:
        return False
    return values is not None and values.get("made_from") == json.loads(json.dumps(made_from))
