"""The public archive of Kosiba et al. (2020), read as it is, without trust: nothing is unpacked to disk.

    train_images/*.png  test_images/*.png  train.csv  test.csv        (or all of it within one folder)

PNG of 356 x 356 x 3; the tables have the columns image_id (a file's name, with or without .png) and class.
"""

import csv
import dataclasses
import io
import os
import pathlib
import zipfile
from collections.abc import Iterator

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from clusterjax.errors import InputError
from clusterjax.limits import check_limit, limits
from clusterjax.simulation.knobs import XRAY_CLASSES

FILE = "Kosiba2020.zip"
URL = f"https://zenodo.org/records/7236582/files/{FILE}?download=1"
RECORD = "https://zenodo.org/records/7236582/export/json"  # has its checksum
SIZE = 356
TABLES = {"train": ("train.csv", "train_images"), "test": ("test.csv", "test_images")}


@dataclasses.dataclass(frozen=True)
class ArchiveEntry:
    """One image: its path in the archive, its class, and the table it is from (train or test)."""

    member: str
    object_class: str
    split: str


class KosibaArchive:
    """``path`` opened for reading. Raises :class:`InputError` for a file that is no such archive, whatever is wrong."""

    def __init__(self, path: str | os.PathLike):
        self.path = pathlib.Path(path)
        if not self.path.is_file():
            raise InputError(f"{self.path} does not exist; give Kosiba2020.zip (Zenodo record 7236582)")
        try:
            self._zip = zipfile.ZipFile(self.path)
        except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
            raise InputError(f"{self.path} cannot be read as a zip archive: {error}") from error
        self._members = {info.filename: info for info in self._zip.infolist() if not info.is_dir()}
        check_limit("archive_members", len(self._members), self.path)
        for name in self._members:
            parts = pathlib.PurePosixPath(name.replace("\\", "/")).parts
            if not parts or name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
                raise InputError(f"{self.path} has the member {name!r}, which lies outside of the archive")
        self._root = self._find_root()

    def __enter__(self) -> "KosibaArchive":
        return self

    def __exit__(self, *_) -> None:
        self._zip.close()

    def _find_root(self) -> str:
        found = [name.removesuffix("train.csv") for name in self._members if name.split("/")[-1] == "train.csv"]
        found = [root for root in found if root.count("/") <= 1 and not root.startswith("__MACOSX")]
        if not found:
            raise InputError(f"{self.path} has no train.csv; it needs that, test.csv, train_images/, test_images/")
        return min(found, key=len)

    def _read(self, member: str) -> bytes:
        info = self._members.get(member)
        if info is None:
            raise InputError(f"{self.path} has no {member}")
        limit = limits().member_bytes
        try:
            with self._zip.open(info) as stream:
                data = stream.read(limit + 1)  # whatever the member says of its size
        except Exception as error:  # of zipfile, zlib, bz2 and lzma: each means that it is damaged
            raise InputError(f"{member} of {self.path} cannot be read: {error}") from error
        check_limit("member_bytes", len(data), f"{member} of {self.path}")
        return data

    def entries(self) -> Iterator[ArchiveEntry]:
        """Of both tables, in their order. Raises :class:`InputError` for a table without its columns or rows, an
        unknown class, an image that is listed twice, and one that is not there."""
        for split, (table, folder) in TABLES.items():
            seen: set[str] = set()
            for line, name, object_class in self._rows(self._root + table):
                where = f"{self._root}{table}, line {line}, of {self.path}"
                if object_class not in XRAY_CLASSES:
                    raise InputError(f"{where}: class {object_class!r} is none of {', '.join(XRAY_CLASSES)}")
                member = f"{self._root}{folder}/{name}" + ("" if name.lower().endswith(".png") else ".png")
                if member in seen:
                    raise InputError(f"{where}: image {name!r} is listed twice")
                if member not in self._members:
                    raise InputError(f"{where}: there is no {member} in the archive")
                seen.add(member)
                yield ArchiveEntry(member, object_class, split)
            if not seen:
                raise InputError(f"{self._root}{table} of {self.path} lists no images")

    def _rows(self, table: str) -> Iterator[tuple[int, str, str]]:
        try:
            text = self._read(table).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"{table} of {self.path} is no text: {error}") from error
        try:
            yield from self._rows_of(table, text)
        except csv.Error as error:
            raise InputError(f"{table} of {self.path} cannot be read as CSV: {error}") from error

    def _rows_of(self, table: str, text: str) -> Iterator[tuple[int, str, str]]:
        reader = csv.DictReader(io.StringIO(text, newline=""))
        names = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
        for column in ("image_id", "class"):
            if column not in names:
                raise InputError(f"{table} of {self.path} has no column {column}; it has {', '.join(names) or 'none'}")
        for row in reader:
            values = [(row[names[column]] or "").strip() for column in ("image_id", "class")]
            if not all(values):
                raise InputError(f"{table}, line {reader.line_num}, of {self.path}: image_id or class is empty")
            yield reader.line_num, *values

    def image(self, member: str) -> UInt8[np.ndarray, "356 356 3"]:
        """Raises :class:`InputError` for one that is damaged, or of another size (seen before it is unpacked)."""
        data = self._read(member)
        try:
            with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
                if image.size != (SIZE, SIZE):
                    raise InputError(
                        f"{member} of {self.path} has {image.size[0]} x {image.size[1]} pixels, not {SIZE} x {SIZE}"
                    )
                return np.array(image.convert("RGB"))
        except InputError:
            raise
        except Exception as error:  # each decoder has kinds of its own
            raise InputError(f"{member} of {self.path} is damaged: {error}") from error
