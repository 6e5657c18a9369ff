"""Which record comes when, and with which label: balanced batches and labels that are wrong on purpose."""

import dataclasses

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


def shuffle_records(num: int, *, seed: int) -> grain.MapDataset:
    """Endless indices of ``num`` records, shuffled anew each epoch."""
    return grain.MapDataset.range(num).seed(seed).shuffle().repeat()


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
