"""Overlapping survey tiles as one map."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from clusterjax.errors import InputError
from clusterjax.search.tiles import scan_tiles
from clusterjax.search.windows import WindowGrid
from clusterjax.sky.cutouts import extract_cutouts
from clusterjax.sky.geometry import make_wcs
from clusterjax.sky.open_map import open_map
from clusterjax.sky.skymap import ProbabilityMap
from clusterjax.sky.tile_folder import TileFolderReader

SIDE = 40
MIDDLES = [(ra, dec) for dec in (60.0, 60.55) for ra in (359.0, 0.1, 1.2)]  # 40' tiles, 33' apart
BANDS = ("W1", "W2")


def write_tiles(folder, hole=None):
    """Tiles whose W1 is their number, and W2 the number of the pixel, as unWISE names its files."""
    for number, (ra, dec) in enumerate(MIDDLES):
        place = folder / f"{number:03d}"
        place.mkdir(parents=True)
        header = make_wcs((SIDE, SIDE), ra_deg=ra, dec_deg=dec, pixel_scale_arcsec=60).to_header()
        header.update(UNW_VER="1", EPOCH=-1)
        data = np.full((SIDE, SIDE), number, np.float32)
        pixels = np.arange(SIDE**2, dtype=np.float32).reshape(SIDE, SIDE)
        if number == hole:
            data[10:20, 10:20] = np.nan
        for band, plane in enumerate((data, pixels), start=1):
            fits.writeto(place / f"unwise-{number:04d}-w{band}-img-m.fits", plane, header)
            fits.writeto(place / f"unwise-{number:04d}-w{band}-invvar-m.fits.gz", plane, header)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiles(tmp_path_factory.mktemp("tiles"))


def in_tiles(folder, ra, dec):
    """(tile, position) -> on the tile, y, x: by astropy alone."""
    found = []
    for number in range(len(MIDDLES)):
        wcs = WCS(fits.getheader(folder / f"{number:03d}" / f"unwise-{number:04d}-w1-img-m.fits")[:-2])
        x, y = np.rint(wcs.all_world2pix(ra, dec, 0, quiet=True))
        found.append([(x >= 0) & (x < SIDE) & (y >= 0) & (y < SIDE), y, x])
    return np.moveaxis(np.array(found), 1, 0)


def positions(count=3000):
    rng = np.random.default_rng(0)
    return rng.uniform(-2, 2.4, count) % 360, rng.uniform(59.6, 60.9, count)


def test_each_position_is_seen_once_in_the_tile_nearest_to_it(folder):
    reader = open_map([folder])
    assert isinstance(reader, TileFolderReader)
    assert (reader.bands, reader.units) == (BANDS, "nMgy (Vega)")
    assert reader.pixel_scale_arcsec == pytest.approx(60, rel=1e-3)
    ra, dec = positions()
    inside, y, x = in_tiles(folder, ra, dec)
    middles = SkyCoord(MIDDLES, unit="deg")
    away = middles[:, None].separation(SkyCoord(ra, dec, unit="deg")[None]).deg
    nearest = np.argmin(np.where(inside == 1, away, np.inf), axis=0)
    any_tile = inside.any(axis=0)
    pixel = (y * SIDE + x)[nearest, np.arange(len(ra))]
    truth = np.where(any_tile[:, None], np.stack([nearest, pixel], axis=1), np.nan)
    np.testing.assert_array_equal(reader.values(ra, dec), truth)
    assert 0.3 < any_tile.mean() < 0.9
    assert (inside.sum(axis=0) > 1).mean() > 0.1
    assert np.array_equal(reader.contains(ra, dec), any_tile)


def test_what_a_tile_does_not_have_comes_from_the_next(tmp_path):
    """A masked square of tile 1, and past the edges."""
    reader = open_map([write_tiles(tmp_path / "tiles", hole=1)], bands=BANDS)
    plain = open_map([write_tiles(tmp_path / "plain")], bands=("W2", "W1"))
    assert plain.bands == ("W2", "W1")
    ra, dec = positions()
    with_hole, without = reader.values(ra, dec), plain.values(ra, dec)[:, ::-1]
    changed = ~(with_hole == without).all(axis=1) & np.isfinite(without).all(axis=1)
    assert changed.any()
    assert (without[changed, 0] == 1).all()
    assert np.isfinite(with_hole[changed, 1]).all()  # W2 is there all the same
    window = reader.read_around(0.1, 60.0, 2 * SIDE)
    assert window.shape == (2 * SIDE, 2 * SIDE)
    own = window.data[SIDE // 2 : -SIDE // 2, SIDE // 2 : -SIDE // 2]
    np.testing.assert_array_equal(own[..., 1], np.arange(SIDE**2).reshape(SIDE, SIDE))
    assert set(np.unique(own[..., 0][np.isfinite(own[..., 0])])) <= {1.0}
    assert set(np.unique(window.data[..., 0][window.valid]).astype(int)) == {0, 1, 2, 3, 4, 5}
    there = window.pixel_to_sky(*np.indices(window.shape))
    outside = np.ones(window.shape, bool)
    outside[SIDE // 2 : -SIDE // 2, SIDE // 2 : -SIDE // 2] = False
    np.testing.assert_array_equal(window.data[outside], reader.values(there[0][outside], there[1][outside]))


def test_cutouts_are_whole_pixels_of_one_tile(folder):
    reader = open_map([folder])
    images, fraction = extract_cutouts(reader, [359.0, 359.1, 200.0], [60.0, 60.02, -30.0], 16)
    assert fraction.tolist() == [1, 1, 0]
    assert (images[:2, ..., 0] == 0).all()
    steps = np.diff(images[:2, ..., 1], axis=2), np.diff(images[:2, ..., 1], axis=1)
    assert (steps[0] == 1).all()
    assert (steps[1] == SIDE).all()


def test_the_folder_is_scanned_as_one_map(folder):
    """One grid over all tiles, each position from one of them."""
    reader = open_map([folder])

    def score_piece(piece, progress):
        grid = WindowGrid(piece.shape, 8, 8)
        return ProbabilityMap(piece.data[::8, ::8, 0], grid.valid_fraction(piece.valid), piece.wcs, 8, 8)

    scores = scan_tiles(score_piece, reader, size=8, stride=8, tile_pixels=64, progress=False)
    assert set(np.unique(scores.score[np.isfinite(scores.score)])) == {0, 1, 2, 3, 4, 5}
    ra, dec = reader.pixel_to_sky(np.arange(0, 80, 8)[:, None], np.arange(0, 80, 8))
    np.testing.assert_array_equal(scores.score[:10, :10].ravel(), reader.values(ra.ravel(), dec.ravel())[:, 0])


def test_folders_that_cannot_be(folder, tmp_path):
    with pytest.raises(InputError, match=r"holds no FITS images, nor is it a HiPS: it has no file 'properties'"):
        open_map([tmp_path])
    with pytest.raises(InputError, match=r"has no tile with all of the bands W1, W3"):
        open_map([folder], bands=("W1", "W3"))
    with pytest.raises(InputError, match=r"is no HiPS; give one folder with the tiles of all bands"):
        open_map([folder, folder])
    header = make_wcs((4, 4), ra_deg=1, dec_deg=2, pixel_scale_arcsec=60).to_header()
    header["BAND"] = "a"
    for name in ("one", "two"):
        fits.writeto(tmp_path / f"{name}.fits", np.eye(4, dtype=np.float32), header)
    with pytest.raises(InputError, match=r"one\.fits and .*two\.fits are of the same band a and place; remove one"):
        open_map([tmp_path])
    header.update(CRVAL1=30.0, CDELT1=-0.1, CDELT2=0.1)
    fits.writeto(tmp_path / "two.fits", np.eye(4, dtype=np.float32), header, overwrite=True)
    with pytest.raises(InputError, match=r'has tiles of 60\.000" and 360\.\d+" pixels; give one kind'):
        open_map([tmp_path])
