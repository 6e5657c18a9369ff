"""Metrics to JSON lines and TensorBoard files. No account anywhere."""

import contextlib
import json
import pathlib

import tensorboardX

from clusterjax.errors import InputError
from clusterjax.hosts import is_first_host
from clusterjax.writing import write_text


class MetricWriter:
    """Appends to ``workdir/metrics.jsonl`` and ``workdir/tensorboard``.

    Rows of steps after ``first_step`` are dropped first: an interrupted run takes those steps again.
    """

    def __init__(self, workdir, *, first_step: int = 0):
        workdir = pathlib.Path(workdir)
        path = workdir / "metrics.jsonl"
        kept = [row for row in read_metrics(workdir) if row["step"] <= first_step]
        write_text(path, "".join(json.dumps(row) + "\n" for row in kept))
        self._file = path.open("a")
        self._board = tensorboardX.SummaryWriter(
            str(workdir / "tensorboard"),
            purge_step=first_step + 1 if first_step else None,
            write_to_disk=True,
        )

    def write(self, step: int, split: str, **scalars: float) -> None:
        """One row: {"step", "split", ...}; in TensorBoard each scalar is named ``split/scalar``."""
        try:
            self._file.write(json.dumps({"step": step, "split": split, **scalars}) + "\n")
            self._file.flush()
        except OSError as error:
            raise InputError(f"{self._file.name} cannot be written: {error.strerror or error}") from error
        for name, value in scalars.items():
            self._board.add_scalar(f"{split}/{name}", value, step)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # of a full disk, which the write has said
            self._file.close()
        self._board.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class NoMetrics:
    """Of the other hosts: their metrics are those of the first."""

    def write(self, step: int, split: str, **scalars: float) -> None:
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def open_writer(workdir, *, first_step: int) -> MetricWriter | NoMetrics:
    return MetricWriter(workdir, first_step=first_step) if is_first_host() else NoMetrics()


def read_metrics(workdir) -> list[dict]:
    """The rows of ``workdir/metrics.jsonl``; a last line that a kill cut short is left out."""
    path = pathlib.Path(workdir) / "metrics.jsonl"
    if not path.exists():
        return []
    rows = []
    for line in path.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows
