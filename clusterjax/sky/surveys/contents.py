"""Is a body what was asked for, and all of it? And archives, read without trust."""

import gzip
import hashlib
import html
import pathlib
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator

from clusterjax.errors import InputError
from clusterjax.limits import limits

KINDS = ("fits", "tar.gz", "zip", "votable", "any")
_FITS_BLOCK = 2880
_CHUNK = 1 << 20


def fault(path: pathlib.Path, kind: str) -> str | None:
    """What is wrong with a body that should be of ``kind``; None if it is well.

    Servers send error pages with status 200, and without a Content-Length nobody notices a connection that breaks:
    a FITS file ends on a whole block, a gzip stream on its checksum, a VOTable on its closing tag.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(2048)
        stream.seek(max(size - 256, 0))
        tail = stream.read()
    if size == 0:
        return "an empty body"
    if re.match(rb"\s*(<!doctype html|<html)", head, re.IGNORECASE):
        return f"an HTML page{_title(head)}"
    if kind in ("fits", "tar.gz") and head.startswith(b"\x1f\x8b"):
        return _gzip_fault(path)
    if kind == "fits":
        if not head.startswith(b"SIMPLE  ="):
            return f"no FITS file but {_beginning(head)}"
        return "a truncated FITS file" if size % _FITS_BLOCK else None
    if kind == "tar.gz":
        return f"no tar.gz archive but {_beginning(head)}"
    if kind == "zip":
        if not head.startswith(b"PK"):
            return f"no zip archive but {_beginning(head)}"
        return None if zipfile.is_zipfile(path) else "a truncated zip archive"  # its table of contents is at the end
    if kind == "votable":
        if b"<VOTABLE" not in head:
            return f"no VOTable but {_beginning(head)}"
        return None if tail.rstrip().endswith(b"</VOTABLE>") else "a truncated VOTable"
    return None


def checksum_fault(path: pathlib.Path, checksum: str) -> str | None:
    """What is wrong with a file of which ``checksum``, as in 'md5:0123...', is published; None if it is that one."""
    kind, _, expected = checksum.lower().partition(":")
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, kind.replace("-", "")).hexdigest()
    return None if found == expected else f"a body whose {kind} is {found}, where {expected} is published"


def _title(head: bytes) -> str:
    match = re.search(rb"<title[^>]*>(.*?)</title>", head, re.IGNORECASE | re.DOTALL)
    return f" ({' '.join(html.unescape(match[1].decode('utf-8', 'replace')).split())[:80]})" if match else ""


def _beginning(head: bytes) -> str:
    text = " ".join(head[:80].decode("utf-8", "replace").split())
    return repr(text)


def _gzip_fault(path: pathlib.Path) -> str | None:
    unpacker, unpacked, most = zlib.decompressobj(31), 0, limits().archive_bytes
    with path.open("rb") as stream:
        while not unpacker.eof:
            packed = unpacker.unconsumed_tail or stream.read(_CHUNK)
            if not packed:
                return "a truncated gzip stream"
            try:
                unpacked += len(unpacker.decompress(packed, _CHUNK))
            except zlib.error as error:
                return f"a damaged gzip stream ({error})"
            if unpacked > most:
                return f"a gzip stream that unpacks to more than {most} bytes"
    return None


class _Limited:
    """A stream that ends in an error after ``limit`` bytes: an archive may unpack to a thousand times its size."""

    def __init__(self, stream: gzip.GzipFile, limit: int, where: str):
        self._stream, self._left, self._limit, self._where = stream, limit, limit, where

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(min(size, self._left + 1) if size >= 0 else self._left + 1)
        self._left -= len(data)
        if self._left < 0:
            raise InputError(f"{self._where} unpacks to more than {self._limit} bytes")
        return data


def read_archive(
    path: pathlib.Path, *, max_bytes: int | None = None, max_members: int | None = None
) -> Iterator[tuple[str, bytes]]:
    """(name without folders, content) of the files in a tar.gz, in memory: nothing is written where a name says.

    Raises :class:`InputError` for an archive that cannot be read; that unpacks to more than ``max_bytes`` or has more
    than ``max_members`` (None: as :class:`~clusterjax.limits.Limits` has them); and for a member outside of the archive
    (an absolute name, or one with '..').
    """
    max_bytes = limits().archive_bytes if max_bytes is None else max_bytes
    max_members = limits().archive_members if max_members is None else max_members
    try:
        with gzip.open(path) as stream, tarfile.open(fileobj=_Limited(stream, max_bytes, str(path)), mode="r|") as tar:
            for count, member in enumerate(tar, start=1):
                if count > max_members:
                    raise InputError(f"{path} has more than {max_members} members")
                name = pathlib.PurePosixPath(member.name)
                if name.is_absolute() or ".." in name.parts:
                    raise InputError(f"{path} has the member {member.name!r}, which lies outside of the archive")
                if member.isfile():
                    yield name.name, tar.extractfile(member).read()
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError, KeyError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read as tar.gz: {error}") from error
