"""Realisations of a map with clusters in it: where the catalogue says, apart from each other, the same for one seed."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from clusterjax.errors import InputError
from clusterjax.simulation.haloes import Haloes
from clusterjax.simulation.knobs import MicrowaveSky
from clusterjax.simulation.microwave import injection
from clusterjax.simulation.microwave.painting import inject_clusters
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


def test_some_injected_clusters_host_a_radio_galaxy():
    """As on simulated maps: a part of them, each of which fills the decrement in where it lies, and nothing else."""
    shape, number = (500, 500), 64
    wcs = make_wcs(shape, ra_deg=30.0, dec_deg=5.0, pixel_scale_arcsec=30.0)
    empty = SkyMap(np.zeros((*shape, 1), np.float32), wcs, np.ones(shape, bool), ("f150",), "uK_CMB")
    haloes = Haloes(np.full(number, 3e14), np.full(number, 0.7))
    y, x = (part.ravel() for part in np.meshgrid(30.0 + 58 * np.arange(8), 30.0 + 58 * np.arange(8)))
    sky = MicrowaveSky(radio_in_clusters=0.25)
    plain, filled = (
        inject_clusters(np.random.default_rng(4), sky, empty, haloes, y, x, with_radio=with_radio).data[..., 0]
        for with_radio in (False, True)
    )
    galaxies = filled - plain  # the clusters' own scatter is of the same draws
    cells = np.array(
        [galaxies[int(a) - 20 : int(a) + 21, int(b) - 20 : int(b) + 21] for a, b in zip(y, x, strict=True)]
    )
    light = cells.sum(axis=(1, 2)) * 0.25  # µK arcmin2
    hosts = light > 0.5 * 2 * 29.7  # half of the faintest, 2 mJy: 1 mJy is 29.7 µK arcmin2 at 150 GHz
    assert 7 <= hosts.sum() <= 26  # 16 +- 3.5
    assert light[hosts].min() > 0.9 * 2 * 29.7
    assert np.abs(light[~hosts]).max() < 5
