import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterjax.simulation.infrared.populations import Sources
from clusterjax.simulation.infrared.psf import effective_pixels, psf_kernels
from clusterjax.simulation.infrared.rendering import draw_psf_scale, flux_nmgy, pixel_noise, render, source_fluxes
from clusterjax.simulation.knobs import InfraredSky


def sources(y, x, w1=15.0, colour=0.0):
    y = np.atleast_1d(np.asarray(y, float))
    return Sources(y, np.atleast_1d(np.asarray(x, float)), np.full(len(y), w1), np.full(len(y), colour))


def test_zero_point():
    np.testing.assert_allclose(flux_nmgy(np.array([22.5, 20.0, 15.0])), [1, 10, 1000])
    w1, w2 = source_fluxes(sources(0, 0, w1=15.0, colour=1.0))[:, 0]
    assert (w1, w2) == (pytest.approx(1000), pytest.approx(1000 * 10**0.4))


@settings(max_examples=25, deadline=None)
@given(st.floats(12, 50), st.floats(12, 60), st.floats(-0.5, 1.5))
def test_flux_and_position_of_a_source_survive(y, x, colour):
    image = render(sources(y, x, colour=colour), (64, 72))
    # 12 pixels from the border 1 % of the light is lost; the weight on far pixels blurs the centroid as little
    total = image.sum(axis=(0, 1))
    np.testing.assert_allclose(total, [1000, 1000 * 10 ** (0.4 * colour)], rtol=0.012)
    rows, columns = np.mgrid[:64, :72]
    near = np.hypot(rows - y, columns - x) < 8
    for band in range(2):
        light = image[..., band] * near
        assert (light * rows).sum() / light.sum() == pytest.approx(y, abs=0.03)
        assert (light * columns).sum() / light.sum() == pytest.approx(x, abs=0.03)


def test_source_on_a_pixel_is_the_kernel():
    image = render(sources(40, 30), (80, 64))
    np.testing.assert_allclose(image[24:57, 14:47, 0], 1000 * psf_kernels()[0], atol=1e-3)
    outside = image[..., 0].copy()
    outside[24:57, 14:47] = 0
    assert np.abs(outside).max() < 1e-3


@pytest.mark.parametrize(("y", "x"), [(-6, 20), (69.5, 20), (20, -6.2), (20, 69)])
def test_source_outside_sheds_light_on_its_own_side_only(y, x):
    image = render(sources(y, x, w1=10.0), (64, 64))[..., 0]
    lit = np.argwhere(image > 1e-2 * image.max())
    assert len(lit) > 10
    assert np.abs(lit - [np.clip(y, 0, 63), np.clip(x, 0, 63)]).max() <= 16


def test_sources_too_far_away_leave_nothing():
    image = render(sources([-17.1, 90, 20, 20, 1e6], [20, 20, -17.1, 80.1, -1e6]), (64, 64))
    assert np.abs(image).max() < 1e-3


@pytest.mark.parametrize("shape", [(64, 64), (63, 100), (21, 21), (224, 224)])
def test_any_shape_sums_many_sources(shape):
    rng = np.random.default_rng(0)
    many = sources(rng.uniform(0, shape[0] - 1, 50), rng.uniform(0, shape[1] - 1, 50))
    image = render(many, shape)
    assert image.shape == (*shape, 2)
    assert image.dtype == np.float32
    alone = sum(render(sources(y, x), shape) for y, x in zip(many.y_pixels, many.x_pixels, strict=True))
    np.testing.assert_allclose(image, alone, atol=2e-2)


def test_depth_is_that_of_unwise():
    """Background-only 5 sigma of about W1 = 18.1 and W2 = 17.2, with a matched filter on the PSF."""
    noise = pixel_noise(InfraredSky())
    np.testing.assert_allclose(noise, [3.5, 8.5])
    pixels = np.array([effective_pixels(kernel) for kernel in psf_kernels()])
    np.testing.assert_allclose(22.5 - 2.5 * np.log10(5 * noise * np.sqrt(pixels)), [18.1, 17.2], atol=0.22)


def test_noise_falls_towards_the_ecliptic_poles():
    at = {
        latitude: pixel_noise(InfraredSky(ecliptic_latitude_deg=latitude))[0] for latitude in (0.0, 60.0, -60.0, 90.0)
    }
    assert at[60.0] == pytest.approx(3.5 * np.sqrt(168 / 320))
    assert at[-60.0] == at[60.0]
    assert at[90.0] == pytest.approx(3.5 * np.sqrt(168 / 1600))
    assert pixel_noise(InfraredSky(noise_scale=2.0))[1] == 17.0


def test_psf_width_knobs():
    rng = np.random.default_rng(1)
    assert draw_psf_scale(rng, InfraredSky()) == (1.0, 1.0)
    common = np.array([draw_psf_scale(rng, InfraredSky(psf_error=0.1)) for _ in range(2000)])
    np.testing.assert_array_equal(common[:, 0], common[:, 1])
    assert common.std() == pytest.approx(0.1, rel=0.05)
    jitter = np.array([draw_psf_scale(rng, InfraredSky(seeing_jitter=0.1)) for _ in range(2000)])
    assert abs(np.corrcoef(jitter.T)[0, 1]) < 0.08
    assert jitter.std() == pytest.approx(0.1, rel=0.05)
