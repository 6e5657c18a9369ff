"""Score maps of given log-odds: windows of 64 pixels of 2.75", one each 8 pixels, so 22" a pixel of the score map."""

import numpy as np
from scipy import ndimage
from scipy.special import expit

from clusterjax.search.windows import WindowGrid
from clusterjax.sky.geometry import make_wcs
from clusterjax.sky.skymap import ProbabilityMap

STRIDE, SIZE = 8, 64
GRID_ARCMIN = 22 / 60


def score_map(odds, *, ra_deg=10.0, dec_deg=5.0, projection="TAN", valid_fraction=None) -> ProbabilityMap:
    map_shape = tuple((length - 1) * STRIDE + SIZE for length in odds.shape)
    wcs = make_wcs(map_shape, ra_deg=ra_deg, dec_deg=dec_deg, pixel_scale_arcsec=2.75, projection=projection)
    grid = WindowGrid(map_shape, SIZE, STRIDE)
    if valid_fraction is None:
        valid_fraction = np.ones(grid.shape, np.float32)
    return ProbabilityMap(expit(odds).astype(np.float32), valid_fraction, grid.wcs(wcs), SIZE, STRIDE)


def gaussian_field(shape, *, spread, correlation_pixels, seed=0):
    """White noise through a Gaussian of sigma ``correlation_pixels``: its correlation at lag d is exp(-d^2 / 4 sigma^2)
    and its variance that of a pixel over 4 pi sigma^2."""
    noise = np.random.default_rng(seed).normal(size=shape)
    smooth = ndimage.gaussian_filter(noise, correlation_pixels, mode="wrap", truncate=6)
    return smooth * spread * np.sqrt(4 * np.pi) * correlation_pixels


def add_peaks(field, centres, height, sigma_pixels):
    """Gaussian peaks at (y, x); ``sigma_pixels`` is one number, or (along y, along x)."""
    sigma_y, sigma_x = np.broadcast_to(sigma_pixels, 2)
    reach = int(6 * max(sigma_y, sigma_x))
    for y0, x0 in centres:
        box = tuple(slice(max(int(c) - reach, 0), int(c) + reach + 1) for c in (y0, x0))
        y, x = np.mgrid[: field.shape[0], : field.shape[1]][(slice(None), *box)]
        field[box] += height * np.exp(-(((y - y0) / sigma_y) ** 2) / 2 - ((x - x0) / sigma_x) ** 2 / 2)
    return field
