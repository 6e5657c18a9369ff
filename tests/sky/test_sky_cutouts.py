import numpy as np
import pytest
from astropy.nddata import Cutout2D, NoOverlapError
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterjax.sky.cutouts import extract_cutouts
from clusterjax.sky.geometry import make_wcs
from clusterjax.sky.skymap import SkyMap

SHAPE = (40, 50)


@pytest.fixture
def sky():
    data = np.arange(2 * np.prod(SHAPE), dtype=np.float32).reshape(*SHAPE, 2)
    data[20, 10] = np.nan
    wcs = make_wcs(SHAPE, ra_deg=0.0, dec_deg=80.0, pixel_scale_arcsec=30)
    return SkyMap(data, wcs, np.isfinite(data).all(2), ("W1", "W2"))


@pytest.mark.parametrize("size", [9, 8])
def test_a_cutout_is_that_part_of_the_map(sky, size):
    images, fraction = extract_cutouts(sky, *sky.pixel_to_sky([25.0], [30.0]), size)
    # The centre (size - 1) / 2 of an even cutout falls between pixels: half a pixel off at most.
    starts = [(y, x) for y in range(40) for x in range(50) if np.array_equal(images[0, 0, 0], sky.data[y, x])]
    y0, x0 = starts[0]
    assert np.array_equal(images[0], sky.data[y0 : y0 + size, x0 : x0 + size])
    assert abs(y0 + (size - 1) / 2 - 25) <= 0.5
    assert abs(x0 + (size - 1) / 2 - 30) <= 0.5
    assert fraction == 1


def test_edges_and_nan_count_as_not_valid(sky):
    images, fraction = extract_cutouts(sky, *sky.pixel_to_sky([0, 20, 39, 100, 0], [0, 10, 49, 0, -300]), 5)
    assert fraction == pytest.approx([9 / 25, 24 / 25, 9 / 25, 0, 0])
    assert np.array_equal(images[0, 2:, 2:], sky.data[:3, :3])
    assert np.array_equal(images[2, :3, :3], sky.data[-3:, -3:])
    assert np.isnan(images[0, :2]).all()
    assert np.isnan(images[3:]).all()


def test_positions_that_the_map_cannot_show(sky):
    images, fraction = extract_cutouts(sky, [0.0, np.nan], [-80.0, 10.0], 4)
    assert np.isnan(images).all()
    assert not fraction.any()
    assert extract_cutouts(sky, np.zeros(0), np.zeros(0), 4)[0].shape == (0, 4, 4, 2)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.floats(-20, 50), st.floats(-20, 50), st.integers(1, 16))
def test_windows_of_a_map_equal_astropys(ny, nx, y, x, half):
    size = 2 * half
    data = np.random.default_rng(0).normal(size=(ny, nx, 1)).astype(np.float32)
    wcs = make_wcs((ny, nx), ra_deg=30, dec_deg=5, pixel_scale_arcsec=30)
    sky = SkyMap(data, wcs, np.ones((ny, nx), bool), ("W1",))
    ours = sky.pixels(round(y) - half, round(x) - half, size, size)[..., 0]
    try:  # astropy rounds an even side's centre up: its square begins at the same pixel from half a pixel lower
        theirs = Cutout2D(data[..., 0], (round(x) - 0.5, round(y) - 0.5), size, mode="partial", fill_value=np.nan).data
    except NoOverlapError:
        theirs = np.full((size, size), np.nan)
    np.testing.assert_array_equal(ours, theirs)
