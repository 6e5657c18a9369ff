import gzip

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import MaskedColumn, Table
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from clusterjax.errors import InputError
from clusterjax.sky.catalogues import crossmatch, positions, read_table, with_positions, write_table
from clusterjax.sky.offset_skies import chance_match_rate


def _random_table(rng, number, ra=(0, 360), dec=(-90, 90)):
    sin = rng.uniform(*np.sin(np.radians(dec)), number)
    return Table({"ra_deg": rng.uniform(*ra, number) % 360, "dec_deg": np.degrees(np.arcsin(sin))})


def _coordinates(table):
    return SkyCoord(*positions(table), unit="deg")


def _match_slowly(a, b, radius_arcmin):
    """All separations by astropy, the smallest left taken each time: what nearest-first one-to-one means."""
    if not (len(a) and len(b)):
        return []
    separation = _coordinates(a)[:, None].separation(_coordinates(b)[None, :]).arcmin
    pairs = []
    while separation.size and separation.min() <= radius_arcmin:
        i, j = np.unravel_index(separation.argmin(), separation.shape)
        pairs.append((i, j, separation[i, j]))
        separation[i, :] = separation[:, j] = np.inf
    return pairs


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    numbers=st.tuples(st.integers(0, 40), st.integers(0, 40)),
    radius=st.floats(0.5, 400.0),
    centre=st.sampled_from([(0, 0), (180, 60), (10, 89.5), (359.9, -89.9)]),
)
def test_crossmatch_is_nearest_first_one_to_one(seed, numbers, radius, centre):
    rng = np.random.default_rng(seed)
    dec = (max(centre[1] - 2, -90), min(centre[1] + 2, 90))
    a, b = (_random_table(rng, number, (centre[0] - 2, centre[0] + 2), dec) for number in numbers)
    found = crossmatch(a, b, radius)
    slow = _match_slowly(a, b, radius)
    assert list(zip(found["index_a"], found["index_b"], strict=True)) == [pair[:2] for pair in slow]
    assert np.allclose(found["separation_arcmin"], [pair[2] for pair in slow], rtol=1e-6, atol=1e-9)
    assert found["separation_arcmin"].unit == u.arcmin


def test_crossmatch_leaves_out_rows_without_a_position():
    a = Table({"ra": MaskedColumn([10.0, 10.0], mask=[True, False]), "dec": [0.0, 0.0]})
    b = Table({"RA_ICRS": [10.0, np.nan], "DE_ICRS": [0.01, 0.0]})
    assert list(crossmatch(a, b, 1)["index_a"]) == [1]
    assert len(crossmatch(a, b[1:], 1)) == 0
    with pytest.raises(InputError, match="match radius 0 arcmin"):
        crossmatch(a, b, 0)


@pytest.mark.parametrize(
    ("names", "unit", "factor"),
    [
        (("RADeg", "decDeg"), None, 1),
        (("_RAJ2000", "_DEJ2000"), u.deg, 1),
        (("Ra", "Dec"), u.rad, np.degrees(1)),
        (("ALPHA_J2000", "DELTA_J2000"), u.arcmin, 1 / 60),
        (("RAICRS", "DEICRS"), u.deg, 1),
    ],
)
def test_position_names_and_units(names, unit, factor):
    table = Table({"name": ["a"], names[0]: [1.25], names[1]: [-0.5]}, units={names[0]: unit, names[1]: unit})
    assert positions(table) == (pytest.approx(1.25 * factor), pytest.approx(-0.5 * factor))
    kept = with_positions(table)
    assert kept["ra_deg"].unit == u.deg
    assert kept["name"][0] == "a"


def test_sexagesimal_galactic_and_negative_positions():
    coordinates = SkyCoord([10.5, 200.0], [-3.25, 45.0], unit="deg")
    text = Table({"RA": coordinates.ra.to_string("hourangle", sep=":"), "DEC": coordinates.dec.to_string(sep=":")})
    galactic = Table({"GLON": coordinates.galactic.l.deg, "GLAT": coordinates.galactic.b.deg})
    for table in (text, galactic, Table({"ra": [10.5 - 360, 200.0], "dec": [-3.25, 45.0]})):
        assert _coordinates(table).separation(coordinates).arcsec.max() < 1e-3


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (Table({"x": [1.0], "y": [2.0]}), "no columns ra and dec; it has x, y"),
        (Table(), "it has no columns"),
        (Table({"ra": [10.0, 10.0], "dec": [0.0, -90.5]}), r"dec=-90\.5 in row 1"),
        (Table({"ra": ["here"], "dec": ["there"]}), "hold no positions"),
        (Table({"ra": [1.0], "dec": [1.0]}, units={"ra": "Jy"}), "column ra is no angle"),
    ],
)
def test_bad_positions(table, message):
    with pytest.raises(InputError, match=message):
        positions(table)


