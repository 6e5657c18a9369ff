"""Folders in an object store (``gs://``, by etils.epath): as a folder of this machine's that follows them.

The one place that knows of them. A store has no rename and no append, and most of what reads and writes here (FITS,
TFDS, Orbax, TensorBoard) wants files: so all work goes on in a copy, and what has changed is sent each half minute and
at the end. A file ``.clusterjax_files.json`` there, written last, says what is whole: a copy that is killed on the
way leaves what was there before.
"""

import contextlib
import json
import os
import pathlib
import shutil
import threading
from collections.abc import Iterator

from clusterjax.errors import InputError
from clusterjax.writing import write_bytes

SCHEMES = ("gs://", "s3://")
_LISTING = ".clusterjax_files.json"
_EVERY_S = 30.0
# Of what is not whole, by its name: Orbax's and ours.
_UNFINISHED = (".orbax-checkpoint-tmp", ".partial", "incomplete.")
_mirrors: dict[str, "Mirror"] = {}


def is_remote(path) -> bool:
    return str(path).startswith(SCHEMES)


def local_path(path: str) -> pathlib.Path:
    """``path`` as it is, or the folder (or file) here that stands for one in a store; fetched at its first use."""
    if not is_remote(path):
        return pathlib.Path(path)
    name = str(path).rstrip("/")
    if name not in _mirrors:
        mirror = Mirror(name, place_here(name))
        mirror.fetch()
        _mirrors[name] = mirror
    return _mirrors[name].local


def send_all() -> None:
    """What has changed in all of them, to the stores."""
    for mirror in _mirrors.values():
        mirror.send()


@contextlib.contextmanager
def sent_meanwhile() -> Iterator[None]:
    """All of them are sent each half minute while entered, and at the end, however that comes."""
    if not _mirrors:
        yield
        return
    ended = threading.Event()

    def send_now_and_then() -> None:
        while not ended.wait(_EVERY_S):
            with contextlib.suppress(InputError):  # the last time tells
                send_all()

    thread = threading.Thread(target=send_now_and_then, name="sends to the store", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        send_all()


def place_here(path: str) -> pathlib.Path:
    """Where :func:`local_path` puts it: below $CLUSTERJAX_MIRROR, else in the user's cache."""
    given = os.environ.get("CLUSTERJAX_MIRROR")
    cache = pathlib.Path(given) if given else pathlib.Path.home() / ".cache" / "clusterjax" / "mirror"
    return cache / path.rstrip("/").replace("://", "/")


class Mirror:
    """``local`` follows the folder (or is the copy of the file) ``remote`` in a store."""

    def __init__(self, remote: str, local: pathlib.Path):
        self.remote, self.local = remote, local
        self._sent: dict[str, list[int]] = {}  # (size, mtime_ns) of each file as it was sent or fetched
        self._listed: dict[str, int] = {}

    def fetch(self) -> None:
        """What the store has and this machine has not; files that the store knows nothing of are removed here."""
        with _clear_errors(self.remote):
            store = _store(self.remote)
            if store.is_file():
                self.local.parent.mkdir(parents=True, exist_ok=True)
                _copy(store, self.local)
                self._sent[""] = _stamp(self.local)
                return
            self._listed = self._read_listing(store) if store.exists() else {}
        if not self._listed:
            shutil.rmtree(self.local, ignore_errors=True)
        for path, place in self._files().items():
            if path not in self._listed:  # of a run that was killed, and so is not whole either
                place.unlink()
                with contextlib.suppress(OSError):  # an empty folder of a step would be taken for a checkpoint
                    place.parent.rmdir()
        for path, size in self._listed.items():
            place = self.local / path
            # A file of the same name may be of another run: only checkpoints and records never change once written.
            place.parent.mkdir(parents=True, exist_ok=True)
            if not (place.is_file() and place.stat().st_size == size and _never_changes(path)):
                with _clear_errors(f"{self.remote}/{path}"):
                    _copy(store / path, place)
            self._sent[path] = _stamp(place)

    @staticmethod
    def _read_listing(store) -> dict[str, int]:
        listing = store / _LISTING
        if listing.exists():
            return json.loads(listing.read_text())
        # A folder that was put there by other means is taken as it is.
        return {str(path.relative_to(store)): path.stat().length for path in _files_in(store)}

    def _files(self) -> dict[str, pathlib.Path]:
        if self.local.is_file():  # fetched to be read
            return {}
        found = {}
        for path in sorted(self.local.rglob("*")):
            name = str(path.relative_to(self.local))
            if path.is_file() and not any(part in name for part in _UNFINISHED) and path.name != ".lock":
                found[name] = path
        return found

    def send(self) -> None:
        """New and changed files, then the listing; then what is gone here is removed there."""
        with contextlib.suppress(FileNotFoundError), _clear_errors(self.remote):
            here = {name: _stamp(path) for name, path in self._files().items() if path.exists()}
            changed = [name for name, stamp in here.items() if self._sent.get(name) != stamp]
            gone = [name for name in self._listed if name not in here]
            if not changed and not gone:
                return
            store = _store(self.remote)
            for name in changed:
                (store / name).parent.mkdir(parents=True, exist_ok=True)
                (store / name).write_bytes((self.local / name).read_bytes())
                self._sent[name] = here[name]
            self._listed = {name: stamp[0] for name, stamp in here.items()}
            (store / _LISTING).write_text(json.dumps(self._listed, indent=1))
            for name in gone:
                self._sent.pop(name, None)
                (store / name).unlink(missing_ok=True)


def _files_in(folder) -> Iterator:
    for path in folder.iterdir():
        if path.is_dir():
            yield from _files_in(path)
        else:
            yield path


def _never_changes(name: str) -> bool:
    return "checkpoints/" in name or ".array_record-" in name


def _stamp(path: pathlib.Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def _copy(source, place: pathlib.Path) -> None:
    write_bytes(place, source.read_bytes())


def _store(path: str):
    from etils import epath

    return epath.Path(path)


@contextlib.contextmanager
def _clear_errors(path: str) -> Iterator[None]:
    """Whatever a store's library raises becomes one line that names the place."""
    try:
        yield
    except (KeyboardInterrupt, InputError, FileNotFoundError):
        raise
    except ImportError as error:
        raise InputError(f"{path} needs the extra gcs (uv run --extra gcs ...): {error}") from error
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"{path} cannot be reached: {first}") from error
