"""Which positions of a map make a data set: known objects, and empty sky that keeps away from them."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

from clusterjax.errors import InputError
from clusterjax.sky.geometry import unit_vectors
from clusterjax.sky.reader import MapReader
from clusterjax.sky.skymap import SkyMap

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
    centre, radius = sky.bounding_cap()

    def draw(number: int) -> tuple[np.ndarray, np.ndarray]:
        ra, dec = _in_cap(rng, centre, radius, number)
        keep = sky.contains(ra, dec)
        return ra[keep], dec[keep]

    return draw_away_from(
        draw, count, known_ra_deg=known_ra_deg, known_dec_deg=known_dec_deg, exclusion_arcmin=exclusion_arcmin
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
