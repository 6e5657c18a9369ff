"""Plate-carrée (CAR) maps: pixels of one size in RA and in Dec, whose width on the sky shrinks as cos(dec).

Such a map is made, or filtered, in zones of declination. In each the sky is flat, with pixels as narrow as they are in
its middle; a row is the mean of the two zones next to it, by how near their pixels' width is to its own. Zones are so
close that their maps, of the same random numbers, hardly differ at the rows that they share.

Where it ends: a zone's parallels are straight lines. Waves shorter than a degree do not see that (their power is right
within a per cent or two along both axes to 65 deg from the equator), longer ones are a little out of shape.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from clusterjax.simulation.microwave.bands import PIXEL_SCALE_ARCMIN

DEC_MAX_DEG = 65.0
_WIDTH_STEP = 1.03  # of neighbouring zones' pixels
_FEW_ZONES = 10


class Zone(NamedTuple):
    """Rows by their ``weight``, of pixels ``width`` times as wide as high."""

    width: float
    weight: Float[np.ndarray, " row"]


def make_zones(width: Float[np.ndarray, " row"]) -> list[Zone]:
    """For rows of pixels ``width`` times as wide as high. Weights of a row sum to 1."""
    place = np.log(width)
    low, high = float(place.min()), float(place.max())
    number = int(np.ceil((high - low) / np.log(_WIDTH_STEP)))
    if high - low < np.log(_WIDTH_STEP) / 4:
        return [Zone(float(np.exp(place.mean())), np.ones_like(place))]
    middles = np.linspace(low, high, number + 1)
    step = (high - low) / number
    return [Zone(float(np.exp(middle)), np.clip(1 - np.abs(place - middle) / step, 0, None)) for middle in middles]


def row_dec_deg(y_pixels: Float[np.ndarray, "*n"], shape: tuple[int, int], dec_deg: float) -> Float[np.ndarray, "*n"]:
    """Declination of rows (0-based) of a map of ``shape`` about ``dec_deg``."""
    return dec_deg + (y_pixels - (shape[0] - 1) / 2) * PIXEL_SCALE_ARCMIN / 60


def row_width(y_pixels: Float[np.ndarray, "*n"], shape: tuple[int, int], dec_deg: float) -> Float[np.ndarray, "*n"]:
    """Of the pixels of these rows over their height; rows beyond the map are as wide as the last one."""
    inside = np.clip(y_pixels, -0.5, shape[0] - 0.5)
    return np.cos(np.radians(row_dec_deg(inside, shape, dec_deg)))


def over_zones(
    make: Callable[[Zone], Float[np.ndarray, "*band y x"]], zones: list[Zone]
) -> Float[np.ndarray, "*band y x"]:
    """What ``make`` gives for each zone, row by row joined; many zones take minutes, with a progress bar."""
    if len(zones) == 1:
        return make(zones[0])
    bar = tqdm(zones, desc="Declination zones", unit=" zones", dynamic_ncols=True, disable=len(zones) < _FEW_ZONES)
    return sum(zone.weight[:, None].astype(np.float32) * make(zone) for zone in bar)
