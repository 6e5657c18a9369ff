import gzip
import warnings

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from clusterjax.errors import InputError
from clusterjax.sky.fits import (
    read_image,
    read_probability_map,
    read_sky_map,
    write_probability_map,
    write_sky_map,
)
from clusterjax.sky.geometry import make_wcs, strided_wcs
from clusterjax.sky.skymap import ProbabilityMap, SkyMap

SHAPE = (12, 20)


@pytest.fixture
def pixels():
    return np.random.default_rng(1).normal(size=(2, *SHAPE)).astype(np.float32)


@pytest.fixture
def header():
    return make_wcs(SHAPE, ra_deg=30, dec_deg=5, pixel_scale_arcsec=2.75).to_header()


def _write(path, data, header, **cards):
    header = header.copy()
    header.update(cards)
    fits.writeto(path, data, header)
    return path


def _centre(sky: SkyMap) -> SkyCoord:
    return SkyCoord(*sky.pixel_to_sky((sky.shape[0] - 1) / 2, (sky.shape[1] - 1) / 2), unit="deg")


@pytest.mark.parametrize("kind", [">f4", ">f8", "<f4", ">i2", "u1"])
def test_every_number_becomes_native_float32(tmp_path, header, kind):
    data = np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(kind)
    sky = read_sky_map([_write(tmp_path / "a.fits", data, header, BUNIT="nMgy")])
    assert sky.data.dtype == np.dtype("=f4")
    assert sky.data.dtype.isnative
    assert sky.data.flags["C_CONTIGUOUS"]
    assert np.array_equal(sky.data[..., 0], data.astype(np.float32))
    assert (sky.units, sky.bands, sky.shape) == ("nMgy", ("a",), SHAPE)
    assert sky.pixel_scale_arcsec == pytest.approx(2.75, rel=1e-6)
    assert sky.area_deg2 == pytest.approx(np.prod(SHAPE) * (2.75 / 3600) ** 2, rel=1e-6)


def test_polarised_maps_give_their_first_plane(tmp_path, header):
    """One file a band, each with I, Q, U. Asked for other bands than files, all planes are bands."""
    stokes = np.random.default_rng(3).normal(size=(2, 3, *SHAPE)).astype(np.float32)
    files = [_write(tmp_path / f"f{i}.fits", planes, header) for i, planes in enumerate(stokes)]
    sky = read_sky_map(files, bands=("f090", "f150"))
    assert sky.bands == ("f090", "f150")
    np.testing.assert_array_equal(sky.data, np.moveaxis(stokes[:, 0], 0, -1))
    assert read_sky_map(files, bands=tuple("abcdef")).data.shape == (*SHAPE, 6)
    with pytest.raises(InputError, match="has 3 bands"):
        read_sky_map(files[:1], bands=("f090",))


def test_blank_integers_and_infinities_are_not_valid(tmp_path, header):
    data = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    sky = read_sky_map([_write(tmp_path / "blank.fits", data, header, BLANK=7)])
    assert np.array_equal(np.argwhere(~sky.valid), [[0, 7]])
    floats = data.astype(np.float32)
    floats[3, 4] = np.inf
    sky = read_sky_map([_write(tmp_path / "inf.fits", floats, header)])
    assert np.array_equal(np.argwhere(~sky.valid), [[3, 4]])
    assert np.isnan(sky.data[3, 4, 0])


@pytest.mark.parametrize("third_axis", [None, "FREQ", "STOKES", ""])
def test_cube_and_one_file_a_band_are_the_same_map(tmp_path, pixels, header, third_axis):
    cards = {} if third_axis is None else {"CTYPE3": third_axis, "CRVAL3": 1.0, "CDELT3": 1.0, "WCSAXES": 3}
    cube = _write(tmp_path / "cube.fits.gz", pixels, header, BAND0="W1", BAND1="W2", **cards)
    planes = [_write(tmp_path / f"w{i + 1}.fits", pixels[i], header, BAND=f"W{i + 1}") for i in (0, 1)]
    one, two = read_sky_map([cube]), read_sky_map(planes, bands=["W1", "W2"])
    for sky in (one, two):
        assert sky.bands == ("W1", "W2")
        assert np.array_equal(sky.data, np.moveaxis(pixels, 0, -1))
        assert sky.wcs.naxis == 2
    assert _centre(one).separation(_centre(two)).arcsec < 1e-6
    assert _centre(one).separation(SkyCoord(30, 5, unit="deg")).arcsec < 1e-6


