"""Bodies that are whole or not, and archives that nobody should trust."""

import gzip
import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterjax.errors import InputError
from clusterjax.sky.surveys.contents import fault, read_archive


@settings(max_examples=30, deadline=None)
@given(content=st.binary(max_size=3000), cut=st.integers(1, 60))
def test_gzip_is_whole_or_not(tmp_path_factory, content, cut):
    path = tmp_path_factory.mktemp("gzip") / "file"
    packed = gzip.compress(content)
    path.write_bytes(packed)
    assert fault(path, "tar.gz") is None
    path.write_bytes(packed[: -min(cut, len(packed) - 3)])
    assert fault(path, "tar.gz") is not None


def archive(members, path):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def test_archives_are_read_without_trust(tmp_path):
    path = archive([("./one.fits", b"1"), ("folder/two.fits", b"22")], tmp_path / "good.tar.gz")
    assert list(read_archive(path)) == [("one.fits", b"1"), ("two.fits", b"22")]
    for name in ("../../evil", "/etc/evil", "a/../../b"):
        with pytest.raises(InputError, match="lies outside of the archive"):
            list(read_archive(archive([(name, b"1")], tmp_path / "slip.tar.gz")))
    bomb = archive([("zeros", bytes(5_000_000))], tmp_path / "bomb.tar.gz")
    assert bomb.stat().st_size < 10_000
    with pytest.raises(InputError, match="unpacks to more than 1000000 bytes"):
        list(read_archive(bomb, max_bytes=1_000_000))
    with pytest.raises(InputError, match="more than 3 members"):
        list(read_archive(archive([(str(n), b"") for n in range(5)], tmp_path / "many.tar.gz"), max_members=3))
    path.write_bytes(gzip.compress(b"no archive" * 100))
    with pytest.raises(InputError, match=r"cannot be read as tar\.gz"):
        list(read_archive(path))
