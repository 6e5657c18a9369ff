"""Windows of two maps about the same positions."""

import dataclasses

import numpy as np
import pytest

from clusterjax.errors import InputError
from clusterjax.search.pairs import PairedMaps
from clusterjax.sky.geometry import make_wcs
from clusterjax.sky.skymap import SkyMap


def make_map(side, scale, bands, dec_deg=40.0):
    wcs = make_wcs((side, side), ra_deg=120.0, dec_deg=dec_deg, pixel_scale_arcsec=scale)
    data = np.zeros((side, side, len(bands)), np.float32)
    return SkyMap(data, wcs, np.ones((side, side), bool), bands, pixel_scale_arcsec=scale)


@pytest.fixture(scope="module")
def pair():
    """Each map's pixels hold their own position: right ascension and declination."""
    maps = [make_map(200, 3.0, ("ra", "dec")), make_map(30, 30.0, ("RA", "DEC"))]
    for sky in maps:
        y, x = np.indices(sky.shape)
        sky.data[..., 0], sky.data[..., 1] = sky.pixel_to_sky(y, x)
    return PairedMaps(*maps, size=8)


def test_both_windows_are_about_the_same_position(pair):
    seen = []
    pair.score(lambda windows: seen.append(windows) or {"keep": windows[:, 0, 0, 0]}, show_progress=False)
    windows = np.concatenate(seen).astype(float)
    assert len(windows) == len(pair.starts()[0]) > 100
    middle = windows[:, 3:5, 3:5].mean(axis=(1, 2))
    apart = (middle[:, :2] - middle[:, 2:]) * [np.cos(np.radians(40)), 1] * 3600
    assert np.abs(apart).max() < 1.6  # half a fine pixel, and float32
    width = np.ptp(windows[..., 1::2], axis=(1, 2)).mean(axis=0) * 3600
    np.testing.assert_allclose(width, [7 * 3, 7 * 30], rtol=0.02)


def test_scores_lie_where_their_windows_do(pair):
    found = pair.score(lambda windows: {"dec": windows[:, 3:5, 3:5, 3].mean(axis=(1, 2)) / 90})["dec"]
    y, x = np.nonzero(np.isfinite(found.score))
    _, dec = found.sky_positions()
    np.testing.assert_allclose(found.score[y, x] * 90, dec[y, x], atol=1e-3)
    # The fine map shows 10', of which windows of 24" leave 9.6'; the coarse one 15'.
    assert len(np.unique(y)) == pytest.approx((200 - 8) * 3 / 30, abs=1)
    assert found.shape == (23, 23)


def test_maps_that_cannot_be_paired(pair):
    with pytest.raises(InputError, match="give that of the smaller pixels first"):
        PairedMaps(pair.coarse, pair.fine)
    elsewhere = make_map(200, 3.0, ("a",), dec_deg=10.0)
    with pytest.raises(InputError, match="no window in common"):
        dataclasses.replace(pair, fine=elsewhere).score(lambda windows: {})
