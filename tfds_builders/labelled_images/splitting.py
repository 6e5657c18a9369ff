"""Train, validation and test for images that come without: stratified by class, the same for the same seed."""

import dataclasses

import numpy as np
from jaxtyping import Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from clusterjax.errors import InputError
from tfds_builders.labelled_images.listing import Entry, class_names

SAME_POSITION_ARCSEC = 3.0  # images closer than this show the same object


def assign_splits(entries: list[Entry], *, validation_fraction: float, test_fraction: float, seed: int) -> list[Entry]:
    """The entries with a split each, in the same order.

    A split that the images come with stays. The fractions of the train images (all, where no splits are given) go to
    a validation or test split that is missing, class by class, images of one position together. A fraction of 0 leaves
    that split out. Raises :class:`InputError` when nothing is left to train on, for a class without training images
    and for a split that ends up empty.
    """
    given = {entry.split for entry in entries} - {None}
    if given and "train" not in given:
        raise InputError(f"the images have the splits {', '.join(sorted(given))} and no train split")
    if validation_fraction + test_fraction >= 1:
        raise InputError(
            f"config.data.validation_fraction={validation_fraction} and test_fraction={test_fraction} leave nothing to "
            "train on; use fractions that sum to less than 1"
        )
    wanted = {"test": test_fraction, "validation": validation_fraction}
    wanted = {split: fraction for split, fraction in wanted.items() if split not in given and fraction > 0}
    splits = [entry.split or "train" for entry in entries]
    pool = np.array([index for index, split in enumerate(splits) if split == "train"])
    for index, split in _draw([entries[i] for i in pool], wanted, seed).items():
        splits[pool[index]] = split
    assigned = [dataclasses.replace(entry, split=split) for entry, split in zip(entries, splits, strict=True)]
    _check(assigned, wanted)
    return assigned


def _draw(entries: list[Entry], wanted: dict[str, float], seed: int) -> dict[int, str]:
    """Index among ``entries`` -> split, for those that leave the training split."""
    groups = group_positions(entries)
    members: dict[int, list[int]] = {}
    for index, group in enumerate(groups.tolist()):
        members.setdefault(group, []).append(index)
    by_class: dict[str, list[list[int]]] = {}
    for group in members.values():
        by_class.setdefault(entries[group[0]].label, []).append(group)
    drawn: dict[int, str] = {}
    for number, name in enumerate(sorted(by_class)):
        class_groups = by_class[name]
        total = sum(map(len, class_groups))
        # Each class has a generator of its own: another class's images do not change the draw.
        order = iter(np.random.default_rng([seed, number]).permutation(len(class_groups)).tolist())
        for split, fraction in wanted.items():
            # At least one image of a class that can spare it: a class nobody is tested on would be no class.
            left = max(round(fraction * total), 1 if total > len(wanted) else 0)
            while left > 0 and (place := next(order, None)) is not None:
                drawn.update(dict.fromkeys(class_groups[place], split))
                left -= len(class_groups[place])
    return drawn


def group_positions(entries: list[Entry]) -> Int[np.ndarray, "entry"]:
    """A number for each entry, equal for those of one position (3 arcsec, linked); without a position each its own."""
    ra, dec = (np.deg2rad([getattr(entry, name) for entry in entries]) for name in ("ra_deg", "dec_deg"))
    known = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
    ra, dec = ra[known], dec[known]
    vectors = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)
    radius = np.deg2rad(SAME_POSITION_ARCSEC / 3600)
    pairs = cKDTree(vectors).query_pairs(radius, output_type="ndarray") if known.size else np.zeros((0, 2), int)
    first, second = known[pairs[:, 0]], known[pairs[:, 1]]
    links = coo_array((np.ones(len(first)), (first, second)), shape=(len(entries), len(entries)))
    return connected_components(links, directed=False)[1].astype(np.int64)


def shared_positions(entries: list[Entry]) -> int:
    """How many positions lie in more than one split: what a network can learn by heart."""
    splits: dict[int, set] = {}
    for group, entry in zip(group_positions(entries).tolist(), entries, strict=True):
        splits.setdefault(group, set()).add(entry.split)
    return sum(len(names) > 1 for names in splits.values())


def _check(entries: list[Entry], wanted: dict[str, float]) -> None:
    trained = {entry.label for entry in entries if entry.split == "train"}
    for name in class_names(entries):
        if name not in trained:
            raise InputError(f"class {name!r} has no training images")
    for split, fraction in wanted.items():
        if all(entry.split != split for entry in entries):
            raise InputError(
                f"config.data.{split}_fraction={fraction} of {len(entries)} images leaves the {split} split empty; "
                "give more images or a larger fraction"
            )
