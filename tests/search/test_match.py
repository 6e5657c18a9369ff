import json

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.stats import binom_conf_interval
from astropy.table import Table

from clusterjax.errors import InputError
from clusterjax.search.match import completeness_curve, completeness_in_bins, match_detections, match_radii, summarise
from clusterjax.search.windows import WindowGrid
from clusterjax.sky.geometry import make_wcs
from clusterjax.sky.skymap import ProbabilityMap


@pytest.fixture
def scores():
    """A searched square of 192 x 192 grid pixels of 22", about a degree, with a strip that was not scored."""
    shape = (191 * 8 + 64,) * 2
    grid = WindowGrid(shape, 64, 8)
    wcs = grid.wcs(make_wcs(shape, ra_deg=0.0, dec_deg=60.0, pixel_scale_arcsec=2.75))
    score = np.zeros(grid.shape, np.float32)
    score[:, 180:] = np.nan
    return ProbabilityMap(score, np.ones(grid.shape, np.float32), wcs, 64, 8)


def _table(scores, grid_pixels, **columns):
    ra, dec = scores.wcs.all_pix2world(*np.array(grid_pixels, float).T[::-1], 0)
    return Table({"ra_deg": ra, "dec_deg": dec, **columns})


@pytest.fixture
def found_and_true(scores):
    sources = _table(
        scores,
        [(10, 10), (50, 60), (90, 90), (90, 92), (120, 185), (20, 150)],
        m500c_msun=[2e14, 4e14, 5e14, 3e14, 6e14, 1.2e14],
    )
    # Of the first; of the second of a near pair; of the one in the strip that was not scored; two of nothing.
    detections = _table(
        scores,
        [(10, 11), (90, 92), (120, 183), (150, 30), (160, 100)],
        log_odds=np.array([2.0, 5.0, 4.0, 3.0, 1.0]),
    )
    return detections, sources


def test_matches_are_told_on_both_sides(scores, found_and_true):
    matching = match_detections(*found_and_true, radius_arcmin=1.5, probability_map=scores)
    assert list(matching.detections["source_index"]) == [0, 3, 4, -1, -1]
    assert list(matching.sources["detection_index"]) == [0, -1, -1, 1, 2, -1]
    assert list(matching.sources["searched"]) == [True, True, True, True, False, True]
    pairs = matching.pairs()
    assert len(pairs) == 3
    assert list(pairs["source_m500c_msun"]) == [2e14, 3e14, 6e14]
    here = SkyCoord(pairs["ra_deg"], pairs["dec_deg"], unit="deg")
    there = SkyCoord(pairs["source_ra_deg"], pairs["source_dec_deg"], unit="deg")
    assert np.allclose(here.separation(there).arcmin, pairs["separation_arcmin"], atol=1e-9)
    assert pairs["separation_arcmin"][0] == pytest.approx(22 / 60, rel=1e-3)
    assert "source_index" not in found_and_true[0].colnames


def test_summary(scores, found_and_true):
    matching = match_detections(*found_and_true, radius_arcmin=1.5, probability_map=scores)
    summary = json.loads(json.dumps(summarise(matching, scores)))
    area = 192 * 180 * (22 / 3600) ** 2
    assert summary["area_deg2"] == pytest.approx(area, rel=1e-3)
    assert (summary["num_detections"], summary["num_true"], summary["num_false"]) == (5, 3, 2)
    assert (summary["num_sources"], summary["num_found"]) == (5, 2)  # the searched ones
    assert summary["completeness"] == pytest.approx(2 / 5)
    assert summary["purity"] == pytest.approx(3 / 5)
    assert summary["false_per_deg2"] == pytest.approx(2 / area, rel=1e-3)
    assert 0 <= summary["chance_match_rate"] < 0.1
    low, high = binom_conf_interval(2, 5, interval="jeffreys")
    assert (summary["completeness_low"], summary["completeness_high"]) == (pytest.approx(low), pytest.approx(high))


