import numpy as np
from astropy.nddata import block_reduce
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterjax.report.map_pictures import score_pieces, shrink
from clusterjax.sky.geometry import make_wcs
from clusterjax.sky.skymap import ProbabilityMap, SkyMap


def make_map(data):
    wcs = make_wcs(data.shape[:2], ra_deg=30, dec_deg=5, pixel_scale_arcsec=30)
    return SkyMap(data, wcs, np.isfinite(data).all(2), tuple(f"band{i}" for i in range(data.shape[2])))


@settings(max_examples=30, deadline=None)
@given(st.integers(4, 40), st.integers(4, 40), st.integers(2, 20))
def test_shrink_equals_block_means(ny, nx, max_side):
    data = np.random.default_rng(0).normal(size=(ny, nx, 2)).astype(np.float32)
    small, block = shrink(make_map(data), max_side)
    assert max(small.shape[:2]) <= max_side
    assert block == -(-max(ny, nx) // max_side)
    if min(ny, nx) >= block:
        np.testing.assert_allclose(small, block_reduce(data, (block, block, 1), np.mean), rtol=1e-5, atol=1e-6)


def test_shrink_leaves_out_nan():
    data = np.array([[1.0, np.nan], [3.0, np.nan]], np.float32)[..., None]
    small, _ = shrink(make_map(np.concatenate([data, np.full((2, 2, 1), np.nan, np.float32)], axis=1)), 2)
    assert small[0, 0, 0] == 2
    assert np.isnan(small[0, 1, 0])


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(3, 9), st.integers(4, 13), st.integers(0, 99))
def test_a_piece_of_the_score_map_lies_where_its_cutout_does(stride, window, side, seed):
    """Each pixel has the score of the window whose centre is nearest; by hand, pixel by pixel."""
    rng = np.random.default_rng(seed)
    score = rng.random((6, 7))
    score[2, 3] = np.nan
    wcs = make_wcs(score.shape, ra_deg=30, dec_deg=5, pixel_scale_arcsec=30)
    probability_map = ProbabilityMap(score, np.ones((6, 7), np.float32), wcs, window, stride)
    y, x = rng.uniform(0, 30, (2, 3))
    pieces = score_pieces(probability_map, Table({"y_pixels": y, "x_pixels": x}), side)
    for piece, top, left in zip(pieces, np.rint(y) - side // 2, np.rint(x) - side // 2, strict=True):
        for row, column in np.ndindex(side, side):
            place = (np.array([top + row, left + column]) - (window - 1) / 2) / stride
            distance = np.abs(place - np.rint(place))
            if (np.abs(distance - 0.5) < 1e-9).any():
                continue  # as near to one as to the other
            i, j = np.rint(place).astype(int)
            expected = score[i, j] if 0 <= i < 6 and 0 <= j < 7 else np.nan
            np.testing.assert_array_equal(piece[row, column], expected)
