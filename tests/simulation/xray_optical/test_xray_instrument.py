"""XMM-Newton's mirrors and cameras against closed forms and the numbers of its handbook."""

import numpy as np
import pytest

from clusterjax.simulation.xray_optical import instrument
from clusterjax.simulation.xray_optical.instrument import BIN_ARCSEC, blur, exposure, psf_axes_arcsec, vignetting


def centred_point(side=240):
    image = np.zeros((side, side))
    image[side // 2, side // 2] = 1.0
    return image


def test_half_of_the_light_lies_within_the_closed_form_of_king():
    """1 - (1 + r2)^(1 - slope) = 1/2: 8.9 arcsec on axis, for light that is not cut off at the grid's end."""
    point = blur(centred_point(), 0.0, 0.0)
    y, x = (np.indices(point.shape) - 120) * BIN_ARCSEC
    radius = np.hypot(y, x).ravel()
    order = np.argsort(radius)
    within = np.cumsum(point.ravel()[order])
    slope, core = 1.47, 5.0
    all_of_it = 1 - (1 + (120 * BIN_ARCSEC / core) ** 2) ** (1 - slope)
    expected = core * np.sqrt((1 - all_of_it / 2) ** (1 / (1 - slope)) - 1)
    assert np.interp(0.5, within, radius[order]) == pytest.approx(expected, rel=0.05)


def test_light_is_conserved_and_grows_tangentially_off_axis():
    for off_axis in (0.0, 6.0, 12.0):
        assert blur(centred_point(), off_axis, 0.7).sum() == pytest.approx(1.0, rel=1e-4)
    # The axis lies along x: the image is longer in y.
    point = blur(centred_point(), 12.0, 0.0)
    half = point > point.max() / 2
    assert np.ptp(np.nonzero(half)[0]) > np.ptp(np.nonzero(half)[1])
    turned = blur(centred_point(), 12.0, np.pi / 2)
    np.testing.assert_allclose(turned[1:, 1:], point.T[1:, 1:], atol=1e-5)
    assert psf_axes_arcsec(0.0) == (5.0, 5.0)


def test_vignetting_of_the_handbook():
    np.testing.assert_allclose(vignetting(np.array([0.0, 10.0, 15.0])), [1.0, 0.55, 0.35], atol=0.01)


def test_exposure_ends_at_the_field_of_view_and_has_gaps():
    x, y = np.meshgrid(np.linspace(-17, 17, 851), np.linspace(-17, 17, 851))
    seen = exposure(x, y)
    radius = np.hypot(x, y)
    assert not seen[radius > 15].any()
    assert seen.max() == pytest.approx(1.0)
    inner = seen[radius < 14]
    assert (inner == seen.max()).mean() == pytest.approx(0.85, abs=0.08)  # the rest lies in a gap of one camera
    assert inner.min() < 0.5
    # MOS and PN end in different places.
    assert set(np.round(seen[(radius > 14.5) & (radius < 15)], 2)) <= {0.0, 0.22, 0.44}


def test_background_per_area():
    """5e-6 of the sky and 3e-6 of particles in bins of 2.5 arcsec a second, the first vignetted."""
    per_bin = instrument.background(np.ones(2), np.array([0.0, 11.0])) / (BIN_ARCSEC / 2.5) ** 2
    np.testing.assert_allclose(per_bin, [8e-6, 5.5e-6])
