"""Point sources to pixels: bilinear deposit, one FFT convolution for all bands, noise. Fluxes in Vega nMgy."""

import numpy as np
import scipy.fft
from jaxtyping import Float

from clusterjax.simulation.infrared.populations import Sources
from clusterjax.simulation.infrared.psf import BANDS, PSF_HALF_PIXELS, psf_transform
from clusterjax.simulation.knobs import InfraredSky

ZERO_POINT_MAG = 22.5  # MAGZP of unWISE images, Vega
PIXEL_NOISE_NMGY = (3.5, 8.5)  # NEO7 (about 168 exposures) within 30 deg of the ecliptic
_NOISE_EXPOSURES = 168.0
_EXPOSURES_AT_ECLIPTIC = 160.0
_EXPOSURES_MAX = 1600.0


def flux_nmgy(mag: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Vega magnitudes to Vega nanomaggies."""
    return 10 ** ((ZERO_POINT_MAG - mag) / 2.5)


def source_fluxes(sources: Sources) -> Float[np.ndarray, "band n"]:
    """W1 and W2 fluxes, nMgy."""
    w1 = flux_nmgy(sources.w1_mag)
    return np.stack([w1, w1 * 10 ** (0.4 * sources.colour)])


def pixel_noise(sky: InfraredSky) -> Float[np.ndarray, " band"]:
    """Standard deviation of a pixel, nMgy.

    Falls with the square root of the exposures, 160 / cos(ecliptic latitude) up to 1600 at the poles, from 3.5 (W1) and
    8.5 (W2) at 168, which is the mean within 30 deg of the ecliptic (approximate; Schlafly et al. 2019).
    """
    cosine = max(np.cos(np.radians(sky.ecliptic_latitude_deg)), 1e-9)
    exposures = np.clip(_EXPOSURES_AT_ECLIPTIC / cosine, _NOISE_EXPOSURES, _EXPOSURES_MAX)
    return np.array(PIXEL_NOISE_NMGY) * sky.noise_scale * np.sqrt(_NOISE_EXPOSURES / exposures)


def draw_psf_scale(rng: np.random.Generator, sky: InfraredSky) -> tuple[float, float]:
    """Factor on the PSF's width in each band: a common error and a jitter a band, both Gaussian, not below 0.5."""
    if sky.psf_error == 0 and sky.seeing_jitter == 0:
        return (1.0, 1.0)
    common = 1 + sky.psf_error * rng.standard_normal()
    widths = np.maximum(common * (1 + sky.seeing_jitter * rng.standard_normal(len(BANDS))), 0.5)
    return (float(widths[0]), float(widths[1]))


def render(
    sources: Sources, shape: tuple[int, int], *, psf_scale: tuple[float, float] = (1.0, 1.0)
) -> Float[np.ndarray, "y x band"]:
    """The noiseless image of ``shape`` = (ny, nx). Sources up to 16 pixels outside still shed light into it."""
    pad = PSF_HALF_PIXELS
    # The transform's period is at least the padded side, so what wraps around falls into the padding.
    ny, nx = (scipy.fft.next_fast_len(side + 2 * pad, real=True) for side in shape)
    y, x = sources.y_pixels + pad, sources.x_pixels + pad
    inside = (y >= 0) & (x >= 0) & (y < shape[0] + 2 * pad - 1) & (x < shape[1] + 2 * pad - 1)
    y, x, flux = y[inside], x[inside], source_fluxes(sources)[:, inside]
    y0, x0 = y.astype(np.int64), x.astype(np.int64)
    fy, fx = y - y0, x - x0
    corner = y0 * nx + x0
    index = np.concatenate([corner, corner + 1, corner + nx, corner + nx + 1])
    weight = np.stack([(1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx])
    planes = np.empty((len(BANDS), ny, nx), np.float32)
    for plane, band_flux in zip(planes, flux, strict=True):
        plane[:] = np.bincount(index, (weight * band_flux).ravel(), minlength=ny * nx).reshape(ny, nx)
    convolved = scipy.fft.irfft2(scipy.fft.rfft2(planes) * psf_transform((ny, nx), psf_scale), s=(ny, nx))
    return np.ascontiguousarray(np.moveaxis(convolved[:, pad : pad + shape[0], pad : pad + shape[1]], 0, -1))
