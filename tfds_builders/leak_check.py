"""What position, depth and level of the sky alone tell of a cutout's label.

They must tell nothing: objects lie where they do by chance. The level may not be that which an object itself changes,
or it tells the object, as any pixel does. In simulated cutouts it is that of the sky without the object, which the
simulation knows. In real ones it is that of the outermost pixels, where an object in the middle counts least: the
median of a whole cutout is raised by a cluster's galaxies (on simulated infrared cutouts it tells them with an AUC of
0.79), and networks see cutouts with their median subtracted.
"""

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from clusterjax.evaluation.leak import leak_auc

_LEAK_SIGMA = 3.0

# (position, depth if it varies, level in each band; whether it is an object) of each example
Levels = list[tuple[list[float], bool]]


def describe_levels(names: Sequence[str]) -> str:
    """The features that a simulated data set is checked by, in words; ``names`` are those of its levels."""
    bands = [name.removeprefix("sky_level_") for name in names if name.startswith("sky_level_")]
    position = "right ascension, declination" + (", exposure" if "sky_exposure" in names else "")
    return f"{position} and the median level ({', '.join(bands)}) of the sky that the object was put into, without it,"


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
