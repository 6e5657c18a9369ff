"""Pixels and sky: the only place that talks to a WCS about positions, scales and areas. Pixels are 0-based (y, x)."""

import numpy as np
from astropy.coordinates import ICRS, SkyCoord
from astropy.wcs import WCS, DistortionLookupTable, Sip
from astropy.wcs.utils import wcs_to_celestial_frame
from jaxtyping import Bool, Float

_ARCSEC_PER_RADIAN = np.degrees(1) * 3600


def unit_vectors(ra_deg, dec_deg) -> Float[np.ndarray, "*shape 3"]:
    """Positions in degrees as unit vectors: no pole, no RA = 0."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def make_wcs(
    shape: tuple[int, int],
    *,
    ra_deg: float | int,
    dec_deg: float | int,
    pixel_scale_arcsec: float | int,
    projection: str = "TAN",
) -> WCS:
    """An ICRS WCS of an image of ``shape`` (y, x), centred on a position, north up and east left.

    A zenithal ``projection`` (TAN, SIN, ZEA ...) has its reference point at the centre; a cylindrical one (CAR, CEA)
    on the equator, as survey maps have, so that its pixels follow RA and Dec.
    """
    degrees = pixel_scale_arcsec / 3600
    ny, nx = shape
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [f"RA---{projection}", f"DEC--{projection}"]
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.cdelt = [-degrees, degrees]
    wcs.wcs.crpix = [(nx + 1) / 2, (ny + 1) / 2]
    wcs.wcs.crval = [ra_deg, dec_deg]
    if projection in ("CAR", "CEA"):
        wcs.wcs.crval = [ra_deg, 0.0]
        wcs.wcs.set()
        wcs.wcs.crpix = [(nx + 1) / 2, (ny + 1) / 2 - (wcs.all_world2pix(ra_deg, dec_deg, 1)[1] - wcs.wcs.crpix[1])]
    else:
        wcs.wcs.lonpole = 180.0  # the default but at dec 90, where it would turn the image by half a turn
    wcs.wcs.set()
    wcs.pixel_shape = (nx, ny)
    return wcs


def pixel_to_sky(wcs: WCS, y, x) -> tuple[np.ndarray, np.ndarray]:
    """ICRS (ra_deg, dec_deg) of 0-based pixels, whatever frame and axis order ``wcs`` has.

    Pixels that the projection does not reach give NaN.
    """
    y, x = np.broadcast_arrays(np.asarray(y, float), np.asarray(x, float))
    period = turn_pixels(wcs)
    if period is not None:
        x = _nearest_turn(x, wcs.wcs.crpix[0] - 1, period)
    world = [values.reshape(y.shape) for values in wcs.all_pix2world(x.ravel(), y.ravel(), 0)]
    longitude, latitude = world[wcs.wcs.lng], world[wcs.wcs.lat]
    frame = wcs_to_celestial_frame(wcs)
    if isinstance(frame, ICRS):
        return np.asarray(longitude % 360.0), latitude
    icrs = SkyCoord(longitude, latitude, unit="deg", frame=frame).icrs
    return np.asarray(icrs.ra.deg), np.asarray(icrs.dec.deg)


def sky_to_pixel(wcs: WCS, ra_deg, dec_deg) -> tuple[np.ndarray, np.ndarray]:
    """0-based (y, x) of ICRS positions in degrees; NaN where the projection cannot show the position.

    Of the columns of a cylindrical map that show the same sky, a whole turn apart, the one nearest to the image's
    middle is meant (``wcs.pixel_shape`` says where that is).
    """
    ra, dec = np.broadcast_arrays(np.asarray(ra_deg, float), np.asarray(dec_deg, float))
    if ra.size == 0:
        return np.zeros(ra.shape), np.zeros(ra.shape)
    frame = wcs_to_celestial_frame(wcs)
    longitude, latitude = ra, dec
    if not isinstance(frame, ICRS):
        there = SkyCoord(ra, dec, unit="deg", frame="icrs").transform_to(frame)
        longitude, latitude = there.spherical.lon.deg, there.spherical.lat.deg
    world = [None, None]
    world[wcs.wcs.lng], world[wcs.wcs.lat] = longitude.ravel(), latitude.ravel()
    # quiet: positions far outside an image have no inverse of its distortion; they are outside all the same.
    x, y = wcs.all_world2pix(*world, 0, quiet=True)
    period = turn_pixels(wcs)
    if period is not None and wcs.pixel_shape is not None:
        x = _nearest_turn(x, (wcs.pixel_shape[0] - 1) / 2, period)
    return y.reshape(ra.shape), x.reshape(ra.shape)


def turn_pixels(wcs: WCS) -> float | None:
    """Columns of a cylindrical map (CAR, CEA, MER along its rows) after which the sky repeats; None for any other."""
    kinds = tuple(str(kind) for kind in wcs.wcs.ctype)
    if wcs.wcs.lng != 0 or not kinds[0].endswith(("-CAR", "-CEA", "-MER")) or wcs.wcs.crval[1] != 0:
        return None
    matrix = wcs.pixel_scale_matrix
    if matrix[0, 1] or matrix[1, 0] or not matrix[0, 0]:
        return None
    return abs(360.0 / matrix[0, 0])


def _nearest_turn(x, to: float | int, period: float | int):
    """Columns moved by whole turns to within half a turn of column ``to``."""
    return x - period * np.floor((x - to) / period + 0.5)


def strided_wcs(wcs: WCS, stride: float | int, offset: float | int | tuple[float | int, float | int]) -> WCS:
    """The WCS of a grid whose pixel (i, j) lies on pixel ``offset + stride * (i, j)`` of ``wcs``; ``offset`` is one
    for both axes, or (y, x).

    A linear change of pixel coordinates, so it is exact for every kind of distortion FITS has: the linear part
    (CD, or CDELT with PC), SIP polynomials (a term of order n scales by stride^(n-1)) and lookup tables.
    """
    grid = wcs.deepcopy()
    offset_xy = np.broadcast_to(np.asarray(offset, float), 2)[::-1]

    def rescale(pixels):  # (x, y), 1-based, as FITS counts
        return (np.asarray(pixels, float) - 1 - offset_xy) / stride + 1

    grid.wcs.crpix = rescale(wcs.wcs.crpix)
    if wcs.wcs.has_cd():
        grid.wcs.cd = wcs.wcs.cd * stride
    else:
        grid.wcs.cdelt = wcs.wcs.cdelt * stride
    if wcs.sip is not None:
        coefficients = [getattr(wcs.sip, name) for name in ("a", "b", "ap", "bp")]
        grid.sip = Sip(*(_strided_sip(matrix, stride) for matrix in coefficients), rescale(wcs.sip.crpix))
    for name in ("cpdis1", "cpdis2", "det2im1", "det2im2"):
        table = getattr(wcs, name)
        if table is not None:
            data = np.asarray(table.data / stride, np.float32)
            cdelt = tuple(np.asarray(table.cdelt) / stride)
            setattr(grid, name, DistortionLookupTable(data, table.crpix, tuple(rescale(table.crval)), cdelt))
    grid.pixel_shape = None
    return grid


def _strided_sip(matrix, stride: float | int):
    if matrix is None:
        return None
    order = np.add.outer(np.arange(matrix.shape[0]), np.arange(matrix.shape[1]))
    return matrix * float(stride) ** (order - 1)


def _pixel_steps(wcs: WCS, y, x) -> tuple[np.ndarray, np.ndarray]:
    """Unit-vector steps over one pixel along y and along x, at each (y, x)."""
    step_y = unit_vectors(*pixel_to_sky(wcs, y + 0.5, x)) - unit_vectors(*pixel_to_sky(wcs, y - 0.5, x))
    step_x = unit_vectors(*pixel_to_sky(wcs, y, x + 0.5)) - unit_vectors(*pixel_to_sky(wcs, y, x - 0.5))
    return step_y, step_x


def sky_steps_arcmin(wcs: WCS, y, x) -> Float[np.ndarray, "*shape 2 2"]:
    """Where pixels lead, in arcmin on the sky: (east, north) is ``steps @ (dy, dx)`` at each (y, x)."""
    ra, dec = (np.radians(angle) for angle in pixel_to_sky(wcs, y, x))
    east = np.stack([-np.sin(ra), np.cos(ra), np.zeros_like(ra)], axis=-1)
    north = np.stack([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)], axis=-1)
    steps = np.stack(_pixel_steps(wcs, np.asarray(y, float), np.asarray(x, float)), axis=-1)
    return np.stack([east, north], axis=-2) @ steps * (_ARCSEC_PER_RADIAN / 60)


def pixel_scales_arcsec(wcs: WCS, shape: tuple[int, int]) -> tuple[float, float]:
    """Arcseconds a pixel along (y, x), at the centre of an image of ``shape``.

    Measured on the sky: a CAR map at dec 60 has half the scale in x that its CDELT says.
    """
    y, x = (np.array((length - 1) / 2) for length in shape)
    step_y, step_x = _pixel_steps(wcs, y, x)
    return tuple(float(np.linalg.norm(step)) * _ARCSEC_PER_RADIAN for step in (step_y, step_x))


def pixel_area_deg2(wcs: WCS, y, x) -> np.ndarray:
    """The solid angle of each pixel at (y, x), in square degrees; NaN off the projection."""
    step_y, step_x = _pixel_steps(wcs, np.asarray(y, float), np.asarray(x, float))
    return np.asarray(np.linalg.norm(np.cross(step_y, step_x), axis=-1) * np.degrees(1) ** 2)


def sky_area_deg2(wcs: WCS, inside: Bool[np.ndarray, "y x"], block_pixels: int = 64) -> float:
    """The solid angle of the pixels where ``inside``: their number, block by block, times a pixel's area there."""
    starts = [np.arange(0, length, block_pixels) for length in inside.shape]
    number = np.add.reduceat(np.add.reduceat(inside.astype(np.int64), starts[0], axis=0), starts[1], axis=1)
    centres = [
        (start + np.minimum(start + block_pixels, length) - 1) / 2
        for start, length in zip(starts, inside.shape, strict=True)
    ]
    area = pixel_area_deg2(wcs, *np.meshgrid(*centres, indexing="ij"))
    return float(np.nansum(number * area))


def bounding_cap(wcs: WCS, shape: tuple[int, int]) -> tuple[np.ndarray, float]:
    """Unit vector to the middle of an image of ``shape``, and the angle (rad) to its farthest border."""
    ny, nx = shape
    edge_y = np.concatenate([np.full(nx, -0.5), np.full(nx, ny - 0.5), np.arange(ny), np.arange(ny)])
    edge_x = np.concatenate([np.arange(nx), np.arange(nx), np.full(ny, -0.5), np.full(ny, nx - 0.5)])
    ra, dec = pixel_to_sky(wcs, np.append(edge_y, (ny - 1) / 2), np.append(edge_x, (nx - 1) / 2))
    vectors = unit_vectors(ra, dec)
    if not np.isfinite(vectors[-1]).all():
        return np.array([0.0, 0.0, 1.0]), np.pi
    cosine = vectors[:-1] @ vectors[-1]
    if not np.isfinite(cosine).all():  # a map to the horizon of its projection
        return vectors[-1], np.pi
    return vectors[-1], float(np.arccos(np.clip(cosine.min(), -1, 1)))