def test_files_in_the_wrong_order_are_told_by_their_own_names(tmp_path, pixels, header):
    planes = [_write(tmp_path / f"w{i + 1}.fits", pixels[i], header, BAND=f"W{i + 1}") for i in (1, 0)]
    assert np.array_equal(read_sky_map(planes, bands=["W1", "W2"]).data, np.moveaxis(pixels, 0, -1))


def test_band_on_the_first_fits_axis(tmp_path, pixels, header):
    """Some cubes have the spectral axis first, and their sky on axes 2 and 3."""
    moved = {"CTYPE1": "FREQ", "CRPIX1": 1.0, "CRVAL1": 1.0, "CDELT1": 1.0, "WCSAXES": 3}
    for old, new in ((2, 3), (1, 2)):
        for key in ("CTYPE", "CRPIX", "CRVAL", "CDELT", "CUNIT"):
            moved[f"{key}{new}"] = header[f"{key}{old}"]
    del header["C*"]
    path = _write(tmp_path / "first.fits", np.moveaxis(pixels, 0, -1), header, **moved)
    sky = read_sky_map([path])
    assert np.array_equal(sky.data, np.moveaxis(pixels, 0, -1))
    assert _centre(sky).separation(SkyCoord(30, 5, unit="deg")).arcsec < 1e-6


@pytest.mark.parametrize("compressed", [False, True])
def test_extensions(tmp_path, pixels, header, compressed):
    kind = fits.CompImageHDU if compressed else fits.ImageHDU
    options = {"compression_type": "GZIP_2", "quantize_level": 0} if compressed else {}
    images = [kind(pixels[i], header, name=f"W{i + 1}", **options) for i in (0, 1)]
    table = fits.BinTableHDU.from_columns([fits.Column("a", "E", array=[1.0])])
    path = tmp_path / "many.fits"
    fits.HDUList([fits.PrimaryHDU(), table, *images]).writeto(path)
    assert np.array_equal(read_sky_map([path], bands=["w1", "w2"]).data, np.moveaxis(pixels, 0, -1))
    assert np.array_equal(read_sky_map([f"{path}[W2]", f"{path}[2]"]).data[..., 0], pixels[1])
    assert np.array_equal(read_sky_map([path]).data[..., 0], pixels[0])
    with pytest.raises(InputError, match=r"no image extension 'W3'; it has W1, W2, 2, 3"):
        read_sky_map([f"{path}[W3]"])


def test_epoch_that_is_no_equinox(tmp_path, pixels, header):
    """unWISE's EPOCH = -1 would make astropy's frame FK4 at the year -1: half a degree off, or an exception."""
    del header["RADESYS"]
    for name, cards in {"a": {"EPOCH": -1}, "b": {"EPOCH": -1, "EQUINOX": 2000.0}, "c": {"EQUINOX": 0.0}}.items():
        sky = read_sky_map([_write(tmp_path / f"{name}.fits", pixels, header, **cards)])
        assert _centre(sky).separation(SkyCoord(30, 5, unit="deg")).arcsec < 1e-6
    b1950 = read_sky_map([_write(tmp_path / "d.fits", pixels, header, EPOCH=1950.0)])
    true = SkyCoord(30, 5, unit="deg", frame="fk4", equinox="B1950").icrs
    assert _centre(b1950).separation(true).arcsec < 1e-3


def test_map_round_trip(tmp_path, pixels, header):
    data = np.moveaxis(pixels, 0, -1).copy()
    data[2, 3] = np.nan
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN-SIP", "DEC--TAN-SIP"
    header.update(A_ORDER=2, A_2_0=1e-3, B_ORDER=2, B_1_1=2e-3)
    sky = SkyMap(data, WCS(header), np.isfinite(data).all(2), ("W1", "W2"), "nMgy (Vega)")
    write_sky_map(tmp_path / "map.fits.gz", sky, provenance={"seed": 3})
    back = read_sky_map([tmp_path / "map.fits.gz"])
    assert np.array_equal(back.data, data, equal_nan=True)
    assert np.array_equal(back.valid, sky.valid)
    assert (back.bands, back.units) == (sky.bands, sky.units)
    here, there = (SkyCoord(*each.pixel_to_sky(*np.indices(SHAPE)), unit="deg") for each in (sky, back))
    assert here.separation(there).arcsec.max() < 1e-6
    assert [path.name for path in tmp_path.iterdir()] == ["map.fits.gz"]


