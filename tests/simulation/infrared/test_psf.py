import numpy as np
import pytest
import scipy.optimize
from astropy.io import fits

from clusterjax.simulation.infrared.psf import (
    FWHM_ARCSEC,
    PIXEL_SCALE_ARCSEC,
    StarArtefacts,
    add_star_artefacts,
    effective_pixels,
    psf_kernels,
    psf_transform,
)


@pytest.mark.parametrize("band", [0, 1])
def test_kernel_is_the_published_mixture(band):
    kernel = psf_kernels()[band]
    assert kernel.sum() == pytest.approx(1, abs=1e-12)
    # The width at half of the height, between pixels. The wings add 4 % to the Gaussian's.
    row = kernel[16, 16:] / kernel[16, 16]
    half = scipy.optimize.brentq(lambda x: np.exp(np.interp(x, np.arange(17), np.log(row))) - 0.5, 0, 4)
    assert 2 * half * PIXEL_SCALE_ARCSEC == pytest.approx(FWHM_ARCSEC[band], rel=0.06)


def test_noise_pixels_of_the_core_and_of_the_whole():
    """N_eff of the Gaussian core is 4 pi sigma^2 = 11.2 (W1), 12.3 (W2) pixels; with the wings it is 16 % more."""
    for kernel, fwhm, core in zip(psf_kernels(), FWHM_ARCSEC, (11.2, 12.3), strict=True):
        sigma = fwhm / PIXEL_SCALE_ARCSEC / np.sqrt(8 * np.log(2))
        assert 4 * np.pi * sigma**2 == pytest.approx(core, abs=0.06)
        radius2 = np.add.outer(np.arange(-16, 17) ** 2, np.arange(-16, 17) ** 2)
        gauss = np.exp(-radius2 / (2 * sigma**2)) / (2 * np.pi * sigma**2)
        # In pixels' Fourier space the core keeps its share of 0.9
        assert effective_pixels(gauss) == pytest.approx(core, abs=0.06)
        assert np.sum(kernel * gauss) > 0.9 / core
        assert core / 0.9**2 > effective_pixels(kernel) > core


def test_wider_scale_is_a_wider_kernel():
    nominal, wide = psf_kernels(), psf_kernels((1.2, 1.0))
    assert effective_pixels(wide[0]) == pytest.approx(effective_pixels(nominal[0]) * 1.44, rel=0.02)
    np.testing.assert_array_equal(wide[1], nominal[1])


def test_transform_is_centred():
    image = np.fft.irfft2(psf_transform((64, 48)), s=(64, 48))
    for plane, kernel in zip(image, psf_kernels(), strict=True):
        assert np.unravel_index(plane.argmax(), plane.shape) == (0, 0)
        np.testing.assert_allclose(np.roll(plane, (16, 16), (0, 1))[:33, :33], kernel, atol=1e-7)


def artefacts(size=401, angle=0.3, **kwargs):
    image = np.zeros((size, size, 2))
    add_star_artefacts(image, float(size // 2), float(size // 2), np.array([1.0, 2.0]), StarArtefacts(angle, **kwargs))
    return image


def test_artefacts_have_four_spikes_at_their_angle():
    image = artefacts(angle=0.3)[..., 0]
    angle = np.radians(np.arange(0, 360, 2))
    ring = image[np.round(200 + 60 * np.sin(angle)).astype(int), np.round(200 + 60 * np.cos(angle)).astype(int)]
    bright = np.degrees(angle[ring > 2 * np.median(ring)])
    assert np.all(np.abs((bright - np.degrees(0.3) + 45) % 90 - 45) < 4)
    assert len(np.unique(np.round((bright - np.degrees(0.3)) / 90) % 4)) == 4
    np.testing.assert_allclose(artefacts()[..., 1], 2 * artefacts()[..., 0])


def test_artefacts_beyond_the_edge_and_out_of_reach():
    image = np.zeros((50, 60, 2))
    add_star_artefacts(image, -300.0, 20.0, np.array([1.0, 1.0]), StarArtefacts(0.0))
    assert not image.any()
    add_star_artefacts(image, -20.0, 20.0, np.array([1.0, 1.0]), StarArtefacts(0.0))
    whole = artefacts(angle=0.0)[..., 0]
    np.testing.assert_allclose(image[..., 0], whole[220:270, 180:240])


def test_latent_image_lies_where_it_is_put():
    latent = artefacts(latent_dy_pixels=15.0, latent_dx_pixels=-9.0, latent_share=1e-3) - artefacts()
    assert np.unravel_index(latent[..., 0].argmax(), (401, 401)) == (215, 191)
    assert latent[..., 0].sum() == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("band", [1, 2])
def test_haloes_and_spikes_are_those_of_unwise(shared_data, band):
    """Radial and azimuthal profile of the real NEO7 PSF model, within 35 % (halo) and a factor of 3 (spikes)."""
    with fits.open(shared_data / "unwise" / "psf" / f"psf_model_w{band}_neo7_unwisecat.fits") as hdus:
        real = hdus[0].data.astype(np.float64)
    mock = artefacts(325, angle=np.pi / 4)[..., 0]
    y, x = np.mgrid[:325, :325] - 162
    radius, angle = np.hypot(y, x), np.degrees(np.arctan2(y, x)) % 90
    off_spike = np.abs(angle - 45) > 15
    for low, high in ((12, 20), (20, 30), (30, 50), (50, 80)):
        ring = (radius > low) & (radius < high)
        halo = ring & off_spike & (np.minimum(angle, 90 - angle) > 10)
        assert np.median(mock[halo]) == pytest.approx(np.median(real[halo]), rel=0.35)
        spike = ring & (np.abs(angle - 45) < 5)
        ratio = (mock[spike].mean() - np.median(mock[halo])) / (real[spike].mean() - np.median(real[halo]))
        assert 1 / 3 < ratio < 3
