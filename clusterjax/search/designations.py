"""Names of candidates by their positions, as the IAU asks for ("Specifications concerning designations", CDS 2005)."""

import collections
import string

import numpy as np

from clusterjax.errors import InputError

_TENTHS_OF_A_MINUTE_A_DEGREE = 40  # of right ascension: 24 h of 600 tenths for 360 deg
_MINUTES_A_DEGREE = 60
_ROUNDING_DEG = 1e-9  # of a position that lies on the border of a cell, 4 micro-arcseconds


def designations(ra_deg, dec_deg, *, acronym: str) -> list[str]:
    """``ACRONYM JHHMM.m+DDMM`` of ICRS positions in degrees: truncated, not rounded, each only once.

    The name says in which cell of 0.1 min of right ascension by 1' of declination the position lies. Of several in one
    cell, the first has A after its name, the next B and so on (AA, AB ... after Z). Raises InputError for a position
    that is none, and for an empty acronym or one with blanks.
    """
    if not acronym or acronym != "".join(acronym.split()):
        raise InputError(f"search.acronym={acronym!r} must be one word, such as 'CJX'")
    ra, dec = np.asarray(ra_deg, float), np.asarray(dec_deg, float)
    wrong = np.flatnonzero(~(np.isfinite(ra) & (np.abs(dec) <= 90)))
    if wrong.size:
        raise InputError(f"ra_deg={ra[wrong[0]]!r}, dec_deg={dec[wrong[0]]!r} in row {wrong[0]} is no position")
    tenths = np.floor((ra % 360 + _ROUNDING_DEG) * _TENTHS_OF_A_MINUTE_A_DEGREE).astype(int) % 14400
    minutes = np.floor((np.abs(dec) + _ROUNDING_DEG) * _MINUTES_A_DEGREE).astype(int)
    names = [
        f"{acronym} J{tenth // 600:02d}{tenth // 10 % 60:02d}.{tenth % 10}{'-' if south else '+'}"
        f"{minute // 60:02d}{minute % 60:02d}"
        for tenth, minute, south in zip(tenths.tolist(), minutes.tolist(), dec < 0, strict=True)
    ]
    return _told_apart(names)


def _told_apart(names: list[str]) -> list[str]:
    number, seen = collections.Counter(names), collections.Counter()
    result = []
    for name in names:
        seen[name] += 1
        result.append(name + _letters(seen[name]) if number[name] > 1 else name)
    return result


def _letters(number: int) -> str:
    """1 -> A, 26 -> Z, 27 -> AA."""
    letters = ""
    while number:
        number, digit = divmod(number - 1, 26)
        letters = string.ascii_uppercase[digit] + letters
    return letters