def test_score_map_round_trip_with_provenance(tmp_path, header):
    score = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    score[1, 2] = np.nan
    wcs = strided_wcs(WCS(header), 8, 31.5)
    scores = ProbabilityMap(score, np.ones((3, 4), np.float32), wcs, 64, 8, {"model": "baseline"})
    path = tmp_path / "score.fits"
    write_probability_map(path, scores, provenance={"checkpoint": "runs/" + "a" * 300, "date": "2030-01-02"})
    back = read_probability_map(path)
    assert np.array_equal(back.score, score, equal_nan=True)
    assert back.score.dtype.isnative
    assert (back.window_pixels, back.stride_pixels) == (64, 8)
    assert back.provenance == {"model": "baseline", "checkpoint": "runs/" + "a" * 300, "date": "2030-01-02"}
    for name in ("SCORE", "VALID_FRACTION"):  # as any other program sees it
        own = WCS(fits.getheader(path, name))
        here, there = (SkyCoord(*each.all_pix2world([0, 3], [0, 2], 0), unit="deg") for each in (own, wcs))
        assert here.separation(there).arcsec.max() < 1e-6
    with pytest.raises(InputError, match="is not a score map"):
        read_probability_map(_write(tmp_path / "other.fits", score, header))


def test_read_image_needs_no_wcs(tmp_path, pixels):
    fits.writeto(tmp_path / "plain.fits", pixels.astype(">f8"))
    assert np.array_equal(read_image(tmp_path / "plain.fits"), np.moveaxis(pixels, 0, -1))
    fits.writeto(tmp_path / "one.fits", pixels[0])
    assert read_image(tmp_path / "one.fits").shape == (*SHAPE, 1)


def _bad_files(folder, pixels, header):
    """name -> (files, bands, what the message says)."""
    good = _write(folder / "good.fits", pixels[0], header)
    no_wcs = folder / "no_wcs.fits"
    fits.writeto(no_wcs, pixels[0])
    spectrum = _write(folder / "linear.fits", pixels[0], fits.Header({"CTYPE1": "WAVE", "CTYPE2": "LINEAR"}))
    singular = _write(folder / "singular.fits", pixels[0], header, CDELT1=0.0)
    nan = _write(folder / "nan.fits", np.full(SHAPE, np.nan, np.float32), header)
    flat = _write(folder / "flat.fits", np.zeros(SHAPE, np.float32), header)
    shifted = _write(folder / "shifted.fits", pixels[1], header, CRVAL1=30.001)
    smaller = _write(folder / "smaller.fits", pixels[1, 1:], header)
    left, right = pixels[0].copy(), pixels[1].copy()
    left[:, :10], right[:, 10:] = np.nan, np.nan
    halves = [_write(folder / f"{name}.fits", data, header) for name, data in (("l", left), ("r", right))]
    cut = folder / "cut.fits"
    cut.write_bytes(good.read_bytes()[:3000])
    cut_header = folder / "cut_header.fits"
    cut_header.write_bytes(good.read_bytes()[:1000])
    cut_gz = folder / "cut.fits.gz"
    cut_gz.write_bytes(gzip.compress(good.read_bytes())[:-200])
    text = folder / "text.fits"
    text.write_text("not a FITS file\n" * 400)
    nothing = folder / "nothing.fits"
    nothing.write_bytes(b"")
    table = folder / "table.fits"
    fits.BinTableHDU.from_columns([fits.Column("a", "E", array=[1.0])]).writeto(table)
    return {
        "no wcs": ([no_wcs], None, r"no_wcs\.fits has no celestial WCS"),
        "not of the sky": ([spectrum], None, "has no celestial WCS"),
        "singular": ([singular], None, "WCS that cannot be used"),
        "band count": ([good], ["W1", "W2"], r"has 1 bands \(good\); 2 are needed: W1, W2"),
        "all nan": ([good, nan], None, r"band nan of .*nan\.fits has no valid pixel: all are NaN"),
        "empty": ([flat], None, "is empty: all its valid pixels are 0"),
        "other place": ([good, shifted], None, r"different grids, up to 1\.3 pixels apart"),
        "other shape": ([good, smaller], None, r"12 x 20 \(y, x\) pixels, .*smaller\.fits has 11 x 20"),
        "no pixel in common": (halves, None, "no pixel that is valid in all of the bands l, r"),
        "truncated data": ([cut], None, r"cut\.fits cannot be read as FITS: .*truncated"),
        "truncated header": ([cut_header], None, r"cut_header\.fits cannot be read as FITS"),
        "truncated gz": ([cut_gz], None, r"cut\.fits\.gz cannot be read as FITS"),
        "text": ([text], None, r"text\.fits cannot be read as FITS"),
        "no bytes": ([nothing], None, r"nothing\.fits cannot be read as FITS"),
        "table": ([table], None, r"table\.fits holds no image"),
        "missing": ([folder / "missing.fits"], None, r"missing\.fits does not exist"),
        "folder": ([folder], None, "is not a file"),
        "no files": ([], None, r"images=\[\] must be a list"),
        "one string": ("good.fits", None, "must be a list"),
    }


