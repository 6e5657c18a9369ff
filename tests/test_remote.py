"""A workdir and data sets in an object store: gs:// through etils.epath, with a store in memory behind it.

No real bucket is ever asked: what gcsfs does over the network is not tested.
"""

import json

import fsspec
import pytest
from etils import epath
from fsspec.implementations.memory import MemoryFileSystem

from clusterjax import remote
from clusterjax.errors import InputError


class Bucket(MemoryFileSystem):
    """What gcsfs would be: flat names, no folders, no rename."""

    protocol = ("gcs", "gs")
    store: dict = {}  # noqa: RUF012  (fsspec's own way)
    pseudo_dirs: list = [""]  # noqa: RUF012
    broken = False

    @classmethod
    def _strip_protocol(cls, path):
        return "/" + str(path).removeprefix("gs://").strip("/")

    def _open(self, path, mode="rb", **kwargs):
        if Bucket.broken and "w" in mode:
            raise OSError("503 the service is not available")
        return super()._open(path, mode, **kwargs)


@pytest.fixture(autouse=True)
def bucket(monkeypatch, tmp_path):
    Bucket.store.clear()
    Bucket.pseudo_dirs[:] = [""]
    monkeypatch.setattr(Bucket, "broken", False)
    monkeypatch.setattr(remote, "_mirrors", {})
    monkeypatch.setenv("CLUSTERJAX_MIRROR", str(tmp_path / "here"))
    monkeypatch.setattr(epath.backend.fsspec_backend, "_get_filesystem", lambda name: Bucket(skip_instance_cache=True))
    assert fsspec  # the backend's


def other_machine(monkeypatch, tmp_path):
    monkeypatch.setattr(remote, "_mirrors", {})
    monkeypatch.setenv("CLUSTERJAX_MIRROR", str(tmp_path / "elsewhere"))


def in_store():
    return {name.removeprefix("/sky/run/") for name in Bucket.store}


def test_a_path_here_is_left_alone(tmp_path):
    assert remote.local_path(str(tmp_path / "run")) == tmp_path / "run"
    assert not remote.is_remote("runs/gs")
    with remote.sent_meanwhile():
        pass


def test_what_is_written_is_found_again_on_another_machine(monkeypatch, tmp_path):
    here = remote.local_path("gs://sky/run")
    with remote.sent_meanwhile():
        (here / "checkpoints" / "4").mkdir(parents=True)
        (here / "checkpoints" / "4" / "weights").write_bytes(bytes(range(256)))
        (here / "metrics.jsonl").write_text("one\n")
        (here / "checkpoints" / "8.orbax-checkpoint-tmp").mkdir()
        (here / "checkpoints" / "8.orbax-checkpoint-tmp" / "weights").write_bytes(b"half")
        (here / "summary.json.partial").write_text("half")
    assert in_store() == {"checkpoints/4/weights", "metrics.jsonl", ".clusterjax_files.json"}

    other_machine(monkeypatch, tmp_path)
    there = remote.local_path("gs://sky/run/")
    assert there != here
    assert (there / "checkpoints" / "4" / "weights").read_bytes() == bytes(range(256))
    with remote.sent_meanwhile():  # it goes on: a newer checkpoint takes the place of the older
        (there / "checkpoints" / "8").mkdir()
        (there / "checkpoints" / "8" / "weights").write_bytes(b"newer")
        (there / "checkpoints" / "4" / "weights").unlink()
        (there / "metrics.jsonl").write_text("one\ntwo\n")
    assert in_store() == {"checkpoints/8/weights", "metrics.jsonl", ".clusterjax_files.json"}

    monkeypatch.setattr(remote, "_mirrors", {})
    monkeypatch.setenv("CLUSTERJAX_MIRROR", str(tmp_path / "here"))
    again = remote.local_path("gs://sky/run")  # the first machine has an older state, and is told so
    assert not (again / "checkpoints" / "4").exists()
    assert (again / "checkpoints" / "8" / "weights").read_bytes() == b"newer"
    assert (again / "metrics.jsonl").read_text() == "one\ntwo\n"


def test_a_copy_that_is_cut_short_leaves_what_was_there(monkeypatch, tmp_path):
    here = remote.local_path("gs://sky/run")
    (here / "checkpoints" / "4").mkdir(parents=True)
    (here / "checkpoints" / "4" / "weights").write_bytes(b"old")
    remote.send_all()
    (here / "checkpoints" / "8").mkdir()
    for name in ("a", "b"):
        (here / "checkpoints" / "8" / name).write_bytes(b"new")
    write, written = Bucket._open, []

    def fail_at_the_second(self, path, mode="rb", **kwargs):
        if "w" in mode:
            written.append(path)
            if len(written) == 2:
                raise OSError("503")
        return write(self, path, mode, **kwargs)

    monkeypatch.setattr(Bucket, "_open", fail_at_the_second)
    with pytest.raises(InputError, match="gs://sky/run cannot be reached: 503"):
        remote.send_all()
    monkeypatch.setattr(Bucket, "_open", write)
    other_machine(monkeypatch, tmp_path)
    there = remote.local_path("gs://sky/run")
    assert [path.name for path in (there / "checkpoints").iterdir()] == ["4"]
    monkeypatch.setattr(remote, "_mirrors", {"x": remote.Mirror("gs://sky/run", here)})
    remote.send_all()  # the rest, at the next time
    assert "checkpoints/8/b" in json.loads(epath.Path("gs://sky/run/.clusterjax_files.json").read_text())


def test_a_file_and_a_folder_put_there_by_other_means(tmp_path):
    epath.Path("gs://sky/maps/w1.fits").write_bytes(b"SIMPLE")
    assert remote.local_path("gs://sky/maps/w1.fits").read_bytes() == b"SIMPLE"
    assert (remote.local_path("gs://sky/maps") / "w1.fits").read_bytes() == b"SIMPLE"


def test_a_store_that_cannot_be_written_is_named():
    here = remote.local_path("gs://sky/run")
    here.mkdir(parents=True)
    (here / "x").write_text("x")
    Bucket.broken = True
    with pytest.raises(InputError, match="gs://sky/run cannot be reached: 503 the service is not available"):
        remote.send_all()
