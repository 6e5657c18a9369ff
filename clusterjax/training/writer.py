"""Metrics to JSON lines and TensorBoard files. No account anywhere."""

import contextlib
import json
import pathlib
import time

from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import RecordWriter

from clusterjax.errors import InputError
from clusterjax.hosts import is_first_host
from clusterjax.writing import write_text


class _EventFile:
    """Scalars for TensorBoard, which takes the files of a folder in the order of their names.

    Written at once: tensorboardX's SummaryWriter has a thread that ends when the clock is set back by weeks, or the
    disk is full, and then a queue that is waited for without end.
    """

    def __init__(self, folder: pathlib.Path, first_step: int):
        folder.mkdir(parents=True, exist_ok=True)
        self._records = RecordWriter(str(folder / f"events.out.tfevents.{first_step:010d}"))
        self._write(file_version="brain.Event:2")
        if first_step:  # what there is of later steps is taken again
            self._write(step=first_step + 1, session_log=SessionLog(status=SessionLog.START))
        self._records.flush()

    def write(self, step: int, scalars: dict[str, float]) -> None:
        values = [Summary.Value(tag=name, simple_value=value) for name, value in scalars.items()]
        self._write(step=step, summary=Summary(value=values))

    def _write(self, **fields) -> None:
        self._records.write(Event(wall_time=time.time(), **fields).SerializeToString())

    def flush(self) -> None:
        self._records.flush()

    def close(self) -> None:
        self._records.close()


class MetricWriter:
    """Appends to ``workdir/metrics.jsonl`` and ``workdir/tensorboard``.

    Rows of steps after ``first_step`` are dropped first: an interrupted run takes those steps again.
    """

    def __init__(self, workdir, *, first_step: int = 0):
        self._workdir = workdir = pathlib.Path(workdir)
        path = workdir / "metrics.jsonl"
        kept = [row for row in read_metrics(workdir) if row["step"] <= first_step]
        write_text(path, "".join(json.dumps(row) + "\n" for row in kept))
        self._file = path.open("a")
        with self._clear_errors("tensorboard"):
            self._board = _EventFile(workdir / "tensorboard", first_step)

    def write(self, step: int, split: str, **scalars: float) -> None:
        """One row: {"step", "split", ...}; in TensorBoard each scalar is named ``split/scalar``."""
        with self._clear_errors("metrics.jsonl"):
            self._file.write(json.dumps({"step": step, "split": split, **scalars}) + "\n")
            self._file.flush()
        with self._clear_errors("tensorboard"):
            self._board.write(step, {f"{split}/{name}": value for name, value in scalars.items()})
            if split != "train":  # once an epoch; what is lost of it is in metrics.jsonl
                self._board.flush()

    def close(self) -> None:
        with contextlib.suppress(OSError):  # of a full disk, which the write has said
            self._file.close()
        with contextlib.suppress(OSError):
            self._board.close()

    @contextlib.contextmanager
    def _clear_errors(self, name: str):
        try:
            yield
        except OSError as error:
            raise InputError(f"{self._workdir / name} cannot be written: {error.strerror or error}") from error

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
