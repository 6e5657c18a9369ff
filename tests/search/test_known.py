import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterjax.search.known import KnownObjects, chance_probability, mark_known
from clusterjax.sky.offset_skies import offset_separations

RADIUS = 3.0


def _inside(ra, dec):
    return (ra > 100) & (ra < 130) & (np.abs(dec) < 12)


def _uniform(rng, number):
    dec = np.degrees(np.arcsin(rng.uniform(-np.sin(np.radians(12)), np.sin(np.radians(12)), number)))
    return Table({"ra_deg": rng.uniform(100, 130, number), "dec_deg": dec})


def _catalogue(positions, redshift=None, kind="spec", label="cat"):
    number = len(positions)
    table = Table(positions, copy=True)
    table["name"] = [f"{label}{row}" for row in range(number)]
    table["redshift"] = np.full(number, np.nan) if redshift is None else redshift
    table["redshift_kind"] = np.full(number, kind)
    return table


def test_chance_is_what_a_poisson_sky_expects():
    """Of a Poisson sky of density n, 1 - exp(-pi n s^2) of random positions have an object within s."""
    rng = np.random.default_rng(0)
    candidates, objects = _uniform(rng, 800), _uniform(rng, 9000)
    area_arcmin2 = 30 * 2 * np.degrees(np.sin(np.radians(12))) * 3600
    offsets = offset_separations(candidates, objects, radius_arcmin=RADIUS, inside=_inside)
    assert len(offsets) > 10_000
    separation = np.array([0.3, 1.0, 2.0, 3.0])
    expected = 1 - np.exp(-np.pi * 9000 / area_arcmin2 * separation**2)
    tolerance = 4 * np.sqrt(expected / len(offsets)) + 0.03 * expected  # counting errors; the catalogue's own
    assert (np.abs(chance_probability(separation, offsets) - expected) < tolerance).all()
    # True pairs are no chance: a catalogue against itself gives the same.
    own = offset_separations(objects[:800], objects, radius_arcmin=RADIUS, inside=_inside)
    assert (np.abs(chance_probability(separation, own) - expected) < tolerance).all()


def test_offset_positions_stay_inside():
    rng = np.random.default_rng(1)
    seen = []

    def inside(ra, dec):
        seen.append((ra, dec))
        return _inside(ra, dec)

    offsets = offset_separations(_uniform(rng, 30), _uniform(rng, 30), radius_arcmin=RADIUS, inside=inside)
    ra, dec = (np.concatenate(parts) for parts in zip(*seen, strict=True))
    assert len(offsets) == _inside(ra, dec).sum() < len(ra)
    assert len(offset_separations(_uniform(rng, 0), _uniform(rng, 5), radius_arcmin=RADIUS)) == 0
    assert np.isinf(offset_separations(_uniform(rng, 9), _uniform(rng, 0), radius_arcmin=RADIUS)).all()


@settings(max_examples=50)
@given(st.lists(st.floats(0, 5), max_size=40), st.lists(st.floats(0, 5), min_size=1, max_size=5))
def test_chance_counts_the_nearer(offsets, separation):
    chance = chance_probability(np.array(separation), np.array(offsets, float))
    expected = [(sum(one <= own for one in offsets) + 1) / (len(offsets) + 1) for own in separation]
    np.testing.assert_allclose(chance, expected if offsets else np.nan)


@pytest.fixture(scope="module")
def marked():
    """Three candidates and two catalogues; the second looked at dec < 0 alone."""
    candidates = Table({"ra_deg": [110.0, 115.0, 120.0, 125.0], "dec_deg": [5.0, -5.0, -6.0, 7.0]})
    sz = _catalogue(
        Table({"ra_deg": [110.0, 115.0, 50.0], "dec_deg": [5.02, -5.01, 0.0]}), [0.3, np.nan, 1.0], "phot", "sz"
    )
    x_ray = _catalogue(Table({"ra_deg": [110.01, 115.0], "dec_deg": [5.0, -5.0]}), [0.31, 0.52], "spec", "x")
    catalogues = [KnownObjects("sz", sz), KnownObjects("xray", x_ray, covers=lambda ra, dec: dec < 0)]
    table, summaries = mark_known(candidates, catalogues, radius_arcmin=RADIUS, inside=_inside)
    return candidates, (sz, x_ray), table, summaries


