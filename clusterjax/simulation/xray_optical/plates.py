"""Photographic plates like DSS2's (POSS-II red): galaxies and stars, the emulsion's response, its grain.

[~]: from memory of the literature; without a source: our choice, made to look like DSS2.
"""

from typing import NamedTuple

import numpy as np
import scipy.ndimage
from jaxtyping import Float

FIELD_ARCMIN = 7.0
_SKY_MAG_ARCSEC2 = 20.8  # R, dark site [~]
_SEEING_ARCSEC = 2.3  # FWHM on the scanned plates [~]
_STAR_SLOPE, _GALAXY_SLOPE = 3.0, 2.2  # of Moffat profiles; a galaxy's wings are between exponential and de Vaucouleurs
# The scans' numbers against exposure I (sky = 1): SATURATION I^1.25 / (I^1.25 + HALF), a sky of about 5000 [~]
_SATURATION, _HALF = 25_000.0, 4.0
_GRAIN, _GRAIN_PIXELS = 260.0, 0.75  # standard deviation in those numbers, and the Gaussian that correlates it
_SPIKES_BRIGHTER_THAN = 13.0  # R: diffraction spikes of the Schmidt telescope's plate holder, along the axes
_SPIKE_ARCSEC, _SPIKE_SHARE = 20.0, 0.01  # scale of their length; share of the light, each axis
# log10 of galaxies and of stars (at high latitude) per magnitude and deg2 in R [~]
_COUNTS_MAG = np.array([10.0, 12.0, 14.0, 16.0, 17.0, 18.0, 19.0, 20.0, 21.0, 21.5])
_GALAXY_COUNTS = np.array([-2.2, -1.0, 0.0, 1.1, 1.7, 2.25, 2.78, 3.22, 3.6, 3.78])
_STAR_COUNTS = np.array([0.55, 1.15, 1.7, 2.15, 2.33, 2.48, 2.6, 2.72, 2.83, 2.88])
FAINTEST_MAG = 21.5
_PATCH = 12  # pixels to each side that a faint object is drawn on
_FAINT_MAG = 18.0


class Objects(NamedTuple):
    """Objects on a plate: position in pixels, R, half-light radius (arcsec, 0: a star), axis ratio, angle (rad)."""

    y_pixels: Float[np.ndarray, " n"]
    x_pixels: Float[np.ndarray, " n"]
    r_mag: Float[np.ndarray, " n"]
    radius_arcsec: Float[np.ndarray, " n"]
    axis_ratio: Float[np.ndarray, " n"]
    angle_rad: Float[np.ndarray, " n"]


def join(parts: list[Objects]) -> Objects:
    return Objects(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def stars(y, x, r_mag) -> Objects:
    y, x, r_mag = (np.atleast_1d(np.asarray(values, float)) for values in (y, x, r_mag))
    return Objects(y, x, r_mag, np.zeros(len(y)), np.ones(len(y)), np.zeros(len(y)))


def galaxies(rng: np.random.Generator, y, x, r_mag) -> Objects:
    """Galaxies of usual size for their magnitude: 2" of half-light radius at R = 18, with a scatter of 0.15 dex."""
    y, x, r_mag = (np.atleast_1d(np.asarray(values, float)) for values in (y, x, r_mag))
    number = len(y)
    radius = 2.0 * 10 ** (-0.13 * (r_mag - 18) + rng.normal(0, 0.15, number))
    return Objects(y, x, r_mag, radius, rng.uniform(0.4, 1.0, number), rng.uniform(0, np.pi, number))


def _sample_mags(rng, log_counts: np.ndarray, area_deg2: float) -> np.ndarray:
    grid = np.linspace(_COUNTS_MAG[0], FAINTEST_MAG, 231)
    density = 10 ** np.interp(grid, _COUNTS_MAG, log_counts)
    cumulative = np.concatenate([[0], np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(grid))])
    count = rng.poisson(cumulative[-1] * area_deg2)
    return np.interp(rng.random(count) * cumulative[-1], cumulative, grid)


def sample_field(rng: np.random.Generator, size: int) -> Objects:
    """Galaxies and stars at random over the cutout."""
    area_deg2 = (FIELD_ARCMIN / 60) ** 2
    parts = []
    for counts, make in ((_GALAXY_COUNTS, galaxies), (_STAR_COUNTS, None)):
        mags = _sample_mags(rng, counts, area_deg2)
        y, x = rng.uniform(-0.5, size - 0.5, (2, len(mags)))
        parts.append(stars(y, x, mags) if make is None else make(rng, y, x, mags))
    return join(parts)


