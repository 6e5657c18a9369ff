"""Injections with a finder and a map that are made up, so that the probability of being found is a closed form."""

import dataclasses

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table
from scipy import signal, stats

from clusterjax.errors import InputError
from clusterjax.odds import logistic
from clusterjax.search import inject as module
from clusterjax.search.inject import Finder, Injections, inject_and_find, make_targets
from clusterjax.sky.geometry import make_wcs
from clusterjax.sky.skymap import ProbabilityMap, SkyMap

SIDE, SIGMA = 320, 2.5
MASSES, REDSHIFTS = (2e14, 4e14, 6e14), (0.3, 0.6)


def template():
    y, x = np.mgrid[-11:12, -11:12]
    shape = np.exp(-(y**2 + x**2) / (2 * SIGMA**2))
    return shape / np.sqrt((shape**2).sum())  # the S/N of amplitude 1 in white noise of 1 is 1


def score(sky):
    """A matched filter for the template in white noise of 1; log-odds are its S/N."""
    snr = signal.fftconvolve(sky.data[..., 0].astype(float), template(), mode="same")
    return ProbabilityMap.from_log_odds(snr, sky)


FINDER = Finder("made_up", score, threshold=float(logistic(np.array(5.0))), lowest_threshold=0.9,
                min_separation_arcmin=4.0, smoothing_pixels=0)  # fmt: skip


def paint(rng, sky, clusters, y, x):
    """The template on the nearest pixel, of an S/N of the mass in 1e14."""
    data = np.zeros(sky.data.shape, np.float32)
    rows, columns = np.rint(y).astype(int), np.rint(x).astype(int)
    data[rows, columns, 0] = np.asarray(clusters["m500c_msun"]) / 1e14
    data[..., 0] = signal.fftconvolve(data[..., 0], template().astype(np.float32), mode="same")
    return dataclasses.replace(sky, data=sky.data + data)


@pytest.fixture(scope="module")
def sky():
    data = np.random.default_rng(0).normal(size=(SIDE, SIDE, 1)).astype(np.float32)
    wcs = make_wcs((SIDE, SIDE), ra_deg=30.0, dec_deg=5.0, pixel_scale_arcsec=30.0)
    return SkyMap(data, wcs, np.ones((SIDE, SIDE), bool), ("band",), "uK_CMB")


@pytest.fixture(scope="module")
def base(sky):
    scored = score(sky)
    scored.score[:, :40] = np.nan  # not searched
    return scored


def injections(base, per_cell=40, **changes):
    targets = make_targets(MASSES, REDSHIFTS, per_cell, seed=0)
    values = {"separation_arcmin": 12.0, "match_radius_arcmin": 2.0, **changes}
    return Injections(targets, base, **values)


@pytest.fixture(scope="module")
def found(sky, base):
    return inject_and_find(sky, injections(base), paint, [FINDER], {"made_up": base}, progress=False)["made_up"]


def test_what_is_found_is_the_closed_form(found):
    """P(S/N > 5) of N(q, 1) at the centre; a little more of the highest nearby, sqrt(q^2 + 2) at most in the mean."""
    for mass in MASSES:
        cell = found[np.asarray(found["m500c_msun"]) == mass]
        least, most = (stats.norm.sf(5 - q) for q in (mass / 1e14, np.hypot(mass / 1e14, np.sqrt(2.0))))
        number = len(cell)
        assert number == 80
        error = np.sqrt(most * (1 - most) / number) + 1 / number
        assert least - 2.5 * error < np.mean(cell["found"]) < most + 2.5 * error


def test_what_is_measured(found):
    strong = found[np.asarray(found["m500c_msun"]) == 6e14]
    assert strong["searched"].all()
    assert np.mean(strong["log_odds"]) == pytest.approx(np.hypot(6, np.sqrt(1.5)), abs=0.3)
    # Of a Gaussian of such a sigma, seen at S/N q through its own filter: sqrt(2) sigma / q along each axis.
    expected = SIGMA * 0.5 * np.sqrt(2) / 6
    assert np.sqrt(np.mean(np.asarray(strong["separation_arcmin"]) ** 2) / 2) == pytest.approx(expected, rel=0.35)
    assert np.isnan(strong["extent_arcmin"]).all()  # this finder has no window that it would be measured in
    assert np.median(strong["significance"]) == pytest.approx(6.2, abs=0.6)
    assert np.isnan(found["log_odds"]).any()  # some have nothing above the lowest threshold near
    assert not np.asarray(found["found"])[np.isnan(found["log_odds"])].any()


