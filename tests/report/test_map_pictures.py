import numpy as np
from astropy.nddata import block_reduce
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterjax.report.map_pictures import shrink
from clusterjax.sky.geometry import make_wcs
from clusterjax.sky.skymap import SkyMap


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
