"""Maps read by window: what a window holds is that part of the map, whatever the file is like."""

import gzip
import tracemalloc

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterjax.errors import InputError
from clusterjax.sky.cutouts import extract_cutouts
from clusterjax.sky.fits import open_images, read_sky_map
from clusterjax.sky.geometry import make_wcs
from clusterjax.sky.selection import draw_empty_positions

SHAPE = (37, 53)
KINDS = ("float", "scaled integers", "cube", "bands first", "compressed", "gzip", "gzip by another name", "no padding")


def _header(**cards):
    header = make_wcs(SHAPE, ra_deg=30, dec_deg=5, pixel_scale_arcsec=60).to_header()
    header.update(cards)
    return header


def _write(folder, kind):
    """(files, the map as two bands)."""
    data = np.random.default_rng(1).normal(size=(2, *SHAPE)).astype(np.float32)
    data[0, 3, 4], data[1, 9, :] = np.nan, np.inf
    truth = np.moveaxis(np.where(np.isfinite(data), data, np.nan), 0, -1)
    files = [folder / f"{kind}{index}.fits".replace(" ", "_") for index in (1, 2)]
    if kind == "cube":
        fits.writeto(files[0], data, _header())
        return files[:1], truth
    if kind == "bands first":
        wcs = make_wcs(SHAPE, ra_deg=30, dec_deg=5, pixel_scale_arcsec=60).to_header()
        moved = fits.Header({"CTYPE1": "FREQ", "CRPIX1": 1.0, "CRVAL1": 1.0, "CDELT1": 1.0, "WCSAXES": 3})
        for old, new in ((2, 3), (1, 2)):
            moved.update({f"{key}{new}": wcs[f"{key}{old}"] for key in ("CTYPE", "CRPIX", "CRVAL", "CDELT", "CUNIT")})
        fits.writeto(files[0], np.moveaxis(data, 0, -1), moved)
        return files[:1], truth
    for file, plane in zip(files, data, strict=True):
        if kind == "scaled integers":
            numbers = np.arange(plane.size, dtype=np.int16).reshape(SHAPE) - 300
            image = fits.PrimaryHDU(numbers, _header())
            image.header.update(BSCALE=0.5, BZERO=7.0, BLANK=-3)
            image.writeto(file)
            plane[:] = np.where(numbers == -3, np.nan, numbers * 0.5 + 7)
            truth = np.moveaxis(data, 0, -1)
        elif kind == "compressed":
            options = {"compression_type": "GZIP_2", "quantize_level": 0, "tile_shape": (5, 11)}
            fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(plane, _header(), **options)]).writeto(file)
        elif kind == "gzip by another name":
            fits.writeto(file, plane, _header())
            file.write_bytes(gzip.compress(file.read_bytes()))
        elif kind == "gzip":
            files[files.index(file)] = file.with_suffix(".fits.gz")
            fits.writeto(file.with_suffix(".fits.gz"), plane, _header())
        else:
            fits.writeto(file, plane, _header())
            if kind == "no padding":
                with fits.open(file) as hdus:
                    end = hdus[0].fileinfo()["datLoc"] + plane.nbytes
                file.write_bytes(file.read_bytes()[:end])
    return files, truth


@pytest.fixture(scope="module", params=KINDS)
def image(request, tmp_path_factory):
    """(reader, the map as an array)."""
    files, truth = _write(tmp_path_factory.mktemp("maps"), request.param)
    return open_images(files), truth


@settings(max_examples=25, deadline=None)
@given(st.integers(-60, 60), st.integers(-60, 60), st.integers(1, 40), st.integers(1, 40))
def test_a_window_is_that_part_of_the_map(image, y0, x0, ny, nx):
    reader, truth = image
    padded = np.pad(truth, [(100, 100), (100, 100), (0, 0)], constant_values=np.nan)
    window = reader.pixels(y0, x0, ny, nx)
    assert window.dtype == np.dtype("=f4")
    np.testing.assert_array_equal(window, padded[y0 + 100 : y0 + 100 + ny, x0 + 100 : x0 + 100 + nx])


def test_single_pixels_and_cutouts(image):
    reader, truth = image
    rng = np.random.default_rng(0)
    y, x = rng.integers(0, SHAPE[0], 200), rng.integers(0, SHAPE[1], 200)
    ra, dec = reader.pixel_to_sky(y + rng.uniform(-0.4, 0.4, 200), x + rng.uniform(-0.4, 0.4, 200))
    np.testing.assert_array_equal(reader.values(ra, dec), truth[y, x])
    assert np.array_equal(reader.contains(ra, dec), np.isfinite(truth[y, x]).all(axis=1))
    assert np.isnan(reader.values([210.0, np.nan], [-5.0, 0.0])).all()
    images, fraction = extract_cutouts(reader, ra, dec, 7)
    whole = reader.read(0, 0, *SHAPE)
    theirs, their_fraction = extract_cutouts(whole, ra, dec, 7)
    np.testing.assert_array_equal(images, theirs)
    np.testing.assert_array_equal(fraction, their_fraction)


def test_a_window_knows_where_it_lies(image):
    reader, truth = image
    window = reader.read(5, 11, 8, 6)
    assert (window.shape, window.bands, window.wcs.pixel_shape) == ((8, 6), reader.bands, (6, 8))
    here, there = ([float(angle) for angle in each] for each in (window.pixel_to_sky(3, 2), reader.pixel_to_sky(8, 13)))
    assert SkyCoord(*here, unit="deg").separation(SkyCoord(*there, unit="deg")).arcsec < 1e-6
    around = reader.read_around(*there, 9)
    assert around.shape == (9, 9)
    np.testing.assert_array_equal(around.data[4, 4], truth[8, 13])
    with pytest.raises(InputError, match=r"cannot show ra 210, dec -5: its projection ends before"):
        reader.read_around(210.0, -5.0, 9)


