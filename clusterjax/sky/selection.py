"""Which positions of a map make a data set: known objects, and empty sky that keeps away from them."""

import functools
from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

from clusterjax.errors import InputError
from clusterjax.sky.geometry import unit_vectors
from clusterjax.sky.reader import MapReader
from clusterjax.sky.skymap import ProbabilityMap, SkyMap

Footprint = SkyMap | MapReader | ProbabilityMap  # what has a bounding_cap and contains positions

AVOIDED = "avoided"  # the type of an object that is no example, but that empty positions keep away from
_TRIES = 50  # rounds of draws before a footprint counts as too crowded
_HOPELESS = 3_000_000  # draws without a single place, likewise


def draw_empty_positions(
    rng: np.random.Generator,
    sky: SkyMap | MapReader,
    count: int,
    *,
    known_ra_deg: Float[np.ndarray, " n"],
    known_dec_deg: Float[np.ndarray, " n"],
    exclusion_arcmin: float,
) -> tuple[Float[np.ndarray, " count"], Float[np.ndarray, " count"]]:
    """``count`` ICRS positions on valid pixels, uniform on the sphere, none within ``exclusion_arcmin`` of a known one.

    Drawn on the sphere in a cap around the map and kept where they fall on it, so that no projection favours a part;
    of a map on disk only the pixels that positions fall on are read.
    Raises :class:`InputError` where the known objects leave no room.
    """
    draw = functools.partial(draw_within, rng, sky)
    return draw_away_from(
        draw, count, known_ra_deg=known_ra_deg, known_dec_deg=known_dec_deg, exclusion_arcmin=exclusion_arcmin
    )


def draw_within(rng: np.random.Generator, sky: Footprint, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Those of ``count`` ICRS positions, uniform on the sphere in a cap around ``sky``, that it ``contains``."""
    ra, dec = _in_cap(rng, *sky.bounding_cap(), count)
    keep = sky.contains(ra, dec)
    return ra[keep], dec[keep]


def keep_apart(
    ra_deg: Float[np.ndarray, " n"],
    dec_deg: Float[np.ndarray, " n"],
    separation_arcmin: float | int,
    *,
    at_most: int,
) -> np.ndarray:
    """Rows of positions no nearer than ``separation_arcmin`` to one that is kept before them, ``at_most`` so many."""
    chord = 2 * np.sin(np.radians(separation_arcmin / 60) / 2)
    vectors = unit_vectors(ra_deg, dec_deg)
    kept: list[int] = []
    for row, vector in enumerate(vectors):
        if len(kept) == at_most:
            break
        if (np.linalg.norm(vectors[kept] - vector, axis=1) > chord).all():
            kept.append(row)
    return np.array(kept, int)


def draw_apart(
    rng: np.random.Generator,
    sky: SkyMap | MapReader,
    count: int,
    *,
    separation_arcmin: float | int,
    known: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """``count`` positions on the map, apart from known ones and from each other. :class:`InputError` without room."""
    ra, dec = np.zeros((2, 0))
    for _ in range(20):
        new = draw_empty_positions(
            rng,
            sky,
            4 * count,
            known_ra_deg=known[0],
            known_dec_deg=known[1],
            exclusion_arcmin=separation_arcmin,
        )
        ra, dec = np.concatenate([ra, new[0]]), np.concatenate([dec, new[1]])
        rows = keep_apart(ra, dec, separation_arcmin, at_most=count)
        ra, dec = ra[rows], dec[rows]
        if len(ra) == count:
            return ra, dec
    raise InputError(
        f"the map has no room for {count} clusters {separation_arcmin:g} arcmin apart; {len(ra)} fit. Ask for fewer"
    )


def draw_away_from(
    draw: Callable[[int], tuple[np.ndarray, np.ndarray]],
    count: int,
    *,
    known_ra_deg: Float[np.ndarray, " n"],
    known_dec_deg: Float[np.ndarray, " n"],
    exclusion_arcmin: float,
) -> tuple[Float[np.ndarray, " count"], Float[np.ndarray, " count"]]:
    """``count`` of the ICRS positions that ``draw(number)`` gives, none within ``exclusion_arcmin`` of a known one.

    ``draw`` may give fewer than asked for. Raises :class:`InputError` where the known objects leave no room.
    """
    chord = 2 * np.sin(np.radians(exclusion_arcmin / 60) / 2)
    known = unit_vectors(known_ra_deg, known_dec_deg)
    tree = cKDTree(known) if len(known) else None
    found: list[np.ndarray] = [np.zeros((0, 2))]
    missing, batch, drawn = count, 4 * count + 64, 0
    for _ in range(_TRIES):
        if missing <= 0 or (missing == count and drawn > _HOPELESS):
            break
        ra, dec = draw(batch)
        keep = np.ones(len(ra), bool) if tree is None else tree.query(unit_vectors(ra, dec))[0] > chord
        found.append(np.stack([ra[keep], dec[keep]], axis=1))
        missing -= int(keep.sum())
        drawn += batch
        batch = min(2 * batch, 1_000_000)
    if missing > 0:
        raise InputError(
            f"no room for {count} empty positions {exclusion_arcmin:g} arcmin away from {len(known)} known objects; "
            "use a smaller config.data.exclusion_arcmin or a larger footprint"
        )
    ra, dec = np.concatenate(found)[:count].T
    return ra, dec


def _in_cap(rng, centre: np.ndarray, radius: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Uniform on the sphere within ``radius`` of ``centre``."""
    cosine = 1 - rng.random(count) * (1 - np.cos(radius))
    angle = rng.uniform(0, 2 * np.pi, count)
    sine = np.sqrt(1 - cosine**2)
    helper = np.array([1.0, 0, 0]) if abs(centre[0]) < 0.9 else np.array([0, 1.0, 0])
    one = np.cross(centre, helper)
    one /= np.linalg.norm(one)
    other = np.cross(centre, one)
    around = np.cos(angle)[:, None] * one + np.sin(angle)[:, None] * other
    x, y, z = (cosine[:, None] * centre + sine[:, None] * around).T
    return np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arcsin(np.clip(z, -1, 1)))