def _widths(objects: Objects, pixel_arcsec: float, seeing_arcsec: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(scale of the Moffat profile along its minor axis in pixels, its slope, axis ratio after the seeing)."""
    is_star = objects.radius_arcsec == 0
    slope = np.where(is_star, _STAR_SLOPE, _GALAXY_SLOPE)
    # Half of a Moffat's light lies within alpha sqrt(2^(1/(slope-1)) - 1).
    star_alpha = seeing_arcsec / 2 / np.sqrt(2 ** (1 / _STAR_SLOPE) - 1)
    half_light = np.sqrt(2 ** (1 / (slope - 1)) - 1)
    seeing_half_light = star_alpha * np.sqrt(2 ** (1 / (_STAR_SLOPE - 1)) - 1)
    major = np.hypot(objects.radius_arcsec, seeing_half_light)
    minor = np.hypot(objects.radius_arcsec * objects.axis_ratio, seeing_half_light)
    return minor / half_light / pixel_arcsec, slope, minor / major


def _profile(dy, dx, alpha, slope, ratio, angle):
    """Moffat's surface brightness of one unit of light, per pixel."""
    along = dx * np.cos(angle) + dy * np.sin(angle)
    across = dy * np.cos(angle) - dx * np.sin(angle)
    squared = (across**2 + (along * ratio) ** 2) / alpha**2
    return (slope - 1) * ratio / (np.pi * alpha**2) * (1 + squared) ** -slope


def light(objects: Objects, size: int) -> Float[np.ndarray, " n"]:
    """Of each, in that of the sky on a pixel of a plate of ``size`` pixels a side."""
    sky = 10 ** (-0.4 * _SKY_MAG_ARCSEC2) * (FIELD_ARCMIN * 60 / size) ** 2
    return 10 ** (-0.4 * objects.r_mag) / sky


def render(objects: Objects, size: int, *, seeing_arcsec: float = _SEEING_ARCSEC) -> Float[np.ndarray, "size size"]:
    """Light per pixel, in that of the sky."""
    pixel_arcsec = FIELD_ARCMIN * 60 / size
    flux = light(objects, size)
    alpha, slope, ratio = _widths(objects, pixel_arcsec, seeing_arcsec)
    image = np.zeros((size, size), np.float32)
    shape = (flux, objects.y_pixels, objects.x_pixels, alpha, slope, ratio, objects.angle_rad)
    inside = (np.abs(objects.y_pixels - size / 2) <= size / 2) & (np.abs(objects.x_pixels - size / 2) <= size / 2)
    small = inside & (objects.r_mag > _FAINT_MAG) & (alpha < _PATCH / 4)
    _add_small(image, *(values[small].astype(np.float32) for values in shape))
    for row in np.flatnonzero(~small):
        _add_large(image, *(values[row] for values in shape))
    for row in np.flatnonzero((objects.r_mag < _SPIKES_BRIGHTER_THAN) & (objects.radius_arcsec == 0)):
        _add_spikes(image, flux[row], objects.y_pixels[row], objects.x_pixels[row], pixel_arcsec)
    return image


def _add_small(image, flux, y, x, alpha, slope, ratio, angle) -> None:
    """All faint objects at once, each on a patch of its own."""
    size = image.shape[0]
    side = size + 2 * _PATCH + 2  # patches reach over the border
    steps = np.arange(-_PATCH, _PATCH + 1)
    rows, columns = np.rint(y).astype(int)[:, None] + steps, np.rint(x).astype(int)[:, None] + steps
    dy = (rows - y[:, None])[:, :, None].astype(np.float32)
    dx = (columns - x[:, None])[:, None, :].astype(np.float32)
    each = [values[:, None, None] for values in (alpha, slope, ratio, angle)]
    light = flux[:, None, None] * _profile(dy, dx, *each)
    flat = (rows + _PATCH + 1)[:, :, None] * side + (columns + _PATCH + 1)[:, None, :]
    padded = np.bincount(flat.ravel(), light.ravel(), minlength=side**2).reshape(side, side)
    image += padded[_PATCH + 1 : -_PATCH - 1, _PATCH + 1 : -_PATCH - 1]


def _add_large(image, flux, y, x, alpha, slope, ratio, angle) -> None:
    """On as much of the image as its light shows: a thousandth of the sky."""
    size = image.shape[0]
    centre = max(flux * (slope - 1) * ratio / (np.pi * alpha**2) / 1e-3, 1.0)
    reach = int(np.ceil(alpha / ratio * np.sqrt(centre ** (1 / slope)))) + 2
    top, left = max(round(y) - reach, 0), max(round(x) - reach, 0)
    bottom, right = min(round(y) + reach + 1, size), min(round(x) + reach + 1, size)
    if top >= bottom or left >= right:
        return
    dy = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(y)
    dx = np.arange(left, right, dtype=np.float32)[None, :] - np.float32(x)
    image[top:bottom, left:right] += (flux * _profile(dy, dx, alpha, slope, ratio, angle)).astype(np.float32)


def _add_spikes(image, flux, y, x, pixel_arcsec) -> None:
    """Four diffraction spikes along the axes."""
    size = image.shape[0]
    dy, dx = np.abs(np.arange(size) - y)[:, None], np.abs(np.arange(size) - x)[None, :]
    length, width = _SPIKE_ARCSEC / pixel_arcsec, 1.0
    for along, across in ((dx, dy), (dy, dx)):
        spike = np.exp(-along / length) * np.exp(-0.5 * (across / width) ** 2)
        image += (_SPIKE_SHARE * flux / (2 * length * width * np.sqrt(2 * np.pi)) * spike).astype(np.float32)


def expose(
    rng: np.random.Generator, light: Float[np.ndarray, "y x"], *, noise_scale: float = 1.0
) -> Float[np.ndarray, "y x"]:
    """The scanned plate: the emulsion's response to sky and ``light``, and its grain."""
    total = np.maximum(1 + light, 0)
    total *= np.sqrt(np.sqrt(total))
    plate = _SATURATION * total / (total + _HALF)
    grain = scipy.ndimage.gaussian_filter(rng.standard_normal(light.shape, np.float32), _GRAIN_PIXELS)
    grain *= noise_scale * _GRAIN * (2 * np.sqrt(np.pi) * _GRAIN_PIXELS)  # the filter leaves 1 / (2 sqrt(pi) sigma)
    return (plate + grain).astype(np.float32)
