"""How much a file may ask for. A few bytes can say that they are a terabyte: broken files do, and hostile ones.

The environment variable CLUSTERJAX_LIMITS changes them, for worker processes too:
``CLUSTERJAX_LIMITS="image_pixels=2e9, archive_members=200000"``.
"""

import dataclasses
import functools
import gzip
import os
import pathlib

from clusterjax.errors import InputError

VARIABLE = "CLUSTERJAX_LIMITS"
_BLOCK_BYTES = 2**20


@dataclasses.dataclass(frozen=True)
class Limits:
    """What is larger is refused before it is unpacked or held in memory."""

    image_pixels: int = 400_000_000  # of a picture, of a FITS image read whole, of one tile of a compressed one
    unpacked_bytes: int = 8 * 2**30  # of what a map or a table that is compressed as a whole (.gz) becomes
    table_bytes: int = 2 * 2**30  # of a table as text: CSV, ECSV, VOTable, MOC in JSON
    field_chars: int = 10_000_000  # of one field of a CSV
    archive_bytes: int = 2**30  # of all files of an archive of cutouts together
    archive_members: int = 50_000  # files in an archive
    member_bytes: int = 50_000_000  # of one file of an archive of pictures
    weights_bytes: int = 8 * 2**30  # of the numbers of a state dict
    download_bytes: int = 4_000_000_000  # of one body that a server sends


def limits() -> Limits:
    """Those of the environment. Raises InputError for a name or a number that is none."""
    return _parse(os.environ.get(VARIABLE, ""))


@functools.cache
def _parse(text: str) -> Limits:
    known = [field.name for field in dataclasses.fields(Limits)]
    given = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = (word.strip() for word in part.partition("="))
        try:
            given[name] = int(float(value))
        except (ValueError, OverflowError):
            given[name] = 0
        if name not in known or given[name] <= 0:
            raise InputError(f"{VARIABLE} has {part!r}; write NAME=NUMBER, NAME one of {', '.join(known)}")
    return Limits(**given)


def check_limit(name: str, value: float | int, where: object) -> None:
    """Raises InputError, which says how to allow more, if ``value`` is above the limit of that name."""
    limit = getattr(limits(), name)
    if value > limit:
        kind = name.partition("_")[2]
        raise InputError(
            f"{where} has {value:.4g} {kind}, more than {limit:.4g}; if that is as it should be, set the environment "
            f"variable {VARIABLE}={name}={value:.2g} or more"
        )


def read_unpacked(path: pathlib.Path, name: str) -> bytes:
    """The content of a file, unpacked if it is a gzip file; no more of it than the limit ``name`` is ever in memory.

    Raises InputError beyond that; OSError, EOFError and zlib.error as the system and gzip do.
    """
    with path.open("rb") as stream:
        packed = stream.peek(2)[:2] == b"\x1f\x8b"
        with gzip.open(stream) if packed else stream as content:
            # In blocks, for a file sets memory aside for as much as is asked for.
            found, limit = bytearray(), getattr(limits(), name)
            while len(found) <= limit and (block := content.read(_BLOCK_BYTES)):
                found += block
    check_limit(name, len(found), path)
    return bytes(found)
