"""Maps whose pixels are HEALPix cells of the sphere (Gorski et al. 2005), seen through flat windows.

A window takes of each of its pixels the value of the cell that the pixel's centre lies in (``nearest``, which keeps
the noise's variance), or the mean of the four cells around it, weighted by distance (``bilinear``).
"""

import abc

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy_healpix import bilinear_interpolation_weights, healpix_to_lonlat, xyz_to_healpix
from jaxtyping import Float, Int

from clusterjax.errors import InputError
from clusterjax.sky.geometry import unit_vectors
from clusterjax.sky.resampled import ResampledReader

INTERPOLATIONS = ("nearest", "bilinear")
_WIDEST_TANGENT_RAD = np.radians(
    20.0
)  # from the middle: there a gnomonic pixel covers 20 % less sky than in the middle
_CELL_RADIUS = 0.85  # of a cell's side (the root of its area): no cell reaches further from its middle


def cell_scale_arcsec(nside: int) -> float:
    """The square root of a cell's area."""
    return float(np.degrees(np.sqrt(np.pi / 3) / nside) * 3600)


def frame_rotation(frame: str) -> Float[np.ndarray, "3 3"]:
    """The matrix that turns ICRS unit vectors into those of ``frame`` (galactic, icrs or ecliptic)."""
    name = {"ecliptic": "barycentricmeanecliptic"}.get(frame, frame)
    axes = SkyCoord([0, 90, 0] * u.deg, [0, 0, 90] * u.deg).transform_to(name)
    return unit_vectors(axes.spherical.lon.deg, axes.spherical.lat.deg).T


class SphereReader(ResampledReader):
    """A map of HEALPix cells of ``nside`` in ``frame``.

    ``cells`` are the (nside, nested cells) in which there is any pixel, None for the whole sky. Windows have
    ``pixel_scale_arcsec`` (None: the square root of a cell's area).
    """

    def __init__(
        self,
        *,
        nside: int,
        frame: str,
        order: str,
        bands: tuple[str, ...],
        units: str,
        where: str,
        cells: tuple[int, Int[np.ndarray, " cell"]] | None,
        pixel_scale_arcsec: float | int | None = None,
        interpolation: str = "nearest",
    ):
        if interpolation not in INTERPOLATIONS:
            raise InputError(f"interpolation={interpolation!r} is unknown; use one of {', '.join(INTERPOLATIONS)}")
        self.nside, self.order, self.interpolation = nside, order, interpolation
        self._rotation = frame_rotation(frame)
        cap = _bounding_cap(cells, self._rotation)
        scale = pixel_scale_arcsec or cell_scale_arcsec(nside)
        super().__init__(bands=bands, units=units, where=where, cap=cap, pixel_scale_arcsec=scale)

    @abc.abstractmethod
    def cell_values(self, cells: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n band"]:
        """What is stored for cells of ``nside`` in ``order``; NaN where there is nothing."""

    def sample(
        self, vectors: Float[np.ndarray, "*shape 3"], *, nearest: bool = False
    ) -> Float[np.ndarray, "*shape band"]:
        flat = vectors.reshape(-1, 3) @ self._rotation.T
        known = np.isfinite(flat).all(axis=1)
        found = np.full((len(flat), len(self.bands)), np.nan, np.float32)
        if nearest or self.interpolation == "nearest":
            found[known] = self.cell_values(xyz_to_healpix(*flat[known].T, self.nside, order=self.order))
        else:
            # astropy-healpix gives wrong weights for negative longitudes.
            longitude = np.arctan2(flat[known, 1], flat[known, 0]) % (2 * np.pi) * u.rad
            latitude = np.arcsin(np.clip(flat[known, 2], -1, 1)) * u.rad
            cells, weights = bilinear_interpolation_weights(longitude, latitude, self.nside, order=self.order)
            values = self.cell_values(cells.ravel()).reshape(*cells.shape, -1)
            found[known] = (values * weights[..., None]).sum(axis=0)
        return found.reshape(*vectors.shape[:-1], len(self.bands))


def _bounding_cap(cells, rotation: np.ndarray) -> tuple[np.ndarray, float]:
    if cells is None:
        return np.array([0.0, 0.0, 1.0]), np.pi
    nside, nested = cells
    longitude, latitude = healpix_to_lonlat(nested, nside, order="nested")
    vectors = unit_vectors(longitude.to_value("deg"), latitude.to_value("deg")) @ rotation
    middle = vectors.mean(axis=0)
    if np.linalg.norm(middle) < 1e-3:  # all around the sphere
        return np.array([0.0, 0.0, 1.0]), np.pi
    middle /= np.linalg.norm(middle)
    radius = np.arccos(np.clip((vectors @ middle).min(), -1, 1))
    return middle, float(min(radius + _CELL_RADIUS * np.radians(cell_scale_arcsec(nside) / 3600), np.pi))
