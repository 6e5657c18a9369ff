"""What was downloaded, kept by content: ``objects/<sha256>``, and a manifest that says which URL gave which."""

import contextlib
import dataclasses
import datetime
import fcntl
import hashlib
import json
import os
import pathlib
import sys
from collections.abc import Iterator

from clusterjax.errors import InputError

MANIFEST = "manifest.jsonl"


@dataclasses.dataclass(frozen=True)
class Entry:
    """One line of the manifest. ``sha256`` is None for what a server said that it does not have."""

    url: str
    sha256: str | None
    size: int
    time: str  # UTC, ISO 8601
    status: int  # of HTTP


@contextlib.contextmanager
def writing_to(folder: pathlib.Path) -> Iterator[None]:
    """Whatever the disk refuses is one :class:`InputError`."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"the download cache {folder} cannot be written ({error.strerror or error}); free some space or set "
            "config.data.survey.cache_dir to another folder"
        ) from error


class Cache:
    """A folder of downloads. Reads need no lock; one process at a time writes, inside :meth:`locked`."""

    def __init__(self, folder: str | os.PathLike):
        self.folder = pathlib.Path(folder)
        self._entries: dict[str, Entry] = {}
        self._verified: set[str] = set()
        self.reload()

    def reload(self) -> None:
        """Read the manifest. A line that a crash cut short is left out: what it names is fetched once more."""
        path = self.folder / MANIFEST
        self._entries = {}
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
            try:
                entry = Entry(**json.loads(line))
            except (ValueError, TypeError):
                continue
            self._entries[entry.url] = entry

    def entry(self, url: str) -> Entry | None:
        """What the manifest says of ``url``, without a look at the content."""
        return self._entries.get(url)

    def find(self, url: str) -> pathlib.Path | None:
        """The content of ``url``, if it is here and whole: its hash is checked once in a program's life."""
        entry = self._entries.get(url)
        if entry is None or entry.sha256 is None:
            return None
        path = self._object(entry.sha256)
        if entry.sha256 in self._verified:
            return path
        if not path.is_file() or path.stat().st_size != entry.size or _sha256(path) != entry.sha256:
            return None
        self._verified.add(entry.sha256)
        return path

    def partial(self, url: str) -> pathlib.Path:
        """Where the body of ``url`` is written while it comes."""
        return self.folder / "partial" / hashlib.sha256(url.encode()).hexdigest()

    def store(self, partial: pathlib.Path, url: str, status: int) -> pathlib.Path:
        """Take a finished body in: on disk, renamed to its hash, then named by the manifest."""
        with writing_to(self.folder):
            with partial.open("rb+") as stream:
                os.fsync(stream.fileno())
            digest, size = _sha256(partial), partial.stat().st_size
            path = self._object(digest)
            path.parent.mkdir(parents=True, exist_ok=True)
            os.replace(partial, path)
        self._verified.add(digest)
        self._append(Entry(url, digest, size, _now(), status))
        return path

    def record_missing(self, url: str, status: int) -> None:
        """Note that the server has no such thing, so that offline work need not stop at it."""
        self._append(Entry(url, None, 0, _now(), status))

    def _object(self, digest: str) -> pathlib.Path:
        return self.folder / "objects" / digest[:2] / digest

    def _append(self, entry: Entry) -> None:
        path = self.folder / MANIFEST
        line = json.dumps(dataclasses.asdict(entry)) + "\n"
        with writing_to(self.folder), path.open("ab") as stream:
            if stream.tell() and not _ends_with_newline(path):  # after a crash
                line = "\n" + line
            stream.write(line.encode())
        self._entries[entry.url] = entry

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only process that downloads into this folder: limits for a server then hold for all of them."""
        with writing_to(self.folder):
            (self.folder / "partial").mkdir(parents=True, exist_ok=True)
            stream = (self.folder / ".lock").open("w")
        with stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"waiting for another process that downloads into {self.folder}", file=sys.stderr, flush=True)
                fcntl.flock(stream, fcntl.LOCK_EX)
            self.reload()
            yield


def _ends_with_newline(path: pathlib.Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) == b"\n"


def _sha256(path: pathlib.Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
