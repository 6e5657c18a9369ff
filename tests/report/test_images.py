"""Pictures of cutouts."""

import io

import hypothesis.strategies as st
import numpy as np
import pytest
from astropy.nddata import Cutout2D, NoOverlapError, block_reduce
from hypothesis import given, settings
from PIL import Image

from clusterjax.report.images import (
    cut_thumbnails,
    false_colour,
    fit_stretch,
    image_png,
    png_to_jpeg,
    shrink,
)


@pytest.fixture
def cutouts():
    """Noise of W1 and W2, a source that is red, one that is blue, one as most are; one NaN pixel."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(3, 40, 40, 2)) * [3.5, 8.5]
    y, x = np.indices((40, 40))
    for centre, fluxes in (((10, 10), (40, 160)), ((10, 30), (160, 40)), ((30, 10), (100, 100))):
        images += np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / 8)[..., None] * fluxes
    images[0, 35, 35, 0] = np.nan
    return images.astype(np.float32)


def test_two_bands_show_brightness_and_colour(cutouts):
    picture = false_colour(cutouts, fit_stretch(cutouts)).astype(int)
    assert picture.shape == (3, 40, 40, 3)
    red, blue, white = picture[1, 10, 10], picture[1, 10, 30], picture[1, 30, 10]
    assert red[0] > red[2] + 60
    assert blue[2] > blue[0] + 60
    assert abs(white[0] - white[2]) < 25
    empty = picture[1, 20:28, 20:36]
    assert empty.mean() < 60  # the noise is dark,
    assert np.abs(empty[..., 0] - empty[..., 2]).mean() < 15  # and grey
    assert white.mean() > 150
    assert picture[0, 35, 35].tolist() == [118, 118, 118]


def test_one_stretch_for_all_shows_which_is_brighter(cutouts):
    dim = cutouts / 4
    stretch = fit_stretch(cutouts)
    centre = false_colour(cutouts, stretch)[1, 30, 10].mean()
    assert false_colour(dim, stretch)[1, 30, 10].mean() < centre - 30


@pytest.mark.parametrize("num_bands", [1, 3, 5])
def test_other_numbers_of_bands(num_bands):
    rng = np.random.default_rng(1)
    images = rng.normal(size=(2, 16, 16, num_bands))
    images[:, 8, 8] = 50
    images[:, 4, 4, -1] = 50
    picture = false_colour(images, fit_stretch(images)).astype(int)
    assert picture[0, 8, 8].min() > 200
    assert (picture[0, 4, 4, 0] > picture[0, 4, 4, 2] + 60) == (num_bands > 1)


def test_ordinary_pictures_keep_their_colours():
    images = np.zeros((1, 20, 20, 3))
    images[0, :10] = [255, 128, 0]
    picture = false_colour(images, fit_stretch(images), natural=True)
    assert picture[0, 5, 5].tolist() == [255, 128, 0]
    assert picture[0, 15, 5].tolist() == [0, 0, 0]


@pytest.mark.parametrize("fill", [np.nan, 0.0, 7.0])
def test_images_without_any_information(fill):
    images = np.full((2, 8, 8, 2), fill)
    assert false_colour(images, fit_stretch(images)).shape == (2, 8, 8, 3)


def test_png_has_row_0_at_the_bottom():
    rgb = np.zeros((5, 7, 3), np.uint8)
    rgb[0, 2] = [10, 20, 30]
    png = image_png(rgb)
    assert np.asarray(Image.open(io.BytesIO(png)))[4, 2].tolist() == [10, 20, 30]
    enlarged = Image.open(io.BytesIO(image_png(rgb, size=20)))
    assert enlarged.size == (21, 15)
    assert Image.open(io.BytesIO(png_to_jpeg(png))).format == "JPEG"


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.floats(-20, 50), st.floats(-20, 50), st.integers(1, 16))
def test_thumbnails_equal_astropy(ny, nx, y, x, half):
    size = 2 * half
    data = np.random.default_rng(0).normal(size=(ny, nx, 1)).astype(np.float32)
    ours = cut_thumbnails(data, [y], [x], size)[0, ..., 0]
    try:  # astropy rounds an even side's centre up: its square begins at the same pixel from half a pixel lower
        theirs = Cutout2D(data[..., 0], (round(x) - 0.5, round(y) - 0.5), size, mode="partial", fill_value=np.nan).data
    except NoOverlapError:
        theirs = np.full((size, size), np.nan)
    np.testing.assert_array_equal(ours, theirs)


@settings(max_examples=30, deadline=None)
@given(st.integers(4, 40), st.integers(4, 40), st.integers(2, 20))
def test_shrink_equals_block_means(ny, nx, max_side):
    data = np.random.default_rng(0).normal(size=(ny, nx, 2)).astype(np.float32)
    small, block = shrink(data, max_side)
    assert max(small.shape[:2]) <= max_side
    assert block == -(-max(ny, nx) // max_side)
    if min(ny, nx) >= block:
        np.testing.assert_allclose(small, block_reduce(data, (block, block, 1), np.mean), rtol=1e-5, atol=1e-6)


def test_shrink_leaves_out_nan():
    data = np.array([[1.0, np.nan], [3.0, np.nan]], np.float32)[..., None]
    small, _ = shrink(np.concatenate([data, np.full((2, 2, 1), np.nan, np.float32)], axis=1), 2)
    assert small[0, 0, 0] == 2
    assert np.isnan(small[0, 1, 0])
