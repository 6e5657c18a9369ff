"""Flags of candidates: one integer, whose bits have names."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from astropy.table import Column, Table

from clusterjax.errors import InputError
from clusterjax.sky.catalogues import find_column, pairs_within, positions


@dataclasses.dataclass(frozen=True)
class Flag:
    """A bit, and what it means where it is set."""

    bit: int
    meaning: str


BASE_FLAGS = {
    "edge": Flag(1, "the map's edge or a hole cuts what it is measured on, or less than 0.8 of its window is valid"),
    "masked": Flag(2, "its window has pixels that are not valid"),
    "saturated": Flag(4, "its score is 1 within rounding: significance, errors and extent are bounds"),
    "blended": Flag(8, "another candidate lies within its extent"),
}
_FIRST_OWN_BIT = 16
_MOST_OWN = 27  # of the 31 bits that a 32-bit integer has besides its sign


def set_catalogue_flags(
    candidates: Table, catalogues: Mapping[str, Table], *, radius_arcmin: float | int
) -> tuple[Table, dict[str, Flag]]:
    """(``candidates`` with a bit more in ``flags`` for each catalogue that has an object near, all flags by name).

    ``catalogues`` are tables with RA and Dec by the flag's name, in the order of their bits, which begin at 16. Near is
    within ``radius_arcmin``, or within the object's own ``radius_arcmin`` where its table has such a column: bright
    stars spoil more sky. The column's description says what each bit means. Raises InputError for a name that is taken
    and for more catalogues than bits.
    """
    if len(catalogues) > _MOST_OWN:
        raise InputError(f"search.flag_catalogues has {len(catalogues)} catalogues; {_MOST_OWN} at most have a bit")
    known = dict(BASE_FLAGS)
    flags = np.asarray(candidates["flags"], np.int32).copy()
    own = positions(candidates)
    for number, (name, table) in enumerate(catalogues.items()):
        if name in known:
            raise InputError(f"search.flag_catalogues names a flag {name!r}, which there is already; use another name")
        known[name] = Flag(_FIRST_OWN_BIT << number, f"within {radius_arcmin:g}' of an object of {name}")
        column = find_column(table, ("radius_arcmin",))
        radii = np.full(len(table), float(radius_arcmin))
        if column is not None:
            given = np.ma.filled(np.ma.asarray(table[column], dtype=float), np.nan)
            radii = np.where(given > 0, given, radii)
            known[name] = Flag(_FIRST_OWN_BIT << number, f"within an object of {name}'s own radius")
        rows, objects, separation = pairs_within(own, positions(table), np.max(radii, initial=1e-3))
        flags[rows[separation <= radii[objects]]] |= known[name].bit
    result = candidates.copy()
    result["flags"] = Column(flags, description=describe(known))
    return result, known


def describe(flags: Mapping[str, Flag]) -> str:
    """What the bits mean, in one line."""
    return "sum of: " + "; ".join(f"{flag.bit} {name} ({flag.meaning})" for name, flag in flags.items())


def names_of(value: int, flags: Mapping[str, Flag]) -> list[str]:
    """The names of the bits that are set."""
    return [name for name, flag in flags.items() if value & flag.bit]
