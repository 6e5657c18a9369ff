"""Orbax checkpoints of state, data iterator and all that is needed to use them alone. The only place with Orbax."""

import contextlib
import dataclasses
import logging
import pathlib
import warnings
from typing import Any

import jax
import numpy as np
import orbax.checkpoint.experimental.v1 as ocp

from clusterjax import __version__, hosts
from clusterjax.arrays import PyTree
from clusterjax.errors import InputError

# Of what lies in a checkpoint. A change that older code cannot read adds one.
FORMAT = 1
_policies = ocp.training.preservation_policies


@dataclasses.dataclass(frozen=True)
class Restored:
    """``state``: as the target asked for. ``about``: what :meth:`Checkpoints.save` was told."""

    step: int
    state: PyTree
    about: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run: the newest, to go on from, and the one of least validation loss, to use.

    Orbax writes each under a temporary name and renames it when it is whole, so a kill leaves no half checkpoint.
    """

    def __init__(self, directory):
        self.directory = pathlib.Path(directory).absolute()  # Orbax refuses a relative path, but only when it writes
        # BestN alone deletes the newest step, from which an interrupted run goes on.
        keep = _policies.AnyPreservationPolicy(
            [
                _policies.LatestN(1),
                _policies.BestN(
                    get_metric_fn=lambda metrics: metrics["loss"],
                    reverse=True,
                    n=1,
                    keep_checkpoints_without_metrics=False,
                ),
            ]
        )
        context = ocp.Context()
        if hosts.is_alone():
            context.multiprocessing.primary_host = jax.process_index()
            context.multiprocessing.active_processes = {jax.process_index()}
        try:
            with context:
                self._orbax = ocp.training.Checkpointer(
                    self.directory, preservation_policy=keep, cleanup_tmp_directories=True
                )
        except OSError as error:
            raise InputError(f"cannot write checkpoints to {directory}: {error}") from error

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        # It waits for the write in progress. What is wrong with that is not said twice.
        with self._clear_write_errors() if kind is None else contextlib.suppress(Exception):
            self._orbax.close()

    @property
    def latest_step(self) -> int | None:
        return None if self._orbax.latest is None else self._orbax.latest.step

    @property
    def best_step(self) -> int | None:
        """Of least validation loss; None before the first validation."""
        scored = [(found.metrics["loss"], found.step) for found in self._orbax.checkpoints if found.metrics]
        return min(scored)[1] if scored else None

    def save(self, step: int, state: PyTree, *, about: dict, metrics: dict | None = None) -> None:
        """Write in the background; ``about`` must be JSON-able. A step that is already there is left alone."""
        if step in {found.step for found in self._orbax.checkpoints}:
            return
        self.wait()
        about = {"format": FORMAT, "software": __version__, **about}
        with self._clear_write_errors():
            self._orbax.save_checkpointables_async(step, {"state": state}, metrics=metrics, custom_metadata=about)

    def wait(self) -> None:
        """Until what :meth:`save` began is on disk. Raises InputError where that has failed."""
        with self._clear_write_errors():
            self._orbax.wait()

    @contextlib.contextmanager
    def _clear_write_errors(self):
        """A full disk is an OSError of Python's files, and a ValueError or RuntimeError of TensorStore's."""
        try:
            yield
        except (OSError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[-200:]
            # Orbax takes a clock that was set forward by 20 minutes for a write without end
            remedy = "see to the disk and the clock" if isinstance(error, TimeoutError) else "make room"
            raise InputError(
                f"cannot write a checkpoint to {self.directory} ({reason}); the ones before it are whole: {remedy}, "
                "and the same command goes on"
            ) from error

    def about(self, step: int) -> dict:
        with _clear_errors(self.directory / str(step)):
            return self._checked_about(step)

    def _checked_about(self, step: int) -> dict:
        about = self._orbax.metadata(step).custom_metadata
        # Checkpoints had no number before 1, and are otherwise the same.
        if about and about.get("format", 0) > FORMAT:
            raise InputError(
                f"checkpoint {self.directory / str(step)} has format {about['format']}, of clusterjax "
                f"{about.get('software')}; this is clusterjax {__version__}, which reads up to {FORMAT}: update it"
            )
        return about

    def restore(self, step: int, target: PyTree) -> Restored:
        """Load into the shapes, types and shardings of ``target``; parts of the state that it lacks are not read."""
        with _clear_errors(self.directory / str(step)):
            context = ocp.Context()
            context.pytree.loading.partial_load = True
            about = self._checked_about(step)
            with context:
                loaded = self._orbax.load_checkpointables(step, {"state": jax.tree.map(_abstract, target)})
        return Restored(step, loaded["state"], about)

    def restore_as_saved(self, step: int, parts: tuple[str, ...]) -> PyTree:
        """These parts of a state, as NumPy arrays of the shapes that were saved."""
        with _clear_errors(self.directory / str(step)):
            shapes = self._orbax.checkpointables_metadata(step).metadata["state"]
            target = {part: jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), shapes[part]) for part in parts}
            context = ocp.Context()
            context.pytree.loading.partial_load = True
            with context:
                return self._orbax.load_checkpointables(step, {"state": target})["state"]


def _abstract(leaf):
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)


@contextlib.contextmanager
def _clear_errors(path: pathlib.Path):
    """Whatever Orbax raises over an unreadable checkpoint becomes one InputError that names it."""
    try:
        yield
    except (KeyboardInterrupt, InputError):
        raise
    except Exception as error:
        logging.debug("restoring %s", path, exc_info=True)
        # Of what Orbax had begun to read beside it; Python would say so when it throws that away.
        warnings.filterwarnings("ignore", r"coroutine 'Store\._get_array_metadatas' was never awaited", RuntimeWarning)
        first_line = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise InputError(
            f"checkpoint {path} cannot be read ({first_line}); it is corrupt or of another model: "
            "use another step, or remove it and run again"
        ) from error


def find_checkpoint(path, step: int | None = None) -> tuple[pathlib.Path, int]:
    """(folder of checkpoints, step) of ``path``: a run's workdir, its checkpoints folder, or one step's folder.

    Without a step, the one of least validation loss, else the newest. Raises InputError where there is none.
    """
    path = pathlib.Path(path)
    if not path.is_dir():
        what = "is not a folder" if path.exists() else "does not exist"
        raise InputError(f"checkpoint {path} {what}; give a workdir, its checkpoints folder or one step's folder")
    if path.name.isdigit() and (path / "state").exists():
        return path.parent, int(path.name)
    if (path / "checkpoints").is_dir():
        path = path / "checkpoints"
    if not any(child.name.isdigit() for child in path.iterdir()):
        raise InputError(f"no checkpoint in {path}; run --job=train first")
    with Checkpoints(path) as checkpoints:
        found = step if step is not None else checkpoints.best_step
        return path, checkpoints.latest_step if found is None else found
