"""From the mix of a data set to that of the sky: half of all cutouts show a cluster, one window in thousands does.

With the same appearance of each class, probabilities change by the ratio of the priors alone (Elkan 2001, theorem 2;
Saerens et al. 2002, eq. 4): p'_k ~ p_k new_k / old_k. Within a class, the types of object have another mix on the sky
too; there each example is weighed by how much commoner its type is, and the calibration is fitted to that.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Shaped

from clusterjax.errors import InputError
from clusterjax.evaluation.calibration import Calibration, Weights, fit_calibration
from clusterjax.evaluation.curves import Labels
from clusterjax.evaluation.multiclass import Probabilities

Fractions = Float[np.ndarray, " class"]


def shift_prior(probabilities: Probabilities, old: Fractions, new: Fractions) -> Probabilities:
    """Probabilities (n, class) under the class fractions ``old``, under ``new`` ones."""
    shifted = np.asarray(probabilities, np.float64) * prior_factors(old, new)
    return shifted / shifted.sum(axis=1, keepdims=True)


def prior_factors(old: Fractions, new: Fractions) -> Fractions:
    """new / old, scaled to a greatest of 1. Raises :class:`InputError` for a class that never occurred."""
    old, new = np.asarray(old, np.float64), np.asarray(new, np.float64)
    missing = np.flatnonzero((old <= 0) & (new > 0))
    if len(missing):
        raise InputError(f"class {missing[0]} has no example, so what it looks like on the sky is not known")
    ratio = np.divide(new, old, out=np.zeros_like(new), where=old > 0)
    return ratio / ratio.max()


def sky_fractions(
    density_per_deg2: Mapping[str, float], training: Mapping[str, float], *, radius_arcmin: float | int
) -> dict[str, float]:
    """How often a window of the sky is of each object type: an object of it lies within ``radius_arcmin``.

    Objects are Poisson; a window with objects of several types is of the type by their share. Types of ``training``
    without a density share the windows that are left, as they share those of the data set. Raises
    :class:`InputError` for a type that the data set does not have, and where none is left to share.
    """
    unknown = sorted(set(density_per_deg2) - set(training))
    field = "config.evaluation.sky_density_per_deg2"
    if unknown:
        raise InputError(f"{field} has the types {unknown}, which the data set has not; use {sorted(training)}")
    rest = {name: share for name, share in training.items() if name not in density_per_deg2 and share > 0}
    if not rest:
        raise InputError(f"{field} names all types; leave out what fills the rest of the sky")
    area_deg2 = np.pi * (radius_arcmin / 60) ** 2
    expected = {name: density * area_deg2 for name, density in density_per_deg2.items()}
    total = sum(expected.values())
    occupied = -np.expm1(-total)
    given = {name: occupied * number / total if total else 0.0 for name, number in expected.items()}
    left = {name: float(np.exp(-total)) * share / sum(rest.values()) for name, share in rest.items()}
    return {name: float({**given, **left}.get(name, 0.0)) for name in training}


def type_fractions(object_type: Shaped[np.ndarray, " n"]) -> dict[str, float]:
    """The share of each type among the rows."""
    names, counts = np.unique(object_type.astype(str), return_counts=True)
    return {str(name): float(count / len(object_type)) for name, count in zip(names, counts, strict=True)}


def type_weights(object_type: Shaped[np.ndarray, " n"], label: Labels, sky: Mapping[str, float]) -> Weights:
    """Each row's weight: within each class the types as on the sky, the classes themselves as they are.

    A type that the sky has none of has weight 0, but for a class that has none at all there, which keeps its mix.
    """
    names, index, counts = np.unique(object_type.astype(str), return_inverse=True, return_counts=True)
    ratio = (np.array([sky.get(str(name), 0.0) for name in names]) / counts)[index]
    for label_value in np.unique(label):
        rows = label == label_value
        mean = ratio[rows].mean()
        ratio[rows] = ratio[rows] / mean if mean > 0 else 1.0
    return ratio


def class_fractions(
    object_type: Shaped[np.ndarray, " n"], label: Labels, sky: Mapping[str, float], num_classes: int
) -> Fractions:
    """The sky's fraction of each class: of each type, by the labels that the type's rows have."""
    types = object_type.astype(str)
    fractions = np.zeros(num_classes)
    for name, fraction in sky.items():
        rows = types == name
        if rows.any():
            fractions += fraction * np.bincount(label[rows], minlength=num_classes) / rows.sum()
    return fractions / fractions.sum()


def fit_for_sky(
    method: str,
    label: Labels,
    scores: Probabilities,
    object_type: Shaped[np.ndarray, " n"] | Sequence[str],
    sky: Mapping[str, float],
) -> Calibration:
    """A calibration for a sky with the fractions ``sky`` of object types, from a validation split with another mix."""
    object_type, label = np.asarray(object_type), np.asarray(label).astype(np.int64)
    num_classes = scores.shape[1]
    calibration = fit_calibration(method, label, scores, weight=type_weights(object_type, label, sky))
    old = np.bincount(label, minlength=num_classes) / len(label)
    new = class_fractions(object_type, label, sky, num_classes)
    return dataclasses.replace(calibration, class_factors=tuple(prior_factors(old, new).tolist()))
