"""What every measure does first: drop the padding, and refuse scores that are not numbers."""

import numpy as np
from jaxtyping import Bool, Shaped

from clusterjax.errors import InputError


def keep_valid(valid: Bool[np.ndarray, " n"] | None, *arrays: Shaped[np.ndarray, "n ..."]) -> tuple[np.ndarray, ...]:
    """The rows of each array where ``valid`` is True (all where it is None), as plain arrays."""
    plain = tuple(np.asarray(array) for array in arrays)
    if valid is None:
        return plain
    keep = np.asarray(valid, bool)
    return tuple(array[keep] for array in plain)


def check_scores(score: Shaped[np.ndarray, "n ..."]) -> None:
    """Raise :class:`InputError` where scores are NaN: they have no rank, so no figure made of them means much."""
    bad = int(np.isnan(score).sum())
    if bad:
        raise InputError(
            f"{bad} of {score.size} scores are NaN; the network that made them diverged, or its input was NaN"
        )
