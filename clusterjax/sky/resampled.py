"""Maps without one flat grid of their own, seen through windows that are laid over them."""

import abc

import numpy as np
from astropy.wcs import WCS
from jaxtyping import Float

from clusterjax.sky.geometry import make_wcs, pixel_to_sky, unit_vectors
from clusterjax.sky.reader import MapReader
from clusterjax.sky.skymap import SkyMap

_WIDEST_TANGENT_RAD = np.radians(20.0)  # there a gnomonic pixel covers 17 % less sky than in the middle


class ResampledReader(MapReader):
    """A map that has values at positions. ``cap`` is the (unit vector, radius in rad) of a cap that holds it all.

    As one grid, to be scanned, the map is gnomonic about its middle where it lies within 20 deg of that, else plate
    carree in ICRS, whose pixels have ``pixel_scale_arcsec`` at the equator and are narrower away from it.
    """

    def __init__(
        self,
        *,
        bands: tuple[str, ...],
        units: str,
        where: str,
        cap: tuple[Float[np.ndarray, " 3"], float],
        pixel_scale_arcsec: float | int,
    ):
        self.bands, self.units, self.where = bands, units, where
        self._cap, self._scale_arcsec = cap, pixel_scale_arcsec
        self.wcs, self.shape = _grid(*cap, pixel_scale_arcsec)
        if str(self.wcs.wcs.ctype[0]).endswith("CAR"):
            self.turn = self.shape[1]

    @property
    def pixel_scale_arcsec(self) -> float:
        return self._scale_arcsec

    def bounding_cap(self) -> tuple[np.ndarray, float]:
        """Unit vector to the middle of what there is, and the angle (rad) that holds it all."""
        return self._cap

    @abc.abstractmethod
    def sample(
        self, vectors: Float[np.ndarray, "*shape 3"], *, nearest: bool = False
    ) -> Float[np.ndarray, "*shape band"]:
        """Values at ICRS unit vectors, NaN where there is none; ``nearest``: those of single pixels."""

    def pixels(self, y0: int, x0: int, ny: int, nx: int) -> Float[np.ndarray, "ny nx band"]:
        y, x = np.mgrid[y0 : y0 + ny, x0 : x0 + nx]
        vectors = unit_vectors(*self.pixel_to_sky(y, x))
        if self.turn is None:
            vectors[(x < 0) | (x >= self.shape[1])] = np.nan
        vectors[(y < 0) | (y >= self.shape[0])] = np.nan
        return self.sample(vectors)

    def values(self, ra_deg, dec_deg) -> Float[np.ndarray, "position band"]:
        return self.sample(unit_vectors(np.atleast_1d(ra_deg), np.atleast_1d(dec_deg)), nearest=True)

    def windows_around(self, ra_deg, dec_deg, size: int) -> Float[np.ndarray, "position size size band"]:
        """Gnomonic windows centred on the positions, north up."""
        ra, dec = np.radians(np.atleast_1d(ra_deg)), np.radians(np.atleast_1d(dec_deg))
        zero = np.zeros_like(ra)
        east = np.stack([-np.sin(ra), np.cos(ra), zero], axis=-1)
        north = np.stack([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)], axis=-1)
        middle = np.cross(east, north)
        step = (np.arange(size) - (size - 1) / 2) * np.radians(self._scale_arcsec / 3600)
        windows = np.empty((len(ra), size, size, len(self.bands)), np.float32)
        for window, centre, right, up in zip(windows, middle, -east, north, strict=True):
            vectors = centre + step[:, None, None] * up + step[:, None] * right
            window[:] = self.sample(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))
        return windows

    def read_around(self, ra_deg: float | int, dec_deg: float | int, size: int) -> SkyMap:
        """The gnomonic window of ``size`` pixels a side centred on an ICRS position, north up."""
        data = self.windows_around(ra_deg, dec_deg, size)[0]
        wcs = make_wcs((size, size), ra_deg=ra_deg, dec_deg=dec_deg, pixel_scale_arcsec=self._scale_arcsec)
        return self._sky_map(data, wcs)

    def read_on(self, wcs: WCS, shape: tuple[int, int]) -> SkyMap:
        """The map on any grid."""
        return self._sky_map(self.sample(unit_vectors(*pixel_to_sky(wcs, *np.indices(shape)))), wcs)

    def _sky_map(self, data: np.ndarray, wcs: WCS) -> SkyMap:
        return SkyMap(data, wcs, np.isfinite(data).all(axis=2), self.bands, self.units)


def _grid(middle: np.ndarray, radius: float, scale_arcsec: float | int) -> tuple[WCS, tuple[int, int]]:
    """One grid for all of a cap."""
    ra, dec = float(np.degrees(np.arctan2(middle[1], middle[0])) % 360), float(np.degrees(np.arcsin(middle[2])))
    if radius <= _WIDEST_TANGENT_RAD:
        side = 2 * int(np.ceil(np.tan(radius) / np.radians(scale_arcsec / 3600)))
        return make_wcs((side, side), ra_deg=ra, dec_deg=dec, pixel_scale_arcsec=scale_arcsec), (side, side)
    nx = round(360 * 3600 / scale_arcsec)  # pixels that close the turn
    south, north = (float(np.clip(dec + sign * np.degrees(radius), -90, 90)) for sign in (-1, 1))
    ny = max(int((north - south) / 360 * nx), 1)
    middle_dec = (south + north) / 2
    options = {"pixel_scale_arcsec": 360 * 3600 / nx, "projection": "CAR"}
    return make_wcs((ny, nx), ra_deg=180.0, dec_deg=middle_dec, **options), (ny, nx)