_BAD = (
    "no wcs", "not of the sky", "singular", "band count", "all nan", "empty", "other place", "other shape",
    "no pixel in common", "truncated data", "truncated header", "truncated gz", "text", "no bytes", "table",
    "missing", "folder", "no files", "one string",
)  # fmt: skip


@pytest.mark.parametrize("case", _BAD)
def test_bad_input_is_one_clear_error(tmp_path, pixels, header, case):
    paths, bands, message = _bad_files(tmp_path, pixels, header)[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as a user runs it: astropy only warns of a file that ends too early
        with pytest.raises(InputError, match=message) as raised:
            read_sky_map(paths, bands=bands)
    assert "\n" not in str(raised.value)


def test_writing_where_one_cannot(tmp_path, pixels, header):
    sky = SkyMap(np.moveaxis(pixels, 0, -1), WCS(header), np.ones(SHAPE, bool), ("W1", "W2"))
    with pytest.raises(InputError, match=r"missing/map\.fits cannot be written: No such file"):
        write_sky_map(tmp_path / "missing" / "map.fits", sky)


def test_a_failed_write_keeps_the_old_file(tmp_path, pixels, header, monkeypatch):
    sky = SkyMap(np.moveaxis(pixels, 0, -1), WCS(header), np.ones(SHAPE, bool), ("W1", "W2"))
    write_sky_map(tmp_path / "map.fits", sky)
    before = (tmp_path / "map.fits").read_bytes()

    def disk_full(self, path, **_):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fits.HDUList, "writeto", disk_full)
    with pytest.raises(InputError, match="No space left on device"):
        write_sky_map(tmp_path / "map.fits", sky)
    assert (tmp_path / "map.fits").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_unwise_coadds(shared_data):
    """Genuine headers: EPOCH = -1, no BUNIT, BAND as a number, a reference pixel far off the image."""
    folder = shared_data / "unwise/testcase4/images/unwise/186/1866p257"
    files = [folder / f"unwise-1866p257-w{band}-img-m.fits" for band in (2, 1)]
    sky = read_sky_map(files, bands=["W1", "W2"])
    assert (sky.shape, sky.units) == ((25, 25), "nMgy (Vega)")
    assert np.array_equal(sky.data[..., 0], fits.getdata(files[1]))
    assert sky.pixel_scale_arcsec == pytest.approx(2.75, rel=1e-3)
    header = fits.getheader(files[0])
    at_reference = SkyCoord(*sky.pixel_to_sky(header["CRPIX2"] - 1, header["CRPIX1"] - 1), unit="deg")
    assert at_reference.separation(SkyCoord(header["CRVAL1"], header["CRVAL2"], unit="deg")).arcsec < 1e-6
    epochs = shared_data / "unwise/testcase4/images/unwise-tr/e004/186/1866p257"
    assert read_sky_map([epochs / f"unwise-1866p257-w{band}-img-m.fits" for band in (1, 2)]).bands == ("W1", "W2")


def test_allwise_act_and_planck(shared_data):
    wise = read_sky_map([shared_data / f"wise/m74_wise_w{band}.fits" for band in (1, 2)], bands=["W1", "W2"])
    assert wise.shape == (400, 400)
    assert _centre(wise).separation(SkyCoord("01h36m41.75s +15d47m01.1s")).arcsec < 1
    act = read_sky_map([shared_data / "act_planck/act_planck_s08_s18_cmb_f150_night_map.fits"])
    assert (act.shape, act.bands) == ((60, 60), ("band1", "band2", "band3"))
    y, x = act.sky_to_pixel(19.98, 0.92)  # ACT-CL J0119.9+0055, 4.2' from the centre
    assert np.hypot(y - 29.5, x - 29.5) * 0.5 == pytest.approx(4.2, abs=1.5)
    planck = read_sky_map([shared_data / "planck143/maps/planck143_l325.9_b-7.0.fits"])
    assert planck.units == "K_CMB"
    norma = SkyCoord(l=325.17, b=-7.05, unit="deg", frame="galactic").icrs
    y, x = (round(float(pixel)) for pixel in planck.sky_to_pixel(norma.ra.deg, norma.dec.deg))
    near = np.hypot(*(np.indices(planck.shape) - np.array([y, x])[:, None, None]))
    temperature = planck.data[..., 0]
    dip = np.nanmean(temperature[near < 6]) - np.nanmean(temperature[(near > 12) & (near < 25)])
    assert dip * 1e6 == pytest.approx(-209, abs=15)
