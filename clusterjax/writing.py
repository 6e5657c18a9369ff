"""Every file that clusterjax leaves is written here: whole or not at all, whatever kills the program or fills the disk.

A reader finds the old content or the new, never a part. What was renamed is on disk before its name is, so that this
holds after a power cut too.
"""

import contextlib
import errno
import os
import pathlib
import shutil
from collections.abc import Iterator

from clusterjax.errors import InputError

_PARTIAL = ".partial-"  # begins the names of files that are not whole


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """A path beside ``path`` to write to, which takes its place only when all went well.

    Raises :class:`InputError`, which names ``path``, for whatever the system refuses: a full disk, say.
    """
    path = pathlib.Path(path)
    partial = path.with_name(_PARTIAL + path.name)
    with _clear_errors(path):
        try:
            yield partial
            _sync(partial)
            os.replace(partial, path)
            _sync(path.parent)
        finally:
            with contextlib.suppress(OSError):  # the folder cannot be written, which the first error says
                partial.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(folder: str | os.PathLike) -> Iterator[pathlib.Path]:
    """As :func:`replacing`: an empty folder beside ``folder``, which takes its place with all that was put into it."""
    folder = pathlib.Path(folder)
    partial, old = (folder.with_name(f"{beginning}{folder.name}") for beginning in (_PARTIAL, ".old-"))
    with _clear_errors(folder):
        try:
            for left in (partial, old):  # by a program that was killed
                shutil.rmtree(left, ignore_errors=True)
            partial.mkdir(parents=True)
            yield partial
            sync_folder(partial)
            if folder.exists():
                os.replace(folder, old)
            os.replace(partial, folder)
            _sync(folder.parent)
        finally:
            for left in (partial, old):
                shutil.rmtree(left, ignore_errors=True)


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Raises InputError as :func:`replacing`."""
    with replacing(path) as partial:
        partial.write_bytes(content)


def write_text(path: str | os.PathLike, text: str) -> None:
    """In UTF-8. Raises InputError as :func:`replacing`."""
    write_bytes(path, text.encode())


def sync_folder(folder: pathlib.Path) -> None:
    """All that is in ``folder``, and its names, from the system's memory to the disk."""
    for path in (*folder.rglob("*"), folder):
        _sync(path)


def _sync(path: pathlib.Path) -> None:
    if not path.exists():  # nothing was written: os.replace says so
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems have no such thing for a folder.
        if not (path.is_dir() and error.errno in (errno.EINVAL, errno.ENOTSUP)):
            raise
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _clear_errors(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from error
