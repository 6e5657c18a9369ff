"""Pictures of cutouts."""

import io

import numpy as np
import pytest
from PIL import Image

from clusterjax.report.images import (
    false_colour,
    fit_stretch,
    image_png,
    png_to_jpeg,
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
