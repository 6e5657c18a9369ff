import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS, DistortionLookupTable
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterjax.sky.geometry import (
    make_wcs,
    pixel_area_deg2,
    pixel_scales_arcsec,
    pixel_to_sky,
    sky_area_deg2,
    sky_to_pixel,
    strided_wcs,
)

_ARCSEC = 1 / 3600


def _sip_wcs() -> WCS:
    """A TAN-SIP header of strong distortion: 3 pixels at the corners."""
    header = make_wcs((400, 300), ra_deg=10, dec_deg=40, pixel_scale_arcsec=5).to_header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN-SIP", "DEC--TAN-SIP"
    header.update(A_ORDER=3, A_2_0=3e-5, A_1_1=-2e-5, A_0_3=4e-7, B_ORDER=3, B_0_2=5e-5, B_2_1=-3e-7)
    header.update(AP_ORDER=2, AP_2_0=-3e-5, BP_ORDER=2, BP_0_2=-5e-5)
    return WCS(header)


def _table_wcs() -> WCS:
    """A distortion by lookup table in x (FITS distortion paper), up to 2 pixels."""
    wcs = make_wcs((400, 300), ra_deg=10, dec_deg=40, pixel_scale_arcsec=5)
    y, x = np.mgrid[:9, :7]
    offsets = (0.2 * (x - 3) ** 2 + 0.02 * y).astype(np.float32)
    wcs.cpdis1 = DistortionLookupTable(offsets, (1.0, 1.0), (1.0, 1.0), (50.0, 50.0))
    return wcs


def _rotated_wcs() -> WCS:
    wcs = make_wcs((400, 300), ra_deg=0.01, dec_deg=-70, pixel_scale_arcsec=20)
    wcs.wcs.pc = [[0.8, -0.6], [0.6, 0.8]]
    wcs.wcs.set()
    return wcs


def _cd_wcs() -> WCS:
    header = make_wcs((400, 300), ra_deg=346, dec_deg=12, pixel_scale_arcsec=2.75).to_header()
    del header["CDELT*"]
    header.update(CD1_1=-7e-4, CD1_2=1e-4, CD2_1=1.2e-4, CD2_2=7.5e-4)
    return WCS(header)


WCS_KINDS = {
    "tan": lambda: make_wcs((400, 300), ra_deg=0, dec_deg=85, pixel_scale_arcsec=20),
    "car": lambda: make_wcs((400, 300), ra_deg=359.9, dec_deg=60, pixel_scale_arcsec=30, projection="CAR"),
    "cd": _cd_wcs,
    "rotated": _rotated_wcs,
    "sip": _sip_wcs,
    "table": _table_wcs,
}


@pytest.mark.parametrize("kind", WCS_KINDS)
def test_a_strided_grid_lies_on_the_sky_where_its_pixels_lie(kind):
    wcs = WCS_KINDS[kind]()
    stride, offset = 8, 31.5
    grid = strided_wcs(wcs, stride, offset)
    y, x = np.mgrid[0:40, 0:30]
    seen = SkyCoord(*grid.all_pix2world(x, y, 0), unit="deg")
    true = SkyCoord(*wcs.all_pix2world(x * stride + offset, y * stride + offset, 0), unit="deg")
    # A lookup table is stored in float32.
    assert seen.separation(true).arcsec.max() < (1e-4 if kind == "table" else 1e-7)
    if kind in ("sip", "table"):  # the distortion is there: the linear part alone is off by pixels
        linear = SkyCoord(*grid.wcs_pix2world(x, y, 0), unit="deg")
        assert linear.separation(true).arcsec.max() > 5


@settings(deadline=None, max_examples=30)
@given(
    kind=st.sampled_from(sorted(WCS_KINDS)),
    y=st.floats(0, 399),
    x=st.floats(0, 299),
)
def test_sky_and_back(kind, y, x):
    wcs = WCS_KINDS[kind]()
    back = sky_to_pixel(wcs, *pixel_to_sky(wcs, y, x))
    assert np.allclose(back, (y, x), atol=1e-3)


def test_positions_are_icrs_whatever_the_frame():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["GLON-TAN", "GLAT-TAN"], [325.9, -7.0]
    wcs.wcs.crpix, wcs.wcs.cdelt = [1, 1], [-1 / 60, 1 / 60]
    true = SkyCoord(l=325.9, b=-7.0, unit="deg", frame="galactic").icrs
    ra, dec = pixel_to_sky(wcs, 0, 0)
    assert SkyCoord(ra, dec, unit="deg").separation(true).arcsec < 1e-6
    assert np.allclose(sky_to_pixel(wcs, true.ra.deg, true.dec.deg), (0, 0), atol=1e-6)


def test_axes_in_the_order_dec_ra():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["DEC--TAN", "RA---TAN"], [20.0, 100.0]
    wcs.wcs.crpix, wcs.wcs.cdelt = [11, 21], [0.01, -0.01]
    ra, dec = pixel_to_sky(wcs, 20, 15)  # five pixels along the first FITS axis, which is declination
    assert dec == pytest.approx(20.05, abs=1e-4)
    assert ra == pytest.approx(100.0, abs=1e-4)
    assert np.allclose(sky_to_pixel(wcs, ra, dec), (20, 15))


def test_what_a_projection_cannot_show_is_nan():
    wcs = WCS_KINDS["tan"]()
    assert np.isnan(sky_to_pixel(wcs, 0.0, -85.0)).all()
    assert sky_to_pixel(wcs, np.zeros(0), np.zeros(0))[0].shape == (0,)


def test_scales_are_measured_on_the_sky():
    car = make_wcs((100, 100), ra_deg=30, dec_deg=60, pixel_scale_arcsec=30, projection="CAR")
    assert pixel_scales_arcsec(car, (100, 100)) == pytest.approx((30, 15), rel=1e-3)
    assert pixel_to_sky(car, 49.5, 49.5) == pytest.approx((30, 60), abs=1e-9)


@pytest.mark.parametrize("projection", ["CAR", "CEA"])
def test_area_of_a_cylindrical_map(projection):
    """A band of the sphere between two declinations has the area (ra range) (sin d2 - sin d1)."""
    shape = (600, 400)
    wcs = make_wcs(shape, ra_deg=0, dec_deg=50, pixel_scale_arcsec=60, projection=projection)
    edges = pixel_to_sky(wcs, np.array([-0.5, shape[0] - 0.5]), 199.5)[1]
    band = np.degrees(np.diff(np.sin(np.radians(edges)))[0]) * shape[1] / 60
    assert sky_area_deg2(wcs, np.ones(shape, bool)) == pytest.approx(band, rel=1e-4)
    half = np.zeros(shape, bool)
    half[:, ::2] = True
    assert sky_area_deg2(wcs, half) == pytest.approx(band / 2, rel=1e-4)


def test_pixel_area_of_a_tangent_plane():
    """TAN pixels shrink on the sky as cos^3 of the distance from the centre."""
    wcs = make_wcs((3001, 3001), ra_deg=10, dec_deg=30, pixel_scale_arcsec=36)
    centre = SkyCoord(10, 30, unit="deg")
    ra, dec = pixel_to_sky(wcs, 0, 0)
    distance = centre.separation(SkyCoord(ra, dec, unit="deg")).rad
    assert pixel_area_deg2(wcs, 0, 0) == pytest.approx((36 * _ARCSEC) ** 2 * np.cos(distance) ** 3, rel=1e-5)
