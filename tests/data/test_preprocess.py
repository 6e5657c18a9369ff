"""The one normalisation: host against device, and both against closed forms, NumPy and jax.image."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from clusterjax.config import DataConfig
from clusterjax.data.background import image_median, subtract_local_mean
from clusterjax.data.preprocess import Preprocess
from clusterjax.data.resize import resize_images
from clusterjax.data.statistics import STRETCHES, fit_band_statistics
from clusterjax.errors import InputError

BANDS = ("W1", "W2", "W3")


@pytest.fixture(scope="module")
def images():
    """Heavy-tailed, three bands of other scales on other backgrounds, with gaps."""
    pixels = np.random.default_rng(1).standard_t(2, size=(12, 20, 20, 3)) * [3.5, 8.5, 100] + [0, 5, 1e4]
    pixels[2, :7] = np.nan
    pixels[3] = np.nan
    pixels[4, 0, 0, 1] = np.inf
    return pixels.astype(np.float32)


@pytest.fixture(scope="module")
def statistics(images):
    return fit_band_statistics(np.where(np.isinf(images), np.nan, images), BANDS)


@pytest.mark.parametrize("stretch", STRETCHES)
@pytest.mark.parametrize("softening", [1.0, 3.0])
@pytest.mark.parametrize("subtract_median", [True, False])
def test_host_and_device_agree(images, statistics, stretch, softening, subtract_median):
    preprocess = Preprocess((2, 0), statistics, stretch, softening, subtract_median, input_size=31)
    host = preprocess(images)
    device = jax.jit(preprocess)(jnp.asarray(images))
    assert host.shape == device.shape == (12, 31, 31, 2)
    assert host.dtype == device.dtype == np.float32
    np.testing.assert_allclose(host, device, rtol=1e-5, atol=1e-5)


def test_formula_written_out(images, statistics):
    """asinh((x - median) / (2 scale)), standardised, in float64; invalid pixels become 0."""
    out = Preprocess((1,), statistics, "asinh", softening=2.0)(images)[..., 0]
    band = np.where(np.isinf(images), np.nan, images)[..., 1].astype(np.float64)
    moments = statistics.moments("asinh", 2.0)
    for image, got in zip(band, out, strict=True):
        if np.isnan(image).all():
            assert (got == 0).all()
            continue
        units = (image - np.nanmedian(image)) / (2 * statistics.scale[1])
        expected = (np.arcsinh(units) - moments["mean"][1]) / moments["std"][1]
        np.testing.assert_allclose(got, np.nan_to_num(expected), atol=1e-4)


@pytest.mark.parametrize("stretch", ["asinh", "log"])
@pytest.mark.parametrize("softening", [0.3, 1.0, 5.0])
def test_training_pixels_come_out_standardised(stretch, softening):
    pixels = np.random.default_rng(0).standard_t(2.5, size=(40, 32, 32, 2)).astype(np.float32) * np.float32(7) + 3
    preprocess = Preprocess((0, 1), fit_band_statistics(pixels, ("a", "b")), stretch, softening, subtract_median=False)
    out = preprocess(pixels)
    np.testing.assert_allclose(out.mean(axis=(0, 1, 2)), 0, atol=0.01)
    np.testing.assert_allclose(out.std(axis=(0, 1, 2)), 1, atol=0.02)


def test_statistics_without_quantiles_refuse_other_softening(statistics):
    old = dataclasses.replace(statistics, quantiles=())
    assert old.moments("asinh", 1.0) == statistics.moments("asinh", 1.0)
    with pytest.raises(InputError, match="softening"):
        old.moments("asinh", 2.0)


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.just(2), st.just(3), st.just(4), st.just(2)),
        elements=st.one_of(st.floats(-1e6, 1e6, width=32), st.sampled_from([0.0, -0.0, 1.0]), st.just(float("nan"))),
    )
)
def test_median_by_counting_is_numpys(pixels):
    """Any values, ties, signed zeros, odd and even counts; 0 where nothing is valid."""
    expected = [
        [np.median(v) if (v := pixels[i, ..., j][~np.isnan(pixels[i, ..., j])]).size else 0.0 for j in range(2)]
        for i in range(2)
    ]
    for got in (image_median(pixels), _jitted_median(jnp.asarray(pixels))):
        # The device flushes subnormal numbers to zero.
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=2e-38)


_jitted_median = jax.jit(image_median)


@pytest.mark.parametrize("backend", [np.asarray, jnp.asarray])
def test_local_mean_by_its_definition(backend):
    rng = np.random.default_rng(0)
    images = rng.normal(5.0, 1.0, (2, 9, 11, 2)).astype(np.float32)
    images[0, 2:5, 3:7, 0] = np.nan
    images[1, :8, :8] = np.nan
    out = np.asarray(subtract_local_mean(backend(images), 5))
    assert out.shape == (2, 5, 7, 2)
    for b, y, x, band in np.ndindex(out.shape):
        square, pixel = images[b, y : y + 5, x : x + 5, band], images[b, y + 2, x + 2, band]
        mean = 0.0 if np.isnan(square).all() else np.nanmean(square)
        np.testing.assert_allclose(out[b, y, x, band], pixel - mean, atol=1e-5)
    with pytest.raises(InputError, match=r"background_pixels=13 is more than the cutouts' \(9, 11\) pixels"):
        subtract_local_mean(backend(images), 13)


def test_local_background_of_a_map_is_that_of_its_cutouts(statistics):
    """Bit for bit, and whatever level and slope lies under the map."""
    rng = np.random.default_rng(1)
    sky = rng.normal(0.0, 1.0, (1, 40, 50, 3)).astype(np.float32)
    preprocess = Preprocess((2, 0), statistics, "asinh", 2.0, centre_pixels=10, background_pixels=7)
    preprocess.check_pixelwise(20)
    border, before, seen = preprocess.margin(20)
    assert (border, before, seen) == (3, 2, 10)
    whole = preprocess.normalise(sky)
    assert whole.shape == (1, 34, 44, 2)
    cutout = preprocess(sky[:, 6:26, 17:37])
    np.testing.assert_array_equal(cutout, whole[:, 6 + before : 6 + before + seen, 17 + before : 17 + before + seen])
    tilted = sky + np.linspace(0, 100, 50, dtype=np.float32)[:, None] + 1000
    np.testing.assert_allclose(preprocess.normalise(tilted), whole, atol=2e-3)
    with pytest.raises(InputError, match="background_pixels=6 must be odd"):
        Preprocess((0,), statistics, background_pixels=6)
    with pytest.raises(InputError, match="own median"):
        Preprocess((0,), statistics).check_pixelwise(20)


def test_constant_image_is_finite():
    flat = np.full((2, 8, 8, 1), 5.0, np.float32)
    out = Preprocess((0,), fit_band_statistics(flat, ("a",)))(flat)
    assert np.isfinite(out).all()


@pytest.mark.parametrize("size", [13, 30, 64])
def test_resize_is_that_of_jax(size):
    images = np.random.default_rng(0).normal(size=(3, 30, 41, 2)).astype(np.float32)
    # JAX rounds its coordinates to float32.
    expected = jax.image.resize(images, (3, size, size, 2), "linear", antialias=True)
    np.testing.assert_allclose(resize_images(images, size), expected, atol=1e-5)
    np.testing.assert_allclose(
        resize_images(jnp.asarray(images), size), expected, atol=1e-5
    )  # JAX rounds its coordinates


def test_from_metadata_picks_bands_and_statistics(statistics):
    other = dataclasses.replace(statistics, scale=(1.0, 2.0, 3.0))
    metadata = {
        "band_statistics": statistics.to_dict(),
        "band_statistics_median_subtracted": other.to_dict(),
    }
    preprocess = Preprocess.from_metadata(DataConfig(bands=("W3", "W1"), input_size=16), metadata)
    assert preprocess.band_indices == (2, 0)
    assert preprocess.bands == ("W3", "W1")
    assert preprocess.statistics == other
    raw = Preprocess.from_metadata(DataConfig(subtract_median=False), metadata)
    assert raw.statistics == statistics
    assert raw.band_indices == (0, 1, 2)
    with pytest.raises(InputError, match=r"'W4'.*W1, W2, W3"):
        Preprocess.from_metadata(DataConfig(bands=("W4",)), metadata)


def test_survives_json_and_hashes(statistics):
    preprocess = Preprocess((2, 0), statistics, "log", 2.0, False, 40)
    again = Preprocess.from_dict(json.loads(json.dumps(preprocess.to_dict())))
    assert again == preprocess
    assert hash(again) == hash(preprocess)


def test_wrong_use_is_named(statistics):
    with pytest.raises(InputError, match="has 2 bands; the data set has 3"):
        Preprocess((0, 1), statistics)(np.zeros((1, 4, 4, 2), np.float32))
    with pytest.raises(InputError, match="'sqrt'"):
        Preprocess((0,), statistics, "sqrt")
    with pytest.raises(InputError, match="band_indices"):
        Preprocess((3,), statistics)


@pytest.mark.parametrize("backend", [np.asarray, jnp.asarray], ids=["numpy", "jax"])
def test_centre(backend):
    """Cropped after the median of the whole image is subtracted, then resampled."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, 12, 11, 2)).astype(np.float32)
    whole = Preprocess((0, 1), fit_band_statistics(images, ("a", "b")))
    middle = dataclasses.replace(whole, centre_pixels=6)
    np.testing.assert_array_equal(middle(backend(images)), whole(backend(images))[:, 3:9, 2:8])
    assert dataclasses.replace(middle, input_size=24)(backend(images)).shape == (2, 24, 24, 2)
    assert Preprocess.from_dict(middle.to_dict()) == middle
    with pytest.raises(InputError, match=r"centre_pixels=13 is more than the cutouts' 12 x 11 pixels"):
        dataclasses.replace(whole, centre_pixels=13)(backend(images))


def test_a_softening_of_its_own_in_each_band(images, statistics):
    """Each band is what it is alone with that softening, also after JSON; an unknown band is refused."""
    metadata = {"band_statistics": statistics.to_dict()}
    config = DataConfig(softening=1.0, band_softening={"W3": 3.0, "W1": 2.0}, bands=("W3", "W2", "W1"))
    both = Preprocess.from_metadata(config, metadata)
    out = Preprocess.from_dict(json.loads(json.dumps(both.to_dict())))(images)
    for channel, (band, softening) in enumerate({"W3": 3.0, "W2": 1.0, "W1": 2.0}.items()):
        alone = Preprocess.from_metadata(DataConfig(softening=softening, bands=(band,)), metadata)(images)
        np.testing.assert_allclose(out[..., channel], alone[..., 0], rtol=1e-6, atol=1e-6)
    with pytest.raises(InputError, match="has 'W4'; the data set has W1, W2, W3"):
        Preprocess.from_metadata(DataConfig(band_softening={"W4": 3.0}), metadata)
