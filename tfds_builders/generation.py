"""What all builders share: examples made on all cores, progress, interruption, and errors that leave nothing behind."""

import concurrent.futures
import contextlib
import errno
import fcntl
import functools
import itertools
import multiprocessing
import os
import pathlib
import shutil
import signal
import sys
import threading
import time
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from absl import logging as absl_logging
from tqdm import tqdm

from clusterjax.errors import InputError
from clusterjax.writing import sync_folder
from tfds_builders.on_beam import BeamBuild
from tfds_builders.sharing import Share

_WORTH_STARTING_SECONDS = 4.0  # of work in one process; starting workers takes 1 to 2 seconds
_CHUNKS_AHEAD = 2  # per process: enough to keep all busy, little enough that results waiting stay small


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, and die with it even when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


@contextlib.contextmanager
def _main_hidden() -> Iterator[None]:
    """Let workers start without importing the program's main module: it may import jax, or lack a __main__ guard."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextlib.contextmanager
def _interrupt_held_back() -> Iterator[None]:
    """Ctrl-C waits until the end of the block; a process started within it starts deaf to Ctrl-C."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _one_by_one[Task, Result](function: Callable[[Task], Result], chunk: list[Task]) -> list[Result]:
    return [function(task) for task in chunk]


def _in_processes(function, chunks: list[list], num_processes: int) -> Iterator[list]:
    """The chunks' results in order, from spawned processes (forking a process that runs jax can hang)."""
    executor = concurrent.futures.ProcessPoolExecutor(
        num_processes, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker
    )
    waiting: deque[concurrent.futures.Future] = deque()
    remaining = iter(chunks)

    def submit(count: int) -> None:
        # A submission may start processes, and Ctrl-C would kill one that has not reached _start_worker yet.
        with _main_hidden(), _interrupt_held_back():
            for chunk in itertools.islice(remaining, count):
                waiting.append(executor.submit(function, chunk))

    try:
        submit(_CHUNKS_AHEAD * num_processes)
        while waiting:
            result = waiting.popleft().result()
            submit(1)
            yield result
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _interrupted_between_results() -> Iterator[Callable[[], None]]:
    """Gives a function that raises KeyboardInterrupt if Ctrl-C has come since; a second Ctrl-C raises it at once.

    Python raises it wherever the program happens to be: within a destructor or a weak reference's callback it is
    printed and forgotten, and the work goes on.
    """
    received: list[int] = []

    def note(number: int, _) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    def check() -> None:
        if received:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        yield check
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)


def generate_in_parallel[Task, Result](
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    *,
    num_processes: int | None = None,
    description: str = "",
    unit: str = "example",
    chunk_size: int = 32,
    by_chunk: bool = False,
    share: Share | None = None,
) -> Iterator[Result]:
    """``function(task)`` for each of ``tasks``, in order, with a progress bar that shows rate and time left.

    ``function`` must be importable by name (or a ``functools.partial`` of such) and depend on its task alone, so that
    the results do not depend on ``num_processes`` (None: one a core). Work of a few seconds is done in this process,
    since workers take seconds to start. ``by_chunk``: the function takes a list of ``chunk_size`` tasks (the last time
    fewer) and gives the list of their results. An exception in a worker is raised here and the rest of the work is
    dropped; so it is at Ctrl-C, once the chunk at work is done. With a ``share`` other hosts make parts of the results,
    and only the first one gets any.
    """
    tasks = list(tasks)
    chunks = [tasks[start : start + chunk_size] for start in range(0, len(tasks), chunk_size)]
    if not by_chunk:
        function = functools.partial(_one_by_one, function)
    num_processes = min(num_processes or len(os.sched_getaffinity(0)), len(chunks))
    compute = functools.partial(_chunk_results, function, num_processes=num_processes)
    made = compute(chunks) if share is None else share.results(description, chunks, compute)
    with (
        _interrupted_between_results() as check_interrupt,
        contextlib.closing(made) as results,
        tqdm(
            total=len(tasks),
            desc=description,
            unit=f" {unit}s",
            dynamic_ncols=True,
            mininterval=0.5,
            disable=share is not None and share.index > 0,
        ) as bar,
    ):
        for result in results:
            check_interrupt()
            yield from result
            bar.update(len(result))


def _chunk_results(function: Callable, chunks: list[list], num_processes: int) -> Iterator[list]:
    """The chunks' results in order: in processes if the first chunk shows that they are worth starting."""
    start = time.perf_counter()
    for done, chunk in enumerate(chunks, start=1):
        yield function(chunk)
        seconds_left = (time.perf_counter() - start) / done * (len(chunks) - done)
        if num_processes > 1 and seconds_left > _WORTH_STARTING_SECONDS:
            yield from _in_processes(function, chunks[done:], num_processes)
            return


