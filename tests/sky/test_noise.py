"""The noise of maps that are made up: what is put in comes out, whatever else is on the map."""

import numpy as np
import pytest
from scipy import ndimage

from clusterjax.sky.geometry import make_wcs
from clusterjax.sky.noise import NoiseMap, local_noise, make_noise_map
from clusterjax.sky.skymap import ProbabilityMap, SkyMap


def sky_of(data):
    wcs = make_wcs(data.shape[:2], ra_deg=30.0, dec_deg=5.0, pixel_scale_arcsec=30.0)
    return SkyMap(data.astype(np.float32), wcs, np.isfinite(data).all(axis=2), ("a", "b")[: data.shape[2]], "uK_CMB")


def test_white_noise_under_waves_gradients_and_sources():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(256, 256, 2)) * [2.0, 7.0]
    y, x = np.mgrid[:256, :256]
    waves = 300 * np.sin(y / 40)[..., None] + 2.0 * x[..., None]
    sources = np.zeros((256, 256))
    sources[rng.integers(0, 256, 25), rng.integers(0, 256, 25)] = 3000
    found = local_noise(sky_of(noise + waves + ndimage.gaussian_filter(sources, 1.0)[..., None]))
    assert found.shape == (4, 4, 2)
    np.testing.assert_allclose(found.reshape(-1, 2), np.tile([2.0, 7.0], (16, 1)), rtol=0.25)
    np.testing.assert_allclose(local_noise(sky_of(noise)).mean(axis=(0, 1)), [2.0, 7.0], rtol=0.03)


def test_a_map_of_two_depths_with_a_hole():
    noise = np.random.default_rng(1).normal(size=(256, 256, 1))
    noise[:, 128:] *= 3
    noise[:70, :70] = np.nan
    sky = sky_of(noise)
    grid = ProbabilityMap.from_log_odds(np.where(sky.valid, 0.0, np.nan), sky)
    depth, median = make_noise_map(sky, grid, np.isfinite(grid.score))
    left, right = (depth.at(*sky.pixel_to_sky(np.array([200.0]), np.array([column])))[0] for column in (50.0, 200.0))
    assert right / left == pytest.approx(3, rel=0.06)
    assert right == pytest.approx(1, rel=0.06)  # relative to the median
    assert median[0] == pytest.approx(3, rel=0.06)  # of the larger part
    assert np.isnan(depth.at(*sky.pixel_to_sky(30.0, 30.0)))  # in the hole
    assert np.isnan(depth.at(120.0, -40.0))  # off the map
    assert isinstance(depth, NoiseMap)


def test_a_map_without_any_data_has_a_noise_of_one():
    assert (local_noise(sky_of(np.full((64, 64, 1), np.nan))) == 1).all()
