"""Sky blocks, and splits that share no sky.

The sky is cut into HEALPix pixels (nested, nside 16: 3072 blocks of 13.4 deg2). Each block belongs to one split for
good, whatever the data set, so that two data sets can be mixed and still no test sky is trained on. Cutouts have an
extent: positions keep ``margin_arcmin`` from the border of their block, so that no cutout whose half-diagonal is below
the margin shares a pixel of sky with one of another block.
"""

import functools

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy_healpix import healpix_to_lonlat, lonlat_to_healpix
from jaxtyping import Float, Int

from clusterjax.errors import InputError

NSIDE = 16
NUM_BLOCKS = 12 * NSIDE**2
SPLIT_FRACTIONS = {"train": 0.6, "validation": 0.15, "test": 0.25}  # of the blocks
FOOTPRINT_LATITUDE_DEG = 20.0  # the extragalactic sky: blocks centred above this galactic latitude

# The least distance between opposite sides of a block, found by search over all blocks, is 149.5 arcmin
_NARROWEST_BLOCK_ARCMIN = 149.0
_GALACTIC_POLE_DEG = (192.85948, 27.12825)  # ICRS


def sky_block(
    ra_deg: Float[np.ndarray, "*n"], dec_deg: Float[np.ndarray, "*n"], *, nside: int = NSIDE
) -> Int[np.ndarray, "*n"]:
    """The block of each ICRS position."""
    block = lonlat_to_healpix(ra_deg * u.deg, dec_deg * u.deg, nside, order="nested")
    return np.asarray(block, np.int64)


def split_of_block(block: Int[np.ndarray, "*n"]) -> np.ndarray:
    """The split ('train', 'validation' or 'test') of each block: fixed, scattered over the sky like a random draw."""
    bits = np.asarray(block).astype(np.uint64)
    with np.errstate(over="ignore"):  # the mixing is modulo 2^64 (splitmix64's finaliser)
        bits = (bits + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        bits = bits ^ (bits >> np.uint64(31))
    uniform = bits.astype(np.float64) / 2.0**64
    edges = np.cumsum(list(SPLIT_FRACTIONS.values()))[:-1]
    return np.array(list(SPLIT_FRACTIONS))[np.searchsorted(edges, uniform, side="right")]


def assign_folds(block: Int[np.ndarray, " n"], num_folds: int, rng: np.random.Generator) -> Int[np.ndarray, " n"]:
    """The fold of each example, by its block: blocks are whole, in random order, each in the fold of fewest examples.

    Raises InputError for fewer blocks than folds.
    """
    blocks, place, counts = np.unique(block, return_inverse=True, return_counts=True)
    if len(blocks) < num_folds:
        raise InputError(
            f"{num_folds} folds cannot be made of {len(blocks)} sky blocks; use fewer folds "
            "(config.training.num_folds) or smaller blocks (config.data.block_nside)"
        )
    fold_of_block, sizes = np.zeros(len(blocks), np.int64), np.zeros(num_folds, np.int64)
    for index in rng.permutation(len(blocks)):
        fold_of_block[index] = np.argmin(sizes)
        sizes[fold_of_block[index]] += counts[index]
    return fold_of_block[place]


def lies_inside_split(
    ra_deg: Float[np.ndarray, "*n"], dec_deg: Float[np.ndarray, "*n"], *, margin_arcmin: float, nside: int = NSIDE
) -> np.ndarray:
    """True where all sky within ``margin_arcmin`` (in 16 directions) belongs to the position's own split."""
    centre = SkyCoord(ra_deg, dec_deg, unit="deg")
    own = split_of_block(sky_block(np.asarray(ra_deg), np.asarray(dec_deg), nside=nside))
    inside = np.ones(own.shape, bool)
    # A block's corner that points between two directions reaches in by 2 % of the margin.
    for angle in np.arange(16) * 22.5 * u.deg:
        around = centre.directional_offset_by(angle, 1.02 * margin_arcmin * u.arcmin)
        inside &= split_of_block(sky_block(around.ra.deg, around.dec.deg, nside=nside)) == own
    return inside


def _galactic_latitude_deg(ra_deg: np.ndarray, dec_deg: np.ndarray) -> np.ndarray:
    pole_ra, pole_dec = np.radians(_GALACTIC_POLE_DEG)
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    sine = np.sin(dec) * np.sin(pole_dec) + np.cos(dec) * np.cos(pole_dec) * np.cos(ra - pole_ra)
    return np.degrees(np.arcsin(np.clip(sine, -1, 1)))


@functools.cache
def blocks_of_split(split: str) -> np.ndarray:
    """The blocks of ``split`` inside the footprint. Raises :class:`InputError` for an unknown split."""
    if split not in SPLIT_FRACTIONS:
        raise InputError(f"split={split!r} is unknown; use one of {', '.join(SPLIT_FRACTIONS)}")
    blocks = np.arange(NUM_BLOCKS)
    lon, lat = healpix_to_lonlat(blocks, NSIDE, order="nested")
    latitude = _galactic_latitude_deg(lon.to_value("deg"), lat.to_value("deg"))
    return blocks[(split_of_block(blocks) == split) & (np.abs(latitude) >= FOOTPRINT_LATITUDE_DEG)]


def sample_positions(
    rng: np.random.Generator, split: str, count: int, *, margin_arcmin: float
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """``count`` positions uniform on the sphere within the blocks of ``split``: ICRS ra_deg, dec_deg, and the block.

    Blocks have equal areas and so have equal steps within a block, hence no position is ever thrown away. Positions lie
    at least ``margin_arcmin`` inside their block; raises :class:`InputError` when that leaves less than half its width.
    """
    margin = margin_arcmin / _NARROWEST_BLOCK_ARCMIN
    if not 0 <= margin <= 0.25:
        raise InputError(
            f"margin_arcmin={margin_arcmin:g} does not fit blocks of {_NARROWEST_BLOCK_ARCMIN:g} arcmin; "
            f"use 0 to {_NARROWEST_BLOCK_ARCMIN / 4:g}, that is, smaller cutouts"
        )
    blocks = blocks_of_split(split)
    block = blocks[rng.integers(len(blocks), size=count)]
    dx, dy = margin + (1 - 2 * margin) * rng.random((2, count))
    lon, lat = healpix_to_lonlat(block, NSIDE, dx=dx, dy=dy, order="nested")
    return lon.to_value("deg"), lat.to_value("deg"), block