def test_completeness_by_mass(scores, found_and_true):
    matching = match_detections(*found_and_true, radius_arcmin=1.5, probability_map=scores)
    table = completeness_in_bins(matching, "m500c_msun", [1e14, 3e14, 6e14, 1e15])
    assert list(table["num_sources"]) == [2, 3, 0]
    assert list(table["num_found"]) == [1, 1, 0]
    assert list(table["completeness"][:2]) == [pytest.approx(1 / 2), pytest.approx(1 / 3)]
    assert np.isnan(table["completeness"][2])
    assert (table["completeness_low"][:2] < table["completeness"][:2]).all()
    with pytest.raises(InputError, match="no column 'mass'; they have ra_deg"):
        completeness_in_bins(matching, "mass", [0, 1])


def test_curve_over_thresholds(scores, found_and_true):
    detections, sources = found_and_true
    curve = completeness_curve(
        detections, sources, radius_arcmin=1.5, probability_map=scores, complete_for=sources["m500c_msun"] > 1.5e14
    )
    assert list(curve["log_odds"]) == [1, 2, 3, 4, 5]
    assert list(curve["num_detections"]) == [5, 4, 3, 2, 1]
    assert list(curve["completeness"]) == pytest.approx([2 / 4, 2 / 4, 1 / 4, 1 / 4, 1 / 4])
    assert list(curve["purity"]) == pytest.approx([3 / 5, 3 / 4, 2 / 3, 1, 1])
    assert list(curve["false_per_deg2"] * scores.area_deg2) == pytest.approx([2, 1, 1, 0, 0])
    assert curve["threshold"][0] == pytest.approx(1 / (1 + np.exp(-1)))


def test_what_a_cut_removes_takes_no_source(scores):
    """At the low threshold a nearer, weaker detection takes the source; above it, the strong one has it."""
    sources = _table(scores, [(50, 50)])
    detections = _table(scores, [(50, 53), (50, 51)], log_odds=np.array([6.0, 1.0]))
    curve = completeness_curve(detections, sources, radius_arcmin=1.5, probability_map=scores)
    assert list(curve["purity"]) == [0.5, 1.0]
    assert list(curve["completeness"]) == [1.0, 1.0]


def test_nothing_found_or_nothing_there(scores, found_and_true):
    detections, sources = found_and_true
    for few, many in ((detections[:0], sources), (detections, sources[:0]), (detections[:0], sources[:0])):
        matching = match_detections(few, many, radius_arcmin=1.5, probability_map=scores)
        summary = summarise(matching, scores)
        assert summary["num_true"] == summary["num_found"] == 0
        assert np.isnan(summary["completeness"]) == (len(many) == 0)
        assert np.isnan(summary["purity"]) == (len(few) == 0)
        assert len(matching.pairs()) == 0
        curve = completeness_curve(few, many, radius_arcmin=1.5, probability_map=scores)
        assert len(curve) == len(few)


def test_a_catalogue_without_positions(scores, found_and_true):
    with pytest.raises(InputError, match="no columns ra and dec; it has mass"):
        match_detections(found_and_true[0], Table({"mass": [1.0]}), radius_arcmin=1.5)


def test_radius_follows_the_extent_within_bounds():
    sources = Table({"ra_deg": [10.0] * 5, "dec_deg": [0.0] * 5, "theta500_arcmin": [0.8, 4.0, 5.0, 20.0, np.nan]})
    np.testing.assert_allclose(match_radii(sources, 1.5), [1.5, 2.0, 2.5, 3.0, 1.5])
    sources.remove_column("theta500_arcmin")
    np.testing.assert_allclose(match_radii(sources, 1.5), 1.5)
    assert len(match_radii(sources[:0], 1.5)) == 0


def test_every_source_has_its_own_radius():
    """Three detections 2' off three sources; only the wide one's counts."""
    sources = Table({"ra_deg": [10.0, 11.0, 12.0], "dec_deg": [0.0, 0.0, 0.0]})
    detections = Table({"ra_deg": [10.0 + 2 / 60, 11.0 + 2 / 60, 12.0 + 2 / 60], "dec_deg": [0.0, 0.0, 0.0]})
    matching = match_detections(detections, sources, radius_arcmin=np.array([1.5, 2.5, 1.5]))
    assert matching.source_is_found.tolist() == [False, True, False]
    with pytest.raises(InputError, match=r"match radius -1 arcmin must lie within"):
        match_detections(detections, sources, radius_arcmin=np.array([1.5, -1.0, 1.5]))
