"""How often two catalogues match by chance, measured by moving one of them."""

from collections.abc import Callable, Iterator

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table
from jaxtyping import Float

from clusterjax.sky.catalogues import crossmatch, pairs_within, positions

_DIRECTIONS = 16
_RINGS_RADII = (10, 13, 16, 19, 22, 25, 28, 31, 34, 37, 40)

Inside = Callable[[np.ndarray, np.ndarray], np.ndarray]


def chance_match_rate(
    a: Table,
    b: Table,
    radius_arcmin: float | int | np.ndarray,
    *,
    offset_arcmin: float | int | None = None,
    num_offsets: int = _DIRECTIONS,
    inside: Inside | None = None,
) -> tuple[float, float]:
    """The fraction of rows of ``a`` that match ``b`` by chance alone, and its standard error.

    Measured on offset skies: all of ``a`` is moved by ``offset_arcmin`` (default: 10 of the largest match radius) in
    each of ``num_offsets`` directions and matched again. ``inside(ra_deg, dec_deg)`` says which moved positions still
    lie in the survey; the others are left out. NaN, NaN when none does.
    """
    offset = 10 * np.max(radius_arcmin, initial=1e-3) if offset_arcmin is None else offset_arcmin
    rates = [
        len(crossmatch(Table({"ra_deg": ra, "dec_deg": dec}), b, radius_arcmin)) / len(ra)
        for ra, dec in _offset_skies(a, float(offset), num_offsets, inside)
        if len(ra)
    ]
    if not rates:
        return float("nan"), float("nan")
    spread = np.std(rates, ddof=1) if len(rates) > 1 else np.nan
    return float(np.mean(rates)), float(spread / np.sqrt(len(rates)))


def offset_separations(
    a: Table, b: Table, *, radius_arcmin: float | int, num_positions: int = 10_000, inside: Inside | None = None
) -> Float[np.ndarray, " position"]:
    """How far (arcmin) from offset positions the nearest row of ``b`` is, infinity beyond ``radius_arcmin``.

    All of ``a`` is moved by 10 radii in 16 directions, then by 13, 16 ... and 40 radii, turned each time, until there
    are ``num_positions`` that are ``inside(ra_deg, dec_deg)``; empty when none is.
    """
    there = positions(b)
    found: list[np.ndarray] = [np.zeros(0)]
    for ring, radii in enumerate(_RINGS_RADII):
        for ra, dec in _offset_skies(a, radii * radius_arcmin, _DIRECTIONS, inside, turned=ring / len(_RINGS_RADII)):
            nearest = np.full(len(ra), np.inf)
            rows, _, separation = pairs_within((ra, dec), there, radius_arcmin)
            np.minimum.at(nearest, rows, separation)
            found.append(nearest)
        if sum(map(len, found)) >= num_positions:
            break
    return np.concatenate(found)


def _offset_skies(
    table: Table, offset_arcmin: float | int, number: int, inside: Inside | None, turned: float | int = 0.0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(ra_deg, dec_deg) of all rows, moved in ``number`` directions, ``turned`` by a part of the angle between two."""
    ra, dec = positions(table)
    known = np.isfinite(ra) & np.isfinite(dec)
    if not known.any():
        return
    start = SkyCoord(ra[known], dec[known], unit="deg")
    for angle in (np.arange(number) + turned) * (360.0 / number) * u.deg:
        moved = start.directional_offset_by(angle, offset_arcmin * u.arcmin)
        kept = np.ones(len(moved), bool) if inside is None else inside(moved.ra.deg, moved.dec.deg)
        yield moved.ra.deg[kept], moved.dec.deg[kept]
