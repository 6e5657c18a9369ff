"""What all data sets of a real sky plan alike: the split of each cutout, and that there is something in each."""

import dataclasses

import numpy as np
from astropy.table import Table

from clusterjax.config import DataConfig
from clusterjax.errors import InputError
from clusterjax.simulation.cutout import POSITIVE_TYPE
from clusterjax.sky.regions import lies_inside_split, sky_block, split_of_block

SPLITS = ("train", "validation", "test")
EMPTY = "random"
NUMBERS = ("redshift", "m500c_msun")  # what is kept of an object, where it is known


@dataclasses.dataclass(frozen=True)
class Selection:
    """What is asked for."""

    size: int  # pixels a side
    exclusion_arcmin: float  # empty positions keep so far from every known object
    random_per_object: float
    block_nside: int
    seed: int

    @classmethod
    def of(cls, config: DataConfig) -> "Selection":
        return cls(
            size=config.simulated_size,
            exclusion_arcmin=config.exclusion_arcmin,
            random_per_object=config.random_per_object,
            block_nside=config.block_nside,
            seed=config.seed,
        )


def empty_rows(ra_deg: np.ndarray, dec_deg: np.ndarray) -> Table:
    """Positions as rows of type ``random``."""
    rows = Table({"ra_deg": ra_deg, "dec_deg": dec_deg, "object_type": np.full(len(ra_deg), EMPTY)})
    rows["redshift_kind"] = np.full(len(ra_deg), "", "U4")
    for name in NUMBERS:
        rows[name] = np.full(len(ra_deg), np.nan)
    return rows


def assign_splits(rows: Table, selection: Selection, pixel_scale_arcsec: float) -> Table:
    """``rows`` with ``sky_block`` and ``split``, without those whose cutout would reach into another split.

    A cutout's half-diagonal is kept inside its split's blocks, so that no two splits share a pixel of sky.
    """
    position = np.asarray(rows["ra_deg"], float), np.asarray(rows["dec_deg"], float)
    margin = selection.size / np.sqrt(2) * pixel_scale_arcsec / 60
    rows["sky_block"] = sky_block(*position, nside=selection.block_nside)
    rows["split"] = split_of_block(np.asarray(rows["sky_block"]))
    return rows[lies_inside_split(*position, margin_arcmin=margin, nside=selection.block_nside)]


def check_splits(rows: Table, *, where: str, objects: str, remedy: str) -> None:
    """Raises :class:`InputError` for a split without cutouts of both kinds."""
    for split in SPLITS:
        empty = np.asarray(rows["object_type"])[np.asarray(rows["split"]) == split] == EMPTY
        if empty.all() or not empty.any():
            raise InputError(
                f"{where} hold {int(np.sum(~empty))} objects of {objects} and {int(np.sum(empty))} empty positions in "
                f"the sky blocks of the {split} split; both are needed. {remedy}"
            )


def types_and_classes(rows: Table, *, binary: bool, objects: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(types of object, cluster first; classes): cluster or other, or a class for each type.

    Raises :class:`InputError` where two classes are asked for and there is no cluster.
    """
    types = tuple(sorted(set(np.asarray(rows["object_type"]).tolist()), key=lambda name: (name != POSITIVE_TYPE, name)))
    if binary and POSITIVE_TYPE not in types:
        raise InputError(
            f"{objects} has the types {', '.join(types)} and no {POSITIVE_TYPE!r}; name the objects to find "
            f"{POSITIVE_TYPE!r}, or set config.data.binary=False for a class a type"
        )
    return types, ("other", POSITIVE_TYPE) if binary else types
