"""Realisations of a map with clusters in it: where the catalogue says, apart from each other, the same for one seed."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from clusterjax.errors import InputError
from clusterjax.simulation.microwave import injection
from clusterjax.sky.catalogues import read_table
from clusterjax.sky.fits import read_sky_map, write_sky_map
from clusterjax.sky.geometry import make_wcs
from clusterjax.sky.skymap import SkyMap


@pytest.fixture
def path(tmp_path):
    """A map of 5 deg with a gap, in K."""
    data = np.random.default_rng(0).normal(scale=1e-7, size=(300, 320, 1)).astype(np.float32)
    data[:40, :60] = np.nan
    wcs = make_wcs((300, 320), ra_deg=30.0, dec_deg=5.0, pixel_scale_arcsec=60.0)
    write_sky_map(tmp_path / "real.fits", SkyMap(data, wcs, np.isfinite(data[..., 0]), ("143",), "K_CMB"))
    return tmp_path / "real.fits"


def run(path, folder, *options):
    injection.main([str(path), "--output", str(folder), "--bands", "143", *map(str, options)])


def test_realisations(path, tmp_path, capsys):
    run(path, tmp_path / "out", "--clusters", 6, "--realisations", 3, "--separation_arcmin", 40)
    assert "3 maps with 6 clusters each" in capsys.readouterr().out
    catalogue = read_table(tmp_path / "out" / "catalogue.ecsv")
    assert sorted(set(catalogue["map"])) == [f"real_{number:03d}.fits" for number in range(3)]
    assert (catalogue["m500c_msun"] >= 6e14).all()
    before = read_sky_map([path], bands=("143",))
    for name in set(catalogue["map"]):
        after = read_sky_map([tmp_path / "out" / name], bands=("143",))
        rows = catalogue[catalogue["map"] == name]
        sky = SkyCoord(rows["ra_deg"], rows["dec_deg"], unit="deg")
        assert sky[:, None].separation(sky[None, :]).arcmin[~np.eye(6, dtype=bool)].min() > 40
        added = after.data[..., 0] - before.data[..., 0]
        y, x = before.sky_to_pixel(np.array(rows["ra_deg"]), np.array(rows["dec_deg"]))
        at = added[np.rint(y).astype(int), np.rint(x).astype(int)]
        assert (at < -1e-5).all()  # tens of µK
        far = np.min(np.hypot(*(np.indices(added.shape)[:, None] - np.array([y, x])[..., None, None])), axis=0) > 60
        assert np.nanmax(np.abs(added[far])) < 0.1 * np.abs(at).min()


def test_the_same_seed_injects_the_same(path, tmp_path):
    for folder, seed in (("one", 0), ("again", 0), ("other", 1)):
        run(path, tmp_path / folder, "--clusters", 3, "--realisations", 1, "--seed", seed)
    one, again, other = (read_table(tmp_path / name / "catalogue.ecsv") for name in ("one", "again", "other"))
    assert one["ra_deg"].tolist() == again["ra_deg"].tolist()
    assert one["ra_deg"].tolist() != other["ra_deg"].tolist()
    maps = (read_sky_map([tmp_path / name / "real_000.fits"]).data for name in ("one", "again"))
    np.testing.assert_array_equal(*maps)


def test_known_clusters_are_kept_away_from(path, tmp_path):
    (tmp_path / "known.csv").write_text("ra,dec\n30.0,5.0\n")
    options = ("--clusters", 5, "--realisations", 4, "--known", tmp_path / "known.csv", "--separation_arcmin", 45)
    run(path, tmp_path / "out", *options)
    catalogue = read_table(tmp_path / "out" / "catalogue.ecsv")
    separation = SkyCoord(30, 5, unit="deg").separation(SkyCoord(catalogue["ra_deg"], catalogue["dec_deg"], unit="deg"))
    assert separation.arcmin.min() > 45


def test_too_many_clusters(path, tmp_path):
    with pytest.raises(InputError, match=r"no room for 500 clusters 30 arcmin apart; \d+ fit"):
        run(path, tmp_path / "out", "--clusters", 500)
