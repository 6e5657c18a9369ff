"""Galactic dust whose brightness varies over the sky."""

import dataclasses

import numpy as np
import pytest

from clusterjax.simulation.knobs import MicrowaveSky
from clusterjax.simulation.microwave import spectra
from clusterjax.simulation.microwave.bands import dust_spectrum, survey_of
from clusterjax.simulation.microwave.cirrus import Cirrus
from clusterjax.simulation.microwave.cutouts import simulate_cutout
from clusterjax.simulation.microwave.flat_sky import PIXEL_RADIANS, grid_ell
from clusterjax.simulation.microwave.maps import simulate_map
from clusterjax.simulation.microwave.surroundings import setting_of

SCATTER = 0.6


def test_brightness_is_log_normal_and_power_goes_as_its_square():
    sky = MicrowaveSky(cirrus_scatter=SCATTER, dust_scale=2.0)
    cirrus, rng = Cirrus(sky, (64, 64)), np.random.default_rng(0)
    grid = cirrus.field.padded
    ell = grid_ell(grid)
    ring = (ell > 400) & (ell < 6000)
    # D_ell = 7.97 (ell / 500)^-0.6 at 150 GHz, of ACT DR6.
    expected = 2.0 * 7.97 * (ell[ring] / 500) ** -0.6 * 2 * np.pi / (ell[ring] * (ell[ring] + 1))
    colour = dust_spectrum(np.array(survey_of(sky).frequency_ghz), 1.5, 19.6)
    squares = []
    for _ in range(400):
        modes, long_waves = cirrus.draw(rng, np.ones((3, *ell.shape), np.float32))
        measured = np.abs(modes[1][ring]) ** 2 * PIXEL_RADIANS**2 / np.prod(grid)
        squares.append(np.mean(measured / expected) / colour[1] ** 2)
        np.testing.assert_allclose(modes[2], modes[1] * colour[2] / colour[1], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(long_waves[0] * colour[2], long_waves[2] * colour[0], rtol=1e-3, atol=1e-4)
    brightness = 0.5 * np.log(squares)
    assert np.std(brightness) == pytest.approx(SCATTER, rel=0.12)
    assert np.mean(brightness) == pytest.approx(-(SCATTER**2) / 2, abs=0.1)


def test_the_filters_noise_has_the_mean_power():
    ell, sky = np.array([500.0, 3000.0]), MicrowaveSky(survey="act_dr6")
    varied = dataclasses.replace(sky, cirrus_scatter=SCATTER)
    without = spectra.map_covariance(sky, ell, with_dust=False)
    dust = spectra.map_covariance(sky, ell) - without
    np.testing.assert_allclose(
        spectra.map_covariance(varied, ell) - without, np.exp(SCATTER**2) * dust, rtol=1e-6, atol=1e-22
    )


def test_cutouts_and_maps_of_a_dusty_sky_differ_in_their_dust():
    """220 GHz, whose long waves are dust: more of it, by more, from one cutout to the next; none of it in the CMB."""
    plain, varied = (MicrowaveSky(dust_scale=30.0, cirrus_scatter=scatter) for scatter in (0.0, 1.0))
    assert setting_of(plain, 64).cirrus is None
    spread = {}
    for name, sky in (("plain", plain), ("varied", varied)):
        images = [simulate_cutout(sky, "random", np.random.default_rng(seed)).image for seed in range(60)]
        dust = [np.log(np.var((image[..., 2] - image[..., 1])[::8, ::8])) for image in images]
        spread[name] = np.std(dust)
    assert spread["varied"] > 1.5 * spread["plain"]
    places = {"seed": 1, "shape": (96, 96), "ra_deg": 0.0, "dec_deg": 0.0}
    one, other = (simulate_map(sky, **places)[0].data for sky in (plain, varied))
    assert np.isfinite(other).all()
    assert not np.allclose(one, other)