def test_status_knows_where_a_catalogue_looked(marked):
    _, _, table, summaries = marked
    assert table["sz_status"].tolist() == ["known", "known", "unknown", "unknown"]
    # A match beyond the footprint's border is a match.
    assert table["xray_status"].tolist() == ["known", "known", "new", "outside"]
    assert table["status"].tolist() == ["known", "known", "new", "unknown"]
    assert [one["num_known"] for one in summaries] == [2, 2]
    assert [one["num_new"] for one in summaries] == [0, 1]
    assert [one["footprint_known"] for one in summaries] == [False, True]
    assert table["known_as"].tolist() == ["sz sz0; xray x0", "sz sz1; xray x1", "", ""]


def test_separations_are_astropys(marked):
    candidates, catalogues, table, _ = marked
    for label, catalogue in zip(("sz", "xray"), catalogues, strict=True):
        here = SkyCoord(candidates["ra_deg"], candidates["dec_deg"], unit="deg")[:2]
        there = SkyCoord(catalogue["ra_deg"], catalogue["dec_deg"], unit="deg")[:2]
        separation = table[f"{label}_separation_arcmin"]
        np.testing.assert_allclose(separation[:2], here.separation(there).arcmin, atol=1e-9)
        assert np.isnan(separation[2:]).all()
        assert np.isnan(table[f"{label}_chance"][2:]).all()
        assert (table[f"{label}_chance"][:2] < 0.2).all()
        assert (table[f"{label}_chance"][:2] > 0).all()


def test_redshift_comes_with_its_source(marked):
    """The spectroscopic one of a later catalogue before the photometric one of the first."""
    _, _, table, _ = marked
    np.testing.assert_allclose(table["redshift"], [0.31, 0.52, np.nan, np.nan])
    assert table["redshift_source"].tolist() == ["xray", "xray", "", ""]
    assert table["redshift_kind"].tolist() == ["spec", "spec", "", ""]
    np.testing.assert_allclose(table["sz_redshift"], [0.3, np.nan, np.nan, np.nan])
    alone, _ = mark_known(marked[0], [KnownObjects("sz", marked[1][0])], radius_arcmin=RADIUS)
    assert alone["redshift_source"].tolist() == ["sz", "", "", ""]


def test_objects_may_have_their_own_radius():
    candidates = Table({"ra_deg": [110.0, 120.0], "dec_deg": [0.0, 0.0]})
    catalogue = _catalogue(Table({"ra_deg": [110.0, 120.0], "dec_deg": [0.08, 0.08]}))
    own = KnownObjects("cat", catalogue, radii_arcmin=np.array([3.0, 6.0]))
    assert mark_known(candidates, [own], radius_arcmin=RADIUS)[0]["cat_status"].tolist() == ["unknown", "known"]


def test_no_candidates_and_no_objects():
    empty = Table({"ra_deg": np.zeros(0), "dec_deg": np.zeros(0)})
    covered = KnownObjects("a", _catalogue(_uniform(np.random.default_rng(0), 5)), covers=lambda ra, dec: dec < 0)
    table, summaries = mark_known(empty, [covered], radius_arcmin=RADIUS)
    assert len(table) == 0
    assert "a_status" in table.colnames
    assert np.isnan(summaries[0]["chance_match_rate"])
    table, _ = mark_known(
        _uniform(np.random.default_rng(0), 3), [KnownObjects("b", _catalogue(empty))], radius_arcmin=1
    )
    assert table["status"].tolist() == ["unknown"] * 3