def test_whole_numbers_that_a_float32_cannot_tell_are_rounded_once(tmp_path):
    numbers = np.array([[2**24 + 1, 2**24 + 3], [5, 7]], np.int32)
    image = fits.PrimaryHDU(numbers, make_wcs((2, 2), ra_deg=30, dec_deg=5, pixel_scale_arcsec=60).to_header())
    image.header["BZERO"] = -(2**24)
    image.writeto(tmp_path / "map.fits")
    reader = open_images([tmp_path / "map.fits"])
    np.testing.assert_array_equal(reader.pixels(0, 0, 1, 2)[0, :, 0], [1, 3])


def test_polarised_maps_without_names_for_the_bands(tmp_path):
    stokes = np.random.default_rng(3).normal(size=(2, 3, *SHAPE)).astype(np.float32)
    for name, planes in zip(("f090", "f150"), stokes, strict=True):
        fits.writeto(tmp_path / f"{name}.fits", planes, _header())
    reader = open_images([tmp_path / "f090.fits", tmp_path / "f150.fits"])
    assert reader.bands == ("f090", "f150")
    np.testing.assert_array_equal(reader.pixels(0, 0, *SHAPE), np.moveaxis(stokes[:, 0], 0, -1))


def _write_turn(folder, columns=360, crval=0.0, crpix=None, cdelt=-1.0, rows=60):
    """A plate carree map, its pixels numbered."""
    header = fits.Header({"CTYPE1": "RA---CAR", "CTYPE2": "DEC--CAR", "CUNIT1": "deg", "CUNIT2": "deg"})
    header.update(CRVAL1=crval, CRVAL2=0.0, CDELT1=cdelt, CDELT2=1.0, CRPIX2=(rows + 1) / 2)
    header["CRPIX1"] = (columns + 1) / 2 if crpix is None else crpix
    data = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
    fits.writeto(folder / "turn.fits", data, header)
    return open_images([folder / "turn.fits"]), data


@pytest.mark.parametrize(("crval", "crpix"), [(0.0, None), (180.0, None), (0.0, 1.0), (77.0, 300.0)])
def test_a_map_of_the_whole_turn_goes_on_past_its_ends(tmp_path, crval, crpix):
    reader, data = _write_turn(tmp_path, crval=crval, crpix=crpix)
    window = reader.pixels(10, -7, 5, 20)
    np.testing.assert_array_equal(window[..., 0], np.roll(data, 7, axis=1)[10:15, :20])
    np.testing.assert_array_equal(reader.pixels(10, 355, 5, 730)[..., 0], np.tile(data, 4)[10:15, 355 : 355 + 730])
    # The sky of each column, by hand: one degree a column, leftwards.
    first = crval + (180.5 if crpix is None else crpix) - 1
    ra = (first - np.arange(360)) % 360
    np.testing.assert_array_equal(reader.values(ra, np.full(360, 0.2))[:, 0], data[30])
    images, fraction = extract_cutouts(reader, [ra[0], ra[359], ra[100]], [0.3] * 3, 9)
    assert fraction.tolist() == [1, 1, 1]
    for cutout, column in zip(images, (0, 359, 100), strict=True):
        np.testing.assert_array_equal(cutout[..., 0], np.roll(data, 180 - column, axis=1)[26:35, 176:185])
    around = reader.read_around(float(ra[0]), 0.3, 8)
    here = around.pixel_to_sky(4, np.arange(8))[0]
    np.testing.assert_array_equal(reader.values(here, np.full(8, 0.5))[:, 0], around.data[4, :, 0])


def test_part_of_a_turn_beyond_the_reference_points_own(tmp_path):
    """RA 150 to 249 counted from RA 0: astropy alone puts half of it a turn away, and knows no sky for its pixels."""
    reader, data = _write_turn(tmp_path, columns=100, crpix=250.0)
    assert reader.turn is None
    ra = 249.0 - np.arange(100)
    np.testing.assert_array_equal(reader.values(ra, np.full(100, 0.5))[:, 0], data[30])
    np.testing.assert_allclose(reader.pixel_to_sky(30, np.arange(100))[0], ra)
    assert np.isnan(reader.pixels(0, -3, 1, 3)).all()


def test_opening_and_cutting_take_no_memory_of_the_maps_size(sparse_map):
    shape = (8_000, 8_000)
    path = sparse_map("large.fits", shape, make_wcs(shape, ra_deg=30, dec_deg=5, pixel_scale_arcsec=2))
    reader = open_images([path])
    tracemalloc.start()
    ra, dec = reader.pixel_to_sky(*np.random.default_rng(0).uniform(100, 7_900, (2, 200)))
    images, fraction = extract_cutouts(reader, ra, dec, 64)
    draw_empty_positions(
        np.random.default_rng(0), reader, 500, known_ra_deg=ra, known_dec_deg=dec, exclusion_arcmin=0.1
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert images.shape == (200, 64, 64, 1)
    assert (fraction == 1).all()
    assert peak < 12e6  # of 256


def test_empty_positions_are_the_same_from_disk_and_from_memory(tmp_path):
    files, _ = _write(tmp_path, "float")
    reader = open_images(files)
    options = {"known_ra_deg": np.array([30.1]), "known_dec_deg": np.array([5.1]), "exclusion_arcmin": 5.0}
    drawn = [
        draw_empty_positions(np.random.default_rng(3), sky, 50, **options) for sky in (reader, read_sky_map(files))
    ]
    np.testing.assert_array_equal(drawn[0], drawn[1])
