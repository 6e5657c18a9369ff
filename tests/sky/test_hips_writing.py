import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy_healpix import HEALPix
from mocpy import MOC
from PIL import Image

from clusterjax.errors import InputError
from clusterjax.sky.hips import HipsReader
from clusterjax.sky.hips_writing import write_hips
from clusterjax.sky.open_map import open_map
from tests.sky.test_sphere_cells import score_map_at

OPTIONS = {"title": "score of tiny", "software": "clusterjax 1", "date": "2026-11-22T01:02:03+00:00",
           "provenance": {"model": "tiny", "map": "a\nb"}}  # fmt: skip


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """(score map, folder) of a HiPS of order 4, whose cells of 25.8" are of order 13."""
    scores = score_map_at(83.0, 22.0, scale_arcsec=50.0)
    folder = tmp_path_factory.mktemp("hips") / "score"
    assert write_hips(folder, scores, scores.score, cell_order=13, **OPTIONS) == 4
    return scores, folder


def test_our_reader_gives_the_map_back(tree):
    scores, folder = tree
    reader = open_map([folder])
    assert isinstance(reader, HipsReader)
    ra, dec = scores.pixel_to_sky(*np.indices(scores.shape))
    found = reader.values(ra.ravel(), dec.ravel())[:, 0].reshape(scores.shape)
    np.testing.assert_array_equal(found, scores.score)
    away = reader.values(np.array([83.0, 200.0]), np.array([-60.0, 22.0]))
    assert np.isnan(away).all()


def test_upper_orders_are_means_of_four(tree):
    """Cell by cell, by astropy-healpix's own numbering."""
    _, folder = tree
    fine, coarse = (HipsReader([folder], pixel_scale_arcsec=scale) for scale in (None, 60.0))
    assert (fine.nside, coarse.nside) == (8192, 4096)
    centre = HEALPix(4096, order="nested").lonlat_to_healpix(83.0 * u.deg, 22.0 * u.deg)
    cells = np.arange(centre - 300, centre + 300)
    children = fine.cell_values((4 * cells[:, None] + np.arange(4)).ravel())[:, 0].reshape(-1, 4)
    known = np.isfinite(children).any(axis=1)
    assert known.sum() > 100
    expected = np.nanmean(children[known], axis=1)
    np.testing.assert_allclose(coarse.cell_values(cells)[known, 0], expected, rtol=1e-6)
    assert np.isnan(coarse.cell_values(cells)[~known]).all()


def test_properties_has_all_that_the_standard_demands(tree):
    """IVOA HiPS 1.0, table 4: the keywords marked as required, and those that this tree needs to be shown rightly."""
    scores, folder = tree
    lines = [line.split(" = ", 1) for line in (folder / "properties").read_text().splitlines()]
    values = {key.strip(): value for key, value in lines}
    for key in ("creator_did", "obs_title", "dataproduct_type", "hips_version", "hips_release_date", "hips_status",
                "hips_frame", "hips_order", "hips_tile_format"):  # fmt: skip
        assert values[key]
    assert values["hips_version"] == "1.4"
    assert values["hips_release_date"] == "2026-11-22T01:02Z"
    assert (values["hips_frame"], values["hips_order"], values["hips_tile_width"]) == ("equatorial", "4", "512")
    assert set(values["hips_tile_format"].split()) == {"fits", "png"}
    assert (values["hips_pixel_cut"], values["dataproduct_type"]) == ("0 1", "image")
    assert float(values["hips_initial_ra"]) == pytest.approx(83.0, abs=0.01)
    assert float(values["moc_sky_fraction"]) * 41252.96 == pytest.approx(scores.area_deg2, rel=0.01)
    moc = MOC.load(str(folder / "Moc.fits"), "fits")
    assert moc.sky_fraction == pytest.approx(float(values["moc_sky_fraction"]), rel=1e-4)


def test_each_tile_is_there_as_fits_and_as_picture(tree):
    _, folder = tree
    tiles = sorted(folder.glob("Norder*/Dir*/Npix*.fits"))
    assert {tile.parts[-3] for tile in tiles} == {"Norder3", "Norder4"}
    for tile in tiles:
        number = int(tile.stem.removeprefix("Npix"))
        assert tile.parent.name == f"Dir{number // 10000 * 10000}"
        with fits.open(tile) as hdus:
            hdus.verify("exception")
            pixels = hdus[0].data
            assert (hdus[0].header["NPIX"], f"Norder{hdus[0].header['ORDER']}") == (number, tile.parts[-3])
        with Image.open(tile.with_suffix(".png")) as image:
            picture = np.asarray(image)[::-1]  # a picture's first row is its top
        assert picture.shape == (512, 512, 2)
        known = np.isfinite(pixels)
        np.testing.assert_array_equal(picture[..., 1] == 255, known)
        np.testing.assert_allclose(picture[known, 0] / 255, pixels[known], atol=0.51 / 255)


def test_allsky_shows_all_tiles_of_order_3(tree):
    _, folder = tree
    allsky = fits.getdata(folder / "Norder3" / "Allsky.fits")[::-1]
    assert allsky.shape == (29 * 64, 27 * 64)
    seen = 0
    for number in range(768):
        row, column = divmod(number, 27)
        thumbnail = allsky[64 * row : 64 * (row + 1), 64 * column : 64 * (column + 1)]
        tile = folder / "Norder3" / "Dir0" / f"Npix{number}.fits"
        if not tile.exists():
            assert np.isnan(thumbnail).all()
            continue
        seen += 1
        blocks = fits.getdata(tile)[::-1].reshape(64, 8, 64, 8).swapaxes(1, 2).reshape(64, 64, 64)
        known = np.isfinite(blocks).any(axis=2)
        np.testing.assert_array_equal(np.isfinite(thumbnail), known)
        np.testing.assert_allclose(thumbnail[known], np.nanmean(blocks[known], axis=1), rtol=1e-5)
    assert seen >= 1
    with Image.open(folder / "Norder3" / "Allsky.png") as picture:
        assert picture.size == (27 * 64, 29 * 64)


def test_a_tree_is_replaced_when_the_new_one_is_whole(tmp_path):
    scores = score_map_at(83.0, 22.0, shape=(30, 30))
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "stale").touch()
    write_hips(tmp_path / "tree", scores, scores.score, cell_order=5, **OPTIONS)
    assert not (tmp_path / "tree" / "stale").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["tree"]
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        write_hips(tmp_path / "file" / "tree", scores, scores.score, cell_order=5, **OPTIONS)
