"""Where a catalogue has looked, as far as its own objects tell: the HEALPix blocks that hold some of them."""

import dataclasses
from collections.abc import Callable

import astropy.units as u
import numpy as np
from astropy_healpix import healpix_to_lonlat
from jaxtyping import Bool, Float, Int

from clusterjax.sky.regions import sky_block

_OBJECTS_A_BLOCK = 3  # on average: a block of the survey without any is then one in twenty
_NSIDES = (64, 32, 16, 8, 4, 2, 1)


@dataclasses.dataclass(frozen=True, eq=False)
class Footprint:
    """HEALPix ``blocks`` (nested) of ``nside``."""

    nside: int
    blocks: Int[np.ndarray, " block"]

    def contains(self, ra_deg, dec_deg) -> Bool[np.ndarray, " n"]:
        """True for ICRS positions in degrees that lie in one of the blocks."""
        block = sky_block(np.asarray(ra_deg, float), np.asarray(dec_deg, float), nside=self.nside)
        return np.isin(block, self.blocks)

    def draw(
        self, rng: np.random.Generator, count: int
    ) -> tuple[Float[np.ndarray, " count"], Float[np.ndarray, " count"]]:
        """ICRS positions in degrees, uniform on the sphere within the blocks, which have equal areas."""
        block = self.blocks[rng.integers(len(self.blocks), size=count)]
        dx, dy = rng.random((2, count))
        lon, lat = healpix_to_lonlat(block, self.nside, dx=dx, dy=dy, order="nested")
        return lon.to_value(u.deg), lat.to_value(u.deg)


@dataclasses.dataclass(frozen=True, eq=False)
class OnMaps:
    """The part of a footprint where ``covered(ra_deg, dec_deg)`` says that maps have pixels."""

    footprint: Footprint
    covered: Callable[[np.ndarray, np.ndarray], np.ndarray]

    def contains(self, ra_deg, dec_deg) -> Bool[np.ndarray, " n"]:
        ra, dec = np.asarray(ra_deg, float), np.asarray(dec_deg, float)
        inside = self.footprint.contains(ra, dec)
        inside[inside] = self.covered(ra[inside], dec[inside])
        return inside

    def draw(
        self, rng: np.random.Generator, count: int
    ) -> tuple[Float[np.ndarray, " fewer"], Float[np.ndarray, " fewer"]]:
        """Of ``count`` positions, those that are on the maps."""
        ra, dec = self.footprint.draw(rng, count)
        inside = self.covered(ra, dec)
        return ra[inside], dec[inside]


def footprint_of(ra_deg: Float[np.ndarray, " n"], dec_deg: Float[np.ndarray, " n"]) -> Footprint:
    """The blocks that hold an object, as small as leaves several in a block on average (nside 64 at most)."""
    for nside in _NSIDES:
        blocks = np.unique(sky_block(np.asarray(ra_deg, float), np.asarray(dec_deg, float), nside=nside))
        if len(ra_deg) >= _OBJECTS_A_BLOCK * len(blocks):
            break
    return Footprint(nside, blocks)
