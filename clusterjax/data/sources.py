"""A built TFDS split as a random-access source of dicts of NumPy arrays; no TensorFlow."""

import dataclasses
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


def open_source(builder, split: str) -> Source:
    """Open ``split`` of a built data set.

    ``builder`` is a TFDS builder whose data set has been prepared as array_record. Raises :class:`InputError` when it
    has not been built or has no such split.
    """
    splits = builder.info.splits
    if not splits:
        raise InputError(f"data set {builder.info.full_name} is not built in {builder.data_dir}; run --job=build")
    if split not in splits:
        raise InputError(f"data set {builder.info.full_name} has no split {split!r}; it has {', '.join(splits)}")
    return Source(
        records=builder.as_data_source(split=split),
        class_names=tuple(builder.info.features["label"].names),
        metadata=dict(builder.info.metadata or {}),
    )


def _text(value):
    return value.decode() if isinstance(value, bytes) else value
