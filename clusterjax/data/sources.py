"""A built TFDS split as a random-access source of dicts of NumPy arrays; no TensorFlow."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clusterjax.data.statistics import BandStatistics
from clusterjax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Source:
    """One split: ``source[i]`` is a dict of the data set's features, ``len(source)`` the number of records.

    ``records`` may be any object with ``__len__`` and ``__getitem__``, such as a list of dicts. A source can be
    pickled: Grain's worker processes open the files themselves.
    """

    records: Any
    class_names: tuple[str, ...]
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.records[index]

    @property
    def band_statistics(self) -> BandStatistics:
        """Fitted to the training split by the data set's builder."""
        return BandStatistics.from_dict(self.metadata["band_statistics"])

    def columns(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Features ``names`` of all records, in order; texts (file names) too, which batches leave out."""
        rows = [self[index] for index in range(len(self))]
        return {name: np.array([_text(row[name]) for row in rows]) for name in names}


@dataclasses.dataclass(frozen=True)
class Subset:
    """The records ``indices`` of a source, in that order."""

    source: Any
    indices: Sequence[int]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.source[self.indices[index]]


@dataclasses.dataclass(frozen=True)
class Joined:
    """The records of several sources, one source after the other."""

    sources: Sequence[Any]

    def __len__(self) -> int:
        return sum(map(len, self.sources))

    def __getitem__(self, index: int) -> dict[str, Any]:
        for source in self.sources:
            if index < len(source):
                return source[index]
            index -= len(source)
        raise IndexError(index)


@dataclasses.dataclass(frozen=True, eq=False)
class _Named:
    """Records that say which file is damaged: ``files`` are the shards and how many records each has."""

    records: Any
    files: tuple[tuple[str, int], ...]

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> dict[str, Any]:
        try:
            return self.records[index]
        except IndexError:
            raise
        except Exception as error:  # the reader's checksums do not fit, or a decoder fails
            ends = np.cumsum([count for _, count in self.files])
            shard = int(np.searchsorted(ends, index, side="right"))
            number, file = index - int(ends[shard]) + self.files[shard][1], self.files[shard][0]
            raise InputError(
                f"record {number} of {file} cannot be read ({' '.join(str(error).split())[:120]}); remove the data set "
                "and build it again, or set config.data.skip_unreadable to go on without it"
            ) from error


_readable_of: dict[tuple, tuple[int, ...]] = {}  # by files: several jobs of a program open the same split


def _readable(records: _Named) -> tuple[int, ...]:
    """Of all records those that can be read; the others are named on stderr. Reads every one, once in a program."""
    if records.files in _readable_of:
        return _readable_of[records.files]
    found = []
    for index in range(len(records)):
        try:
            records[index]
        except InputError as error:
            print(f"left out: {str(error).partition(';')[0]}", file=sys.stderr, flush=True)
        else:
            found.append(index)
    return _readable_of.setdefault(records.files, tuple(found))


def open_source(builder, split: str) -> Source:
    """Open ``split`` of a built data set.

    ``builder`` is a TFDS builder whose data set has been prepared as array_record; with an attribute
    ``skip_unreadable`` that is True, damaged records are left out, and named on stderr. Raises :class:`InputError` when
    it has not been built or has no such split.
    """
    splits = builder.info.splits
    if not splits:
        raise InputError(f"data set {builder.info.full_name} is not built in {builder.data_dir}; run --job=build")
    if split not in splits:
        raise InputError(f"data set {builder.info.full_name} has no split {split!r}; it has {', '.join(splits)}")
    files = zip(map(str, sorted(splits[split].filepaths)), splits[split].shard_lengths, strict=True)
    records: Any = _Named(builder.as_data_source(split=split), tuple(files))
    if getattr(builder, "skip_unreadable", False):
        records = Subset(records, _readable(records))
    return Source(
        records=records,
        class_names=tuple(builder.info.features["label"].names),
        metadata=dict(builder.info.metadata or {}),
    )


def _text(value):
    return value.decode() if isinstance(value, bytes) else value
