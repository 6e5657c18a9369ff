"""Records that stay in memory once they were read: decoding takes longer than all else the host does for them."""

import os
import pathlib
from typing import Any

import numpy as np

from clusterjax.config import DataConfig
from clusterjax.data.sources import Subset

_PART_OF_MEMORY = 1 / 8
_OF_BATCHES = ("image", "label", "object_id")


class Kept:
    """A source whose images lie in one array, each once it was asked for: a batch of them is one copy."""

    def __init__(self, source):
        self._source = source
        image = np.asarray(source[0]["image"])
        # Pages that nothing was written to take no memory: a host that reads a part of the records keeps a part.
        self._images = np.empty((len(source), *image.shape), image.dtype)
        self._labels = np.empty(len(source), np.int32)
        self._object_ids = np.empty(len(source), np.int64)
        self._others: list[dict[str, Any] | None] = [None] * len(source)
        # Written by several threads, last of all: each record is the same whoever reads it
        self._is_there = np.zeros(len(source), bool)

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        index = range(len(self))[index]
        if not self._is_there[index]:
            self._read(index)
        return {"image": self._images[index], **self._others[index]}

    def batch(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """``image`` float32, ``label`` int32 and ``object_id`` int64 (the index where there is none) of records."""
        for index in indices[~self._is_there[indices]].tolist():
            self._read(index)
        values = (self._images, self._labels, self._object_ids)
        batch = {name: of_all.take(indices, axis=0) for name, of_all in zip(_OF_BATCHES, values, strict=True)}
        return batch | {"image": batch["image"].astype(np.float32, copy=False)}

    def _read(self, index: int) -> None:
        record = dict(self._source[index])
        self._images[index] = record.pop("image")
        self._labels[index], self._object_ids[index] = record["label"], record.get("object_id", index)
        self._others[index] = record
        self._is_there[index] = True


def keep_if_small(source, config: DataConfig):
    """``source``, or what keeps its records in memory once they were read. Loaders of one such share them."""
    if find_kept(source) is not None or not len(source) or config.num_workers:  # processes would hold a copy each
        return source
    image_bytes = len(source) * np.asarray(source[0]["image"]).nbytes
    return Kept(source) if image_bytes <= _PART_OF_MEMORY * memory_bytes() else source


def find_kept(source) -> tuple[Kept, np.ndarray | None] | None:
    """(what keeps the records of ``source``, their places in it; None: as they are), or None where nothing does."""
    if isinstance(source, Kept):
        return source, None
    if not isinstance(source, Subset) or (inner := find_kept(source.source)) is None:
        return None
    rows = np.asarray(source.indices, np.int64)
    return inner[0], rows if inner[1] is None else inner[1][rows]


def memory_bytes() -> int:
    """Of the machine, or what its container may use."""
    of_machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(of_machine, int(pathlib.Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # another system, or "max"
        return of_machine
