"""Maps of any size, read by window: what every kind of map on disk offers."""

import abc
import functools

import numpy as np
from jaxtyping import Float

from clusterjax.errors import InputError
from clusterjax.sky.geometry import strided_wcs
from clusterjax.sky.skymap import PixelGrid, SkyMap


class MapReader(PixelGrid, abc.ABC):
    """A map on disk, of which only what is asked for is read.

    Known without reading a pixel: ``shape`` (ny, nx), ``wcs``, ``bands``, ``units`` (as of
    :class:`~clusterjax.sky.skymap.SkyMap`) and ``where``, the map's name in messages.
    """

    units: str
    where: str

    @functools.cached_property
    def pixel_scale_arcsec(self) -> float:
        """The square root of the area of the central pixel."""
        return self.central_pixel_scale_arcsec()

    @abc.abstractmethod
    def values(self, ra_deg, dec_deg) -> Float[np.ndarray, "position band"]:
        """Of the pixels nearest to ICRS positions; NaN where there is none."""

    def contains(self, ra_deg, dec_deg) -> np.ndarray:
        """True for ICRS positions on a valid pixel, one measured in all bands."""
        return np.isfinite(self.values(ra_deg, dec_deg)).all(axis=-1)

    def read(self, y0: int, x0: int, ny: int, nx: int) -> SkyMap:
        """The window of (ny, nx) pixels that begins at pixel (y0, x0), with its own WCS."""
        data = self.pixels(y0, x0, ny, nx)
        wcs = self.wcs
        if (y0, x0) != (0, 0):
            wcs = strided_wcs(wcs, 1, (y0, x0))
        if (y0, x0, ny, nx) != (0, 0, *self.shape):
            wcs = wcs.deepcopy()
            wcs.pixel_shape = (nx, ny)
        return SkyMap(data, wcs, np.isfinite(data).all(axis=2), self.bands, self.units)

    def read_around(self, ra_deg: float | int, dec_deg: float | int, size: int) -> SkyMap:
        """The window of ``size`` pixels a side about an ICRS position, centred within half a pixel.

        Raises :class:`InputError` for a position that the map's projection cannot show.
        """
        y, x = (float(pixel) for pixel in self.sky_to_pixel(ra_deg, dec_deg))
        if not np.isfinite([y, x]).all():
            raise InputError(f"{self.where} cannot show ra {ra_deg:g}, dec {dec_deg:g}: its projection ends before")
        return self.read(*(int(np.rint(pixel - (size - 1) / 2)) for pixel in (y, x)), size, size)
