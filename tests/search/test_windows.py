import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterjax.errors import InputError
from clusterjax.search.windows import WindowGrid
from clusterjax.sky.geometry import make_wcs, pixel_to_sky


@st.composite
def _grids(draw):
    size = draw(st.integers(1, 12))
    stride = draw(st.integers(1, size))
    shape = tuple(draw(st.integers(size, 40)) for _ in range(2))
    return WindowGrid(shape, size, stride)


@settings(deadline=None, max_examples=80)
@given(grid=_grids(), seed=st.integers(0, 999), holes=st.floats(0, 1))
def test_valid_fraction_against_counting(grid, seed, holes):
    valid = np.random.default_rng(seed).random(grid.map_shape) >= holes
    starts = grid.starts(np.ones(grid.shape, bool))
    counted = [valid[y : y + grid.size, x : x + grid.size].sum() / grid.size**2 for y, x in starts]
    assert np.allclose(grid.valid_fraction(valid).ravel(), counted, atol=1e-7)


@settings(deadline=None, max_examples=80)
@given(grid=_grids())
def test_every_pixel_is_seen_and_no_window_is_spent_off_the_map(grid):
    seen = np.zeros(grid.padded_shape, int)
    for y, x in grid.starts(np.ones(grid.shape, bool)):
        seen[y : y + grid.size, x : x + grid.size] += 1
    assert seen.min() > 0
    for padded, length in zip(grid.padded_shape, grid.map_shape, strict=True):
        assert 0 <= padded - length < grid.stride


@pytest.mark.parametrize("size", [8, 9])
def test_the_grid_lies_at_the_centres_of_the_windows(size):
    wcs = make_wcs((50, 60), ra_deg=0.0, dec_deg=60.0, pixel_scale_arcsec=60)
    grid = WindowGrid((50, 60), size, 5)
    starts = grid.starts(np.ones(grid.shape, bool)).reshape(*grid.shape, 2)
    i, j = 3, 7
    corners = starts[i, j] + np.array([[0, 0], [size - 1, size - 1]])
    middle = corners.mean(axis=0)
    assert np.allclose(pixel_to_sky(grid.wcs(wcs), i, j), pixel_to_sky(wcs, *middle), atol=1e-10)


def test_maps_and_strides_that_do_not_fit():
    with pytest.raises(InputError, match=r"map of 63 x 100 .* smaller than the window of 64 x 64"):
        WindowGrid((63, 100), 64, 8)
    for stride in (0, 65):
        with pytest.raises(InputError, match=rf"search\.stride={stride} must lie within \[1, 64\]"):
            WindowGrid((64, 100), 64, stride)
    assert WindowGrid((64, 64), 64, 8).shape == (1, 1)
