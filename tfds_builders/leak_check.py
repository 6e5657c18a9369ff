"""What position, depth and the level at a cutout's border alone tell of its label."""

from collections.abc import Mapping, MutableMapping
from typing import Any

import numpy as np
from absl import logging

from clusterjax.evaluation.leak import leak_auc

_LEAK_SIGMA = 3.0

# (position, depth if it varies, border level of each band; whether it is an object) of each example
Levels = list[tuple[list[float], bool]]


def note_leak(metadata: MutableMapping[str, Any], levels: Mapping[str, Levels], what: str) -> None:
    """``leak_check`` into the metadata, of ``train`` and ``test``; ``what`` are the features, in words.

    A warning if they tell much. Nothing where a split has examples of one kind only.
    """
    train, test = (levels[split] for split in ("train", "test"))
    features = [np.array([row[0] for row in rows], np.float64) for rows in (train, test)]
    labels = [np.array([row[1] for row in rows], bool) for rows in (train, test)]
    value, error = leak_auc(features[0], labels[0], features[1], labels[1])
    if not np.isfinite(value):
        return
    metadata["leak_check"] = {"auc": value, "error": error, "features": what}
    if abs(value - 0.5) > _LEAK_SIGMA * error:
        logging.warning(
            "%s alone tell objects from empty sky: AUC %.3f +- %.3f; a network may learn the footprint instead of the "
            "objects",
            what,
            value,
            error,
        )