def test_positions_keep_apart_and_cover_the_footprint_evenly(found, sky, base):
    for number in set(found["round"]):
        rows = found[found["round"] == number]
        there = SkyCoord(rows["ra_deg"], rows["dec_deg"], unit="deg")
        apart = there[:, None].separation(there[None, :]).arcmin[~np.eye(len(rows), dtype=bool)]
        assert apart.min() > 12
    y, x = sky.sky_to_pixel(np.array(found["ra_deg"]), np.array(found["dec_deg"]))
    assert x.min() > 39.4  # where nothing was scored
    assert stats.kstest(y, "uniform", (-0.5, SIDE)).pvalue > 0.01
    assert stats.kstest(x, "uniform", (39.5, SIDE - 40)).pvalue > 0.01
    assert len(found) == 240
    grid = np.unique(np.stack([found["m500c_msun"], found["redshift"]]), axis=1, return_counts=True)
    assert (grid[1] == 40).all()


def test_what_is_avoided(sky, base):
    ra, dec = (np.array([value]) for value in sky.pixel_to_sky(160.0, 180.0))
    there = injections(base, avoid=[(ra, dec, 60.0)])
    _, placed = there.place(0, 0)
    distance = SkyCoord(ra, dec, unit="deg").separation(SkyCoord(placed["ra_deg"], placed["dec_deg"], unit="deg"))
    assert distance.arcmin.min() > 60
    assert there.excluded_fraction() == pytest.approx(np.pi * 1.0 / base.area_deg2, abs=0.03)
    with pytest.raises(InputError, match=r"no room for an injected cluster: .* 100% of them are near known"):
        injections(base, avoid=[(ra, dec, 400.0)]).place(0, 0)


def test_a_stopped_run_goes_on_where_it_was(sky, base, tmp_path, monkeypatch):
    small, bases = injections(base, per_cell=24), {"made_up": base}
    whole = inject_and_find(sky, small, paint, [FINDER], bases, progress=False)["made_up"]
    inject_and_find(sky, small, paint, [FINDER], bases, folder=tmp_path, max_rounds=2, progress=False)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["round_0000_made_up.fits", "round_0001_made_up.fits"]
    files[1].write_bytes(files[1].read_bytes()[:3000])  # torn
    scans = []

    def counting(other):
        scans.append(1)
        return score(other)

    again = inject_and_find(
        sky, small, paint, [dataclasses.replace(FINDER, score=counting)], bases, folder=tmp_path, progress=False
    )["made_up"]
    assert len(scans) == len(set(whole["round"])) - 1
    assert again.colnames == whole.colnames
    for name in whole.colnames:
        np.testing.assert_array_equal(again[name], whole[name])


def test_the_highest_detection_within_reach_counts():
    clusters = Table({"ra_deg": [10.0, 20.0], "dec_deg": [0.0, 0.0], "radius_arcmin": [2.0, 2.0]})
    detections = Table({"ra_deg": [10.01, 10.02, 10.05, 30.0], "dec_deg": [0.0] * 4, "log_odds": [3.0, 4.0, 9.0, 9.0]})
    assert module._highest_within(detections, clusters).tolist() == [1, -1]
    assert module._highest_within(detections[:0], clusters).tolist() == [-1, -1]


def test_what_an_injection_hides_counts_as_missed(sky, base):
    """A finder that masks what is bright: on the map without injections nothing is masked."""

    def shy(other):
        seen = score(other)
        seen.score[seen.score > logistic(np.array(5.5))] = np.nan
        return seen

    table = inject_and_find(
        sky, injections(base, per_cell=5), paint, [dataclasses.replace(FINDER, score=shy)], {"made_up": base},
        progress=False,
    )["made_up"]  # fmt: skip
    bright = table[np.asarray(table["m500c_msun"]) == 6e14]
    assert bright["searched"].all()
    assert np.mean(bright["found"]) < 0.9
