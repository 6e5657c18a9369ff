"""Units of maps: against astropy's, and against what magnitudes mean."""

import dataclasses

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits

from clusterjax.errors import InputError
from clusterjax.sky.fits import write_sky_map
from clusterjax.sky.geometry import make_wcs
from clusterjax.sky.header import image_units
from clusterjax.sky.open_map import open_map
from clusterjax.sky.skymap import SkyMap
from clusterjax.sky.units import ConvertedReader, conversion_factors, in_units, in_units_of

SCALE_ARCSEC = 2.75


def factor(given, wanted, band="W1", scale=SCALE_ARCSEC):
    factors = conversion_factors(given, wanted, bands=(band,), pixel_scale_arcsec=scale)
    return None if factors is None else float(factors[0])


@pytest.mark.parametrize("text", ["K_CMB", "K", "uK_CMB", "uK", "muK", "µK", "mK", "mK_CMB", "nK", "Kcmb", "kelvin"])
@pytest.mark.parametrize("wanted", ["uK_CMB", "K_CMB"])
def test_temperatures_are_astropys(text, wanted):
    def unit(name):
        name = name.lower().removesuffix("cmb").rstrip("_").removesuffix("elvin").replace("muk", "uk")
        return u.Unit(name[:-1] + "K")

    assert factor(text, wanted, band="f150") == pytest.approx(unit(text).to(unit(wanted)))


@pytest.mark.parametrize("band", ["W1", "w2", "W3", "W4"])
def test_counts_with_a_zero_point_keep_their_magnitude(band):
    """m = MAGZP - 2.5 log10(DN) = 22.5 - 2.5 log10(nMgy); AllWISE's atlas has 20.5, 19.5, 18 and 13."""
    magzp, counts = {"W1": 20.5, "W2": 19.5, "W3": 18.0, "W4": 13.0}[band.upper()], 321.0
    units = image_units({"BUNIT": "DN", "MAGZP": magzp})
    flux = counts * factor(units, "nMgy (Vega)", band)
    assert 22.5 - 2.5 * np.log10(flux) == pytest.approx(magzp - 2.5 * np.log10(counts))


@pytest.mark.parametrize(("band", "zero_jy", "offset"), [("W1", 309.540, 2.699), ("W2", 171.787, 3.339)])
def test_fluxes_of_wise_as_published(band, zero_jy, offset):
    """A star of Vega magnitude 0, a billion nanomaggies, has the published flux; m_AB = m_Vega + the offset."""
    assert factor("Jy/pixel", "nMgy (Vega)", band) * zero_jy == pytest.approx(1e9)
    assert factor("mJy / pix", "nMgy (Vega)", band) * zero_jy == pytest.approx(1e6)
    vega = factor("nanomaggy (AB)", "nanomaggies (Vega)", band)
    assert 2.5 * np.log10(vega) == pytest.approx(offset)
    assert factor("nMgy (Vega)", "nMgy (AB)", band) * vega == pytest.approx(1)
    pixel = (SCALE_ARCSEC * u.arcsec) ** 2
    for text in ("MJy/sr", "MJy sr-1"):
        jy = (1 * u.MJy / u.sr * pixel).to(u.Jy).value
        assert factor(text, "nMgy (Vega)", band) == pytest.approx(jy * 1e9 / zero_jy)
    assert factor("uJy", "Jy/pixel", band) == pytest.approx(1e-6)


def test_nanomaggies_of_no_system_are_the_others():
    assert factor("nanomaggies", "nMgy (Vega)", "g") == factor("nMgy", "nMgy (AB)", "g") == 1.0


