"""Which record comes when, and with which label: balanced batches and labels that are wrong on purpose."""

import dataclasses
import functools
import sys

import grain
import numpy as np
from jaxtyping import Int

from clusterjax.errors import InputError


@dataclasses.dataclass(frozen=True)
class LabelNoise:
    """Gives ``fraction`` of the records another label, any of the other ``num_classes`` - 1 alike.

    Which records, and what, depends on ``seed`` and the record's index alone: a wrong label stays wrong.
    """

    fraction: float
    num_classes: int
    seed: int

    def __call__(self, label: np.int32, index: int) -> np.int32:
        rng = np.random.default_rng([self.seed, index])
        if rng.random() >= self.fraction:
            return label
        return np.int32((label + rng.integers(1, self.num_classes)) % self.num_classes)


@functools.lru_cache(maxsize=4)
def _order(num: int, seed: int, epoch: int) -> Int[np.ndarray, " num"]:
    """Kept, as drawing an index by itself (Grain's own shuffle) takes as long as all else that is done for a record."""
    return np.random.default_rng([seed, epoch]).permutation(num)


@dataclasses.dataclass(frozen=True)
class _Shuffled(grain.transforms.Map):
    """A place in the order -> the index of a record; or the number of a batch of ``batch_size`` -> (batch,) indices."""

    num: int
    seed: int
    batch_size: int | None = None

    def map(self, element: int) -> int | Int[np.ndarray, " batch"]:
        if self.batch_size is None:
            epoch, place = divmod(element, self.num)
            return int(_order(self.num, self.seed, epoch)[place])
        # The records that do not fill a batch at the end of an epoch begin the next one
        epoch, place = np.divmod(np.arange(element * self.batch_size, (element + 1) * self.batch_size), self.num)
        parts = [_order(self.num, self.seed, int(number))[place[epoch == number]] for number in np.unique(epoch)]
        return np.concatenate(parts)


def shuffle_records(num: int, *, seed: int) -> grain.MapDataset:
    """Endless indices of ``num`` records, shuffled anew each epoch."""
    return grain.MapDataset.range(sys.maxsize).seed(seed).map(_Shuffled(num, seed))


def shuffle_batches(num: int, batch_size: int, *, seed: int) -> grain.MapDataset:
    """The same indices in arrays of ``batch_size``, at a thirtieth of the cost."""
    return grain.MapDataset.range(sys.maxsize // batch_size).map(_Shuffled(num, seed, batch_size))


@dataclasses.dataclass(frozen=True)
class _DrawOfClass(grain.transforms.RandomMap):
    """A place in the order -> the index of a record of the class whose turn it is."""

    members: tuple[np.ndarray, ...]

    def random_map(self, element: int, rng: np.random.Generator) -> int:
        members = self.members[element % len(self.members)]
        return int(members[rng.integers(len(members))])


def draw_balanced(label: Int[np.ndarray, " n"], num_classes: int, *, seed: int) -> grain.MapDataset:
    """Endless indices of records: the classes take turns, and of each one is drawn with replacement.

    So a batch whose size they divide has equally many of each (Kosiba et al. 2020). Raises :class:`InputError` for a
    class without records.
    """
    members = tuple(np.flatnonzero(label == i) for i in range(num_classes))
    empty = [i for i, rows in enumerate(members) if not len(rows)]
    if empty:
        raise InputError(
            f"config.training.balanced_batches needs training images of every class; class {empty[0]} has none"
        )
    rounds = -(-len(label) // num_classes)  # whole ones, so that an epoch's end leaves the turns alone
    dataset = grain.MapDataset.range(rounds * num_classes).seed(seed)
    return dataset.repeat().random_map(_DrawOfClass(members))
