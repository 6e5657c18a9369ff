"""unWISE's point spread function, and what very bright stars add to it.

Core: 0.9 Gaussian + 0.1 Moffat (beta 2.5, twice the width), FWHM 6.1 arcsec in W1 and 6.4 in W2. Beyond 8 pixels the
haloes and diffraction spikes of stars brighter than W1 = 8 follow power laws read off the unWISE NEO7 PSF models of
Meisner (github.com/legacysurvey/unwise_psf).
"""

import functools
from typing import NamedTuple

import numpy as np
import scipy.fft
from jaxtyping import Complex, Float

BANDS = ("W1", "W2")
PIXEL_SCALE_ARCSEC = 2.75
FWHM_ARCSEC = (6.1, 6.4)
PSF_HALF_PIXELS = 16  # kernels are cut off here; sources further outside an image do not reach it
ARTEFACTS_BRIGHTER_THAN_W1 = 8.0

_MOFFAT_BETA = 2.5
_MOFFAT_SHARE = 0.1
# Flux per pixel, as a share of the star's: halo 0.074 (r^2 + 8^2)^-1.5, each spike 0.033 r^-2 per pixel of its length
_HALO_AMPLITUDE = 0.074
_HALO_CORE_PIXELS = 8.0
_SPIKE_AMPLITUDE = 0.033
_SPIKE_SIGMA_PIXELS = 1.3
_SPIKE_START_PIXELS = 6.0
ARTEFACT_RADIUS_PIXELS = 160.0  # the PSF models end here


def psf_kernels(scale: tuple[float, float] = (1.0, 1.0)) -> Float[np.ndarray, "band side side"]:
    """Unit-sum kernels of 33 x 33 pixels, each band's FWHM multiplied by its ``scale``."""
    axis = np.arange(-PSF_HALF_PIXELS, PSF_HALF_PIXELS + 1.0)
    radius2 = axis[:, None] ** 2 + axis[None, :] ** 2
    kernels = np.empty((len(BANDS), *radius2.shape))
    for kernel, fwhm_arcsec, factor in zip(kernels, FWHM_ARCSEC, scale, strict=True):
        fwhm = fwhm_arcsec * factor / PIXEL_SCALE_ARCSEC
        gauss = np.exp(-4 * np.log(2) * radius2 / fwhm**2)
        core2 = fwhm**2 / (2 ** (1 / _MOFFAT_BETA) - 1)  # of a Moffat whose FWHM is twice the Gaussian's
        moffat = (1 + radius2 / core2) ** -_MOFFAT_BETA
        kernel[:] = (1 - _MOFFAT_SHARE) * gauss / gauss.sum() + _MOFFAT_SHARE * moffat / moffat.sum()
    return kernels


def _transform(kernels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    padded = np.zeros((len(kernels), *shape), np.float32)
    side = kernels.shape[-1]
    padded[:, :side, :side] = kernels
    return scipy.fft.rfft2(np.roll(padded, (-(side // 2), -(side // 2)), axis=(1, 2)))


@functools.lru_cache(maxsize=8)
def _nominal_transform(shape: tuple[int, int]) -> np.ndarray:
    return _transform(psf_kernels(), shape)


def psf_transform(
    shape: tuple[int, int], scale: tuple[float, float] = (1.0, 1.0)
) -> Complex[np.ndarray, "band ny nx_half"]:
    """Fourier transform of the kernels centred on pixel (0, 0) of an image of ``shape``; kept for the nominal width."""
    return _nominal_transform(shape) if scale == (1.0, 1.0) else _transform(psf_kernels(scale), shape)


def effective_pixels(kernel: Float[np.ndarray, "side side"]) -> float:
    """N_eff = 1 / sum(psf^2): the number of pixels whose noise a matched filter sees."""
    return float(1 / np.sum(kernel**2))


class StarArtefacts(NamedTuple):
    """Angle of the four diffraction spikes, and the latent image's place and strength (a share of the flux)."""

    spike_angle_rad: float
    latent_dy_pixels: float = 0.0
    latent_dx_pixels: float = 0.0
    latent_share: float = 0.0


def add_star_artefacts(
    image: Float[np.ndarray, "y x band"],
    y_pixels: float,
    x_pixels: float,
    flux: Float[np.ndarray, " band"],
    artefacts: StarArtefacts,
) -> None:
    """Add the halo, the four spikes and the latent image of one bright star to ``image``, in place.

    The halo and spikes end 160 pixels from the star. A latent is the detector's memory of the star, a diffuse patch of
    4 pixels' sigma at a distance (approximate).
    """
    reach = ARTEFACT_RADIUS_PIXELS
    y0, y1 = (int(np.clip(y_pixels + side * reach, 0, image.shape[0])) for side in (-1, 1))
    x0, x1 = (int(np.clip(x_pixels + side * reach, 0, image.shape[1])) for side in (-1, 1))
    if y0 == y1 or x0 == x1:
        return
    dy = np.arange(y0, y1)[:, None] - y_pixels
    dx = np.arange(x0, x1)[None, :] - x_pixels
    radius2 = dy**2 + dx**2
    pattern = _HALO_AMPLITUDE * (radius2 + _HALO_CORE_PIXELS**2) ** -1.5
    sin, cos = np.sin(artefacts.spike_angle_rad), np.cos(artefacts.spike_angle_rad)
    along, across = dx * cos + dy * sin, dy * cos - dx * sin
    profile = _SPIKE_AMPLITUDE / (np.sqrt(2 * np.pi) * _SPIKE_SIGMA_PIXELS)
    for length, width in ((along, across), (across, along)):
        spike = profile * np.exp(-0.5 * (width / _SPIKE_SIGMA_PIXELS) ** 2)
        pattern += spike / np.maximum(length**2, _SPIKE_START_PIXELS**2)
    pattern *= radius2 < reach**2
    if artefacts.latent_share:
        distance2 = (dy - artefacts.latent_dy_pixels) ** 2 + (dx - artefacts.latent_dx_pixels) ** 2
        pattern += artefacts.latent_share * np.exp(-distance2 / (2 * 4.0**2)) / (2 * np.pi * 4.0**2)
    image[y0:y1, x0:x1] += pattern[..., None] * flux
