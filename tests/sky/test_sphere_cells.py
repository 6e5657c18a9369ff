import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy_healpix import HEALPix, lonlat_to_healpix
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clusterjax.errors import InputError
from clusterjax.sky.cells import covering_cells, footprint_moc, natural_order, sample_map
from clusterjax.sky.fits.healpix_writing import write_partial_healpix
from clusterjax.sky.geometry import make_wcs
from clusterjax.sky.open_map import open_map
from clusterjax.sky.skymap import ProbabilityMap


def score_map_at(ra_deg, dec_deg, *, shape=(40, 50), scale_arcsec=120.0, projection="TAN", seed=0) -> ProbabilityMap:
    """Random scores with a hole, one window a pixel."""
    rng = np.random.default_rng(seed)
    score = rng.random(shape).astype(np.float32)
    score[10:20, 5:15] = np.nan
    wcs = make_wcs(shape, ra_deg=ra_deg, dec_deg=dec_deg, pixel_scale_arcsec=scale_arcsec, projection=projection)
    return ProbabilityMap(score, np.isfinite(score).astype(np.float32), wcs, 1, 1)


@settings(deadline=None, max_examples=12)
@example(ra=0.0, dec=27.0, scale=584.0, finer=-2, projection="TAN")  # a cell with seven neighbours
@given(
    ra=st.floats(0, 360, exclude_max=True), dec=st.floats(-90, 90), scale=st.floats(5, 900),
    finer=st.integers(-2, 1), projection=st.sampled_from(["TAN", "ZEA"]),
)  # fmt: skip
def test_every_cell_on_the_map_has_its_pixels_value(ra, dec, scale, finer, projection):
    """Of random cells around the map, all those whose centre lies on a scored pixel come, with its value."""
    scores = score_map_at(ra, dec, scale_arcsec=scale, projection=projection)
    order = natural_order(scale) + finer
    parts = list(sample_map(scores, [scores.score], order))
    cells, values = np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])[:, 0]
    assert (np.diff(cells) > 0).all()
    y, x = np.random.default_rng(1).uniform(-8, 58, (2, 2000))
    there = scores.pixel_to_sky(y, x)
    drawn = np.unique(lonlat_to_healpix(*(one * u.deg for one in there), 2**order, order="nested"))
    centre = HEALPix(2**order, order="nested").healpix_to_lonlat(drawn)
    inside, rows, columns = scores.nearest_pixel(*(one.to_value(u.deg) for one in centre))
    expected = np.where(inside, scores.score[rows, columns], np.nan)
    place = np.minimum(np.searchsorted(cells, drawn), len(cells) - 1)
    np.testing.assert_array_equal(np.where(cells[place] == drawn, values[place], np.nan), expected)


def test_hardly_a_pixel_is_lost():
    scores = score_map_at(100.0, 40.0, shape=(120, 120))
    values = np.concatenate([part for _, part in sample_map(scores, [scores.score], natural_order(120.0))])
    assert np.isin(scores.score[np.isfinite(scores.score)], values).mean() > 0.999
    assert natural_order(120.0) == 12  # 51.5", above 0.71 pixels is 103.1"


def test_footprint_has_the_area_that_was_searched():
    scores = score_map_at(359.9, 70.0, shape=(150, 150))
    moc = footprint_moc(scores, np.isfinite(scores.score), 12)
    assert moc.area_deg2 == pytest.approx(scores.area_deg2, rel=0.003)
    ra, dec = scores.pixel_to_sky(*np.indices(scores.shape))
    same = moc.contains(ra.ravel(), dec.ravel()) == np.isfinite(scores.score).ravel()
    assert same.mean() > 0.98
    assert not moc.contains([180.0], [70.0])[0]
    assert footprint_moc(scores, np.zeros(scores.shape, bool), 12).sky_fraction == 0


def test_covering_cells_of_a_map_of_the_whole_turn():
    scores = score_map_at(180.0, 0.0, shape=(20, 180), scale_arcsec=7200.0, projection="CAR")
    cells = covering_cells(scores, np.ones(scores.shape, bool), 2)
    ra, dec = scores.pixel_to_sky(*np.indices(scores.shape))
    needed = np.unique(lonlat_to_healpix(ra * u.deg, dec * u.deg, 4, order="nested"))
    assert set(needed) <= set(cells.tolist()) < set(range(192))


def test_partial_map_goes_round(tmp_path):
    """Written piece by piece, read by our own reader and by astropy; every column, and what made it."""
    scores = score_map_at(10.0, -30.0)
    planes = [scores.score, scores.score**2]
    order = natural_order(120.0)
    columns = {"SCORE": "the score", "PROBABILITY": "calibrated"}
    options = {"nside": 2**order, "columns": columns, "provenance": {"model": "tiny", "map": "m\u2019s.fits"}}
    number = write_partial_healpix(tmp_path / "map.fits", sample_map(scores, planes, order), **options)
    with fits.open(tmp_path / "map.fits") as hdus:
        hdus.verify("exception")
        header, table = hdus[1].header, hdus[1].data
        assert (header["ORDERING"], header["NSIDE"], header["INDXSCHM"]) == ("NESTED", 2**order, "EXPLICIT")
        assert (header["FIRSTPIX"], header["LASTPIX"]) == (table["PIXEL"][0], table["PIXEL"][-1])
        assert len(table) == number
        assert "model: tiny" in list(header["HISTORY"])
        np.testing.assert_allclose(table["PROBABILITY"], table["SCORE"] ** 2, rtol=1e-6)
    assert (tmp_path / "map.fits").stat().st_size % 2880 == 0
    reader = open_map([tmp_path / "map.fits[SCORE]"])
    centre = HEALPix(2**order, order="nested").healpix_to_lonlat(table["PIXEL"].astype(np.int64))
    ra, dec = (angle.to_value(u.deg) for angle in centre)
    inside, rows, columns = scores.nearest_pixel(ra, dec)
    assert inside.all()
    np.testing.assert_array_equal(reader.values(ra, dec)[:, 0], scores.score[rows, columns])


def test_an_order_that_there_is_not():
    scores = score_map_at(10.0, -30.0)
    with pytest.raises(InputError, match=r"healpix_order=30 must lie within \[0, 29\]"):
        next(sample_map(scores, [scores.score], 30))