def test_tables_come_back_as_they_were_written(tmp_path):
    table = Table({"ra_deg": [1.5, 2.5], "name": ["a", "bcd"], "mass": [1e14, np.nan], "found": [True, False]})
    table["mass"].unit, table["mass"].description = u.Msun, "mass M500c"
    table.meta["a long key of the scan"] = {"nested": 1}
    for number in (2, 0):
        paths = write_table(tmp_path / f"candidates_v1.{number}", table[:number])
        assert [path.name for path in paths] == [f"candidates_v1.{number}.fits", f"candidates_v1.{number}.ecsv"]
        for path in paths:
            back = read_table(path)
            assert back.colnames == table.colnames
            assert len(back) == number
            assert (back["mass"].unit, back["mass"].description) == (u.Msun, "mass M500c")
            assert list(back["name"]) == list(table["name"][:number])
            assert np.array_equal(back["mass"], table["mass"][:number], equal_nan=True)
        assert back.meta == table.meta
        assert fits.getheader(paths[0], 1)["TCOMM3"] == "mass M500c"


def test_csv_with_missing_values_and_gz(tmp_path):
    text = "name,RAdeg,DEdeg,z\na,10.5,-3.25,NA\nb,11.5,,0.3\n"
    (tmp_path / "a.csv").write_text(text)
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(text.encode()))
    for name in ("a.csv", "b.csv.gz"):
        table = read_table(tmp_path / name)
        assert np.ma.is_masked(table["z"][0])
        assert len(with_positions(table)) == 1


def test_units_that_are_none(tmp_path):
    columns = [fits.Column("RA", "D", unit="degrees", array=[1.0]), fits.Column("DEC", "D", "None", array=[2.0])]
    columns.append(fits.Column("M", "D", unit="10^14 Msol", array=[3.0]))
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "t.fits")
    table = read_table(tmp_path / "t.fits")
    assert (table["RA"].unit, table["M"].unit, table["M"].description) == (u.deg, None, "[10^14 Msol]")
    write_table(tmp_path / "again", table)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.txt", b"ra,dec\n1,2\n", "of no known kind"),
        ("t.csv", b"\xff\xfe\x00", "cannot be read as a table"),
        ("t.csv.gz", gzip.compress(b"ra,dec\n1,2\n", mtime=0)[:20], "cannot be read as a table"),
        ("t.ecsv", b"ra dec\n1 2\n", "cannot be read as a table"),
        ("t.fits", b"SIMPLE", "cannot be read as FITS"),
        ("t.csv", None, "does not exist"),
        ("t.fits", None, "does not exist"),
    ],
)
def test_bad_tables(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_table(tmp_path / name)


def test_chance_rate_of_an_unclustered_sky():
    """Of a Poisson sky of density n, 1 - exp(-n pi r^2) of random positions have a neighbour within r."""
    rng = np.random.default_rng(5)
    a, b = _random_table(rng, 3000, (100, 120), (-10, 10)), _random_table(rng, 4000, (100, 120), (-10, 10))
    area = 20 * np.degrees(2 * np.sin(np.radians(10)))
    expected = 1 - np.exp(-4000 / area * np.pi * (2 / 60) ** 2)

    def inside(ra, dec):
        return (ra > 100) & (ra < 120) & (np.abs(dec) < 10)

    rate, error = chance_match_rate(a, b, 2, inside=inside)
    # One to one: a few of a share a neighbour.
    assert rate == pytest.approx(expected, abs=0.06 * expected)
    assert 0 < error < 0.1 * expected
    # True pairs do not count: they are moved apart.
    assert chance_match_rate(b, b, 2, inside=inside)[0] == pytest.approx(expected, abs=0.06 * expected)
    assert np.isnan(chance_match_rate(a[:0], b, 2)).all()
    assert np.isnan(chance_match_rate(a, b, 2, inside=lambda ra, dec: ra < 0)).all()


def test_act_against_planck(shared_data):
    """Against astropy's own search, and against the best assignment there can be."""
    act, psz2 = (read_table(shared_data / f"catalogues/clusters/{name}.csv.gz") for name in ("aactpol", "psz2"))
    found = crossmatch(act, psz2, 5)
    a, b, separation, _ = _coordinates(psz2).search_around_sky(_coordinates(act), 5 * u.arcmin)
    nearest = np.full(len(act), np.inf)
    np.minimum.at(nearest, a, separation.arcmin)
    # Each pair is the nearest of its ACT cluster unless that one was spent on a nearer partner.
    assert np.isfinite(nearest).sum() >= len(found)
    assert (nearest[found["index_a"]] <= found["separation_arcmin"] + 1e-9).all()
    slow = _coordinates(act)[found["index_a"]].separation(_coordinates(psz2)[found["index_b"]]).arcmin
    assert np.allclose(slow, found["separation_arcmin"], atol=1e-7)
    rows, columns = np.unique(a), np.unique(b)
    cost = np.full((len(rows), len(columns)), 1e3)
    cost[np.searchsorted(rows, a), np.searchsorted(columns, b)] = separation.arcmin
    best = linear_sum_assignment(cost)
    assert len(found) == (cost[best] < 1e3).sum() == 375
    rate, _ = chance_match_rate(act, psz2, 5)
    assert rate < 0.003


def test_all_real_catalogues_can_be_read(shared_data):
    files = [*shared_data.glob("catalogues/*/*.csv*"), *shared_data.glob("catalogues/*/*.fits")]
    files.append(shared_data / "act_planck/E-D56Clusters.fits")
    assert len(files) >= 13
    for path in files:
        assert len(with_positions(read_table(path))) > 100, path
