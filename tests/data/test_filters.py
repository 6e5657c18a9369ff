"""Filtered channels: against SciPy's filters in real space, host against device, and within the normalisation."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from clusterjax.data.filters import ImageFilters
from clusterjax.data.preprocess import Preprocess
from clusterjax.data.statistics import fit_band_statistics
from clusterjax.errors import InputError

FREQUENCY = np.linspace(0, 4.5, 400)
WIDTHS = (1.5, 3.0)  # pixels, of the Gaussian of each filter


def gaussian_filters(statistics=None):
    """The first: the first band smoothed less twice the second; the second: the second band more smoothed."""
    narrow, wide = (np.exp(-0.5 * (FREQUENCY * width) ** 2) for width in WIDTHS)
    weight = ((narrow, -2 * narrow), (0 * wide, wide))
    statistics = statistics or fit_band_statistics(np.random.default_rng(9).normal(0.5, 2.0, (50, 2)), ("S1", "S2"))
    return ImageFilters(tuple(FREQUENCY), tuple(tuple(map(tuple, bands)) for bands in weight), statistics)


@pytest.fixture(scope="module")
def images():
    pixels = np.random.default_rng(0).normal(3.0, 1.0, (5, 24, 31, 2)).astype(np.float32)
    pixels[1, :5, 3:9, 0] = np.nan
    pixels[2] = np.nan
    return pixels


def test_gaussian_filters_are_scipys(images):
    """With the image mirrored at its edges; NaN counts as the mean, and what is constant is taken away."""
    valid = np.isfinite(images)
    total = np.where(valid, images, 0).sum(axis=(1, 2), keepdims=True)
    filled = np.where(valid, images - total / np.maximum(valid.sum(axis=(1, 2), keepdims=True), 1), 0)
    sigma = [(0, width, width, 0) for width in WIDTHS]
    narrow, wide = (ndimage.gaussian_filter(filled, s, mode="reflect", truncate=8) for s in sigma)
    expected = np.stack([narrow[..., 0] - 2 * narrow[..., 1], wide[..., 1]], axis=-1)
    filters = gaussian_filters()
    np.testing.assert_allclose(filters(images), expected, atol=2e-3)
    assert np.std(expected[0]) > 0.1
    np.testing.assert_allclose(jax.jit(lambda x: filters(x))(jnp.asarray(images)), filters(images), atol=1e-5)


def test_beyond_the_last_frequency_nothing_passes():
    """A filter of ones up to a low frequency leaves the slow wave and removes the fast one."""
    y = np.arange(32)[:, None] + np.zeros((1, 32))
    slow, fast = (np.cos(np.pi / 32 * mode * (y + 0.5)) for mode in (4, 20))
    filters = ImageFilters((0.0, 1.0), (((1.0, 1.0),),), fit_band_statistics(np.ones((1, 1)), ("S",)))
    out = filters((slow + fast)[None, ..., None])
    np.testing.assert_allclose(out[0, ..., 0], slow, atol=1e-5)


@pytest.mark.parametrize("background_pixels", [None, 5])
def test_channels_beside_the_bands(images, background_pixels):
    """The bands come out as without filters, the filtered channels by the same stretch with their own statistics."""
    statistics = fit_band_statistics(images, ("a", "b"))
    bands = Preprocess((1, 0), statistics, softening=2.0, background_pixels=background_pixels, centre_pixels=10)
    filters = gaussian_filters()
    both = dataclasses.replace(bands, filters=filters)
    assert both.channels == ("b", "a", "S1", "S2")
    assert bands.channels == both.bands == ("b", "a")
    out = both(images)
    assert out.shape == (5, 10, 10, 4)
    np.testing.assert_array_equal(out[..., :2], bands(images))
    raw = filters(images[..., ::-1] - np.array(statistics.location[::-1], np.float32))[:, 7:17, 10:20]
    for i in range(2):
        units = (raw[..., i] - filters.statistics.location[i]) / (2 * filters.statistics.scale[i])
        moments = filters.statistics.moments("asinh", 2.0)
        expected = (np.arcsinh(units) - moments["mean"][i]) / moments["std"][i]
        np.testing.assert_allclose(out[..., 2 + i], expected, atol=1e-4)
    np.testing.assert_allclose(jax.jit(both)(jnp.asarray(images)), out, atol=1e-4)


def test_survives_json_and_is_refused_where_it_cannot_be(images):
    preprocess = Preprocess((0, 1), fit_band_statistics(images, ("a", "b")), subtract_median=False)
    preprocess.check_pixelwise(24)
    filtered = dataclasses.replace(preprocess, filters=gaussian_filters())
    again = Preprocess.from_dict(json.loads(json.dumps(filtered.to_dict())))
    assert again == filtered
    assert hash(again) == hash(filtered) != hash(preprocess)
    with pytest.raises(InputError, match="matched_filter_arcmin filters each window"):
        filtered.check_pixelwise(24)
    with pytest.raises(ValueError, match="not of 1 bands"):
        dataclasses.replace(filtered, band_indices=(0,))
    with pytest.raises(ValueError, match="at each frequency"):
        dataclasses.replace(filtered.filters, frequency=(0.0, 1.0))
    with pytest.raises(ValueError, match="2 filters, statistics of 1"):
        dataclasses.replace(filtered.filters, statistics=fit_band_statistics(np.ones((2, 1)), ("S",)))