_REASONS = {
    errno.ENOSPC: "the disk is full; free some space or set config.data.data_dir to another disk",
    errno.EDQUOT: "the disk quota is used up; set config.data.data_dir to another disk",
    errno.EACCES: "it may not be written to; set config.data.data_dir to a folder of yours",
    errno.EPERM: "it may not be written to; set config.data.data_dir to a folder of yours",
    errno.EROFS: "it lies on a read-only disk; set config.data.data_dir to another folder",
    errno.ENOTDIR: "a part of that path is a file; set config.data.data_dir to a folder",
    errno.EEXIST: "a part of that path is a file; set config.data.data_dir to a folder",
}


def _readable(error: Exception, folder: pathlib.Path) -> InputError | None:
    """What a user can do about ``error``; None if it is not about writing to ``folder``.

    The array_record writer says in a RuntimeError's text what the system said.
    """
    where = getattr(error, "filename", None)
    if where and not (folder.is_relative_to(where) or pathlib.Path(where).is_relative_to(folder.parent)):
        return None
    number = getattr(error, "errno", None)
    for known, reason in _REASONS.items():
        if number == known or (number is None and os.strerror(known) in str(error)):
            return InputError(f"data set not built in {folder}: {reason}")
    return None


@contextlib.contextmanager
def _locked(folder: pathlib.Path) -> Iterator[None]:
    """Hold the folder's lock, waiting for another process that builds there. The system frees it when we die."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _remove_incomplete(folder: pathlib.Path) -> None:
    """Remove what a killed build left behind. Only called with the lock held, so that nobody is at work there."""
    for path in folder.glob("incomplete.*"):
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def absl_errors_only() -> Iterator[None]:
    """TFDS warns of every config that is not built in, by printing all of it."""
    verbosity = absl_logging.get_verbosity()
    absl_logging.set_verbosity(absl_logging.ERROR)
    try:
        yield
    finally:
        absl_logging.set_verbosity(verbosity)


_NUM_BUCKETS = 64  # temporary files that are open at the same time


def ordered_key(index: int, count: int) -> int:
    """A key that keeps the order of ``count`` examples in TFDS's 128 bits.

    Split data of more than 1 GB wait in temporary files by the key's leading bits, and each file is then sorted in
    memory: small numbers would all come into one.
    """
    return index * _NUM_BUCKETS // count * (2**128 // _NUM_BUCKETS) + index


@contextlib.contextmanager
def _temporary_files_without_tensorflow() -> Iterator[None]:
    """TFDS writes those temporary files through TensorFlow alone; here it gets Python's own under the same names."""
    from tensorflow_datasets.core import shuffle

    files = types.SimpleNamespace(GFile=open, exists=os.path.exists, remove=os.remove)
    # Its one use is to raise the limit of open files, which so few do not reach.
    errors = types.SimpleNamespace(ResourceExhaustedError=())
    tensorflow = shuffle.tf
    shuffle.tf = types.SimpleNamespace(io=types.SimpleNamespace(gfile=files), errors=errors)
    try:
        yield
    finally:
        shuffle.tf = tensorflow


class CarefulBuild(BeamBuild):
    """Mix-in before ``tfds.core.GeneratorBasedBuilder``: builds array_record files, all or nothing."""

    def estimated_bytes(self) -> int:
        """Disk space that the data set will take, if that is known before."""
        return 0

    def download_and_prepare(self, *, file_format: str = "array_record", **kwargs) -> None:
        """Build the data set unless it is there.

        Interrupted or failed, it leaves nothing behind that a later build or a reader could take for the data set.
        Processes that build the same data set at the same time wait for each other. Raises :class:`InputError` when
        the disk is full (or has less than :meth:`estimated_bytes` free) or not writable.
        """
        target = pathlib.Path(self.data_dir)
        if target.exists():
            self._take_over(target, file_format)
            return
        folder = target.parent
        # Imported here because workers import this module too, and would each spend seconds on what they do not need.
        import tensorflow_datasets as tfds

        tfds.disable_progress_bar()  # its bars count splits and shards; ours counts examples
        try:
            with _locked(folder):
                _remove_incomplete(folder)
                if target.exists():  # built by another process while this one waited
                    self._take_over(target, file_format)
                    return
                _check_space(folder, self.estimated_bytes())
                with _temporary_files_without_tensorflow():
                    super().download_and_prepare(file_format=file_format, **kwargs)
                sync_folder(target)
        except (OSError, RuntimeError) as error:
            readable = _readable(error, folder)
            if readable is None:
                raise
            _remove_incomplete(folder)
            raise readable from error

    def _take_over(self, target: pathlib.Path, file_format: str) -> None:
        """Read what another process has built since this builder was made."""
        if not self.info.initialized:
            self.info.set_file_format(file_format, override=True)  # until then, it is TFDS's own
            self.info.read_from_directory(target)

    def _log_download_bytes(self) -> None:
        """TFDS would say that it downloads."""

    def _log_download_done(self) -> None:
        """TFDS would say that it has downloaded."""


def _check_space(folder: pathlib.Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"data set not built in {folder}: it needs {needed / 1e9:.2f} GB and the disk has {free / 1e9:.2f} GB "
            "free; free some space or set config.data.data_dir to another disk"
        )
