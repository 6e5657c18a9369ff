"""Where a run comes from."""

import subprocess

import pytest

from clusterjax.jobs import provenance
from clusterjax.jobs.provenance import find_commit, fingerprint, keep_provenance, read_provenance


def git(folder, *arguments):
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_commit_of_a_clone(tmp_path):
    assert find_commit(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert find_commit(tmp_path) is None  # nothing is committed
    (tmp_path / "code.py").write_text("x = 1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert find_commit(tmp_path) == head
    (tmp_path / "code.py").write_text("x = 2")
    assert find_commit(tmp_path) == f"{head} + changes"


def test_no_git_at_all(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", "")
    assert find_commit(tmp_path) is None


def test_a_line_for_each_change(tmp_path, monkeypatch):
    assert read_provenance(tmp_path) == []
    keep_provenance(tmp_path)
    keep_provenance(tmp_path)
    (entry,) = read_provenance(tmp_path)
    assert entry["software"]["jax"].count(".") >= 2
    assert entry["hardware"]["devices"].endswith("cpu")
    monkeypatch.setattr(provenance, "find_commit", lambda: "another")
    keep_provenance(tmp_path)
    assert [entry["software"]["commit"] == "another" for entry in read_provenance(tmp_path)] == [False, True]


@pytest.fixture
def data_set(tmp_path):
    def make(name, *, record=b"r" * 3_000_000, description="{}"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "dataset_info.json").write_text(description)
        (folder / "x-train.array_record-00000-of-00001").write_bytes(record)
        (folder / ".lock").write_text(name)
        return fingerprint(folder)

    return make


def test_fingerprint(data_set):
    record = bytearray(b"r" * 3_000_000)
    first = data_set("a")
    assert len(first) == 16
    assert data_set("copy") == first  # wherever it lies
    assert data_set("longer", record=b"r" * 3_000_001) != first
    assert data_set("description", description="{ }") != first
    for i, place in enumerate((5, 2_999_990)):
        changed = record.copy()
        changed[place] = 0
        assert data_set(f"changed{i}", record=bytes(changed)) != first