@pytest.mark.parametrize(
    ("given", "wanted", "band"),
    [
        ("", "uK_CMB", "f150"), ("Jy/beam", "nMgy (Vega)", "W1"), ("K_RJ", "uK_CMB", "f150"), ("K (RJ)", "K", "f150"),
        ("DN", "nMgy (Vega)", "W1"), ("DN (MAGZP 20.5)", "nMgy (Vega)", "g"), ("MJy/sr", "uK_CMB", "f220"),
        ("nMgy", "uK_CMB", "W1"), ("nMgy (AB)", "nMgy (Vega)", "g"), ("Jy", "nMgy", "W1"), ("kg", "K", "W1"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_not_guessed(given, wanted, band):
    assert factor(given, wanted, band) is None


def test_units_of_each_band():
    options = {"bands": ("W1", "W2"), "pixel_scale_arcsec": SCALE_ARCSEC}
    two = "DN (MAGZP 20.5), DN (MAGZP 19.5)"
    np.testing.assert_allclose(conversion_factors(two, "nMgy (Vega)", **options), [10**0.8, 10**1.2])
    assert conversion_factors("K, K, K", "K", **options) is None
    assert conversion_factors("K, kg", "K", **options) is None
    np.testing.assert_allclose(conversion_factors("K, mK", "mK", **options), [1000, 1])


@pytest.fixture
def maps(tmp_path):
    """(in memory, on disk): W1 and W2 in AllWISE's units."""
    data = np.random.default_rng(0).normal(size=(30, 40, 2)).astype(np.float32)
    data[3, 4] = np.nan
    wcs = make_wcs((30, 40), ra_deg=30, dec_deg=5, pixel_scale_arcsec=SCALE_ARCSEC)
    sky = SkyMap(data, wcs, np.isfinite(data).all(axis=2), ("W1", "W2"), "DN (MAGZP 20.5), DN (MAGZP 19.5)")
    paths = [tmp_path / f"{band}.fits" for band in sky.bands]
    for index, (path, magzp) in enumerate(zip(paths, (20.5, 19.5), strict=True)):
        plane = dataclasses.replace(sky, data=data[..., index : index + 1], bands=sky.bands[index : index + 1])
        write_sky_map(path, dataclasses.replace(plane, units="DN"))
        with fits.open(path, mode="update") as hdus:
            hdus[0].header["MAGZP"] = magzp
    return sky, open_map(paths)


def test_a_map_is_converted_however_it_is_read(maps):
    sky, reader = maps
    assert reader.units == sky.units
    whole, converted = in_units(sky, "nMgy (Vega)"), in_units(reader, "nMgy (Vega)")
    expected = sky.data * np.array([10**0.8, 10**1.2], np.float32)
    assert isinstance(converted, ConvertedReader)
    assert whole.units == converted.units == "nMgy (Vega)"
    np.testing.assert_allclose(whole.data, expected, rtol=1e-6)
    np.testing.assert_array_equal(converted.pixels(-2, 5, 20, 20)[2:], whole.data[:18, 5:25])
    np.testing.assert_array_equal(converted.read(5, 6, 7, 8).data, whole.data[5:12, 6:14])
    assert converted.read(5, 6, 7, 8).units == "nMgy (Vega)"
    ra, dec = sky.pixel_to_sky(np.array([3, 10]), np.array([4, 20]))
    np.testing.assert_array_equal(converted.values(ra, dec), whole.data[[3, 10], [4, 20]])
    assert converted.contains(ra, dec).tolist() == [False, True]
    np.testing.assert_array_equal(converted.windows_around(ra, dec, 5), whole.windows_around(ra, dec, 5))
    around = converted.read_around(float(ra[1]), float(dec[1]), 5)
    np.testing.assert_array_equal(around.data, whole.data[8:13, 18:23])
    assert converted.pixel_scale_arcsec == pytest.approx(SCALE_ARCSEC)
    assert in_units(reader, reader.units) is reader
    assert in_units(reader, "uK_CMB") is None


def test_maps_that_go_together(maps):
    _, reader = maps
    assert in_units_of(reader, "") is reader
    with pytest.raises(InputError, match=r"is in DN \(MAGZP 20\.5\), .* which cannot be converted to uK_CMB"):
        in_units_of(reader, "uK_CMB")
