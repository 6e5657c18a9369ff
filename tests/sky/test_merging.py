"""Catalogues as one: every name once, the better redshift, chance told from truth."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterjax.errors import InputError
from clusterjax.sky.merging import crossmatch_report, is_near, merge_catalogues
from clusterjax.sky.surveys.registry import read_catalogue


def catalogue(label, ra, dec, redshift=np.nan, kind="", mass=np.nan):
    number = len(ra)
    return Table(
        {
            "catalogue": np.full(number, label),
            "name": np.array([f"{label}{i}" for i in range(number)], str),
            "object_type": np.full(number, "cluster"),
            "ra_deg": np.asarray(ra, float),
            "dec_deg": np.asarray(dec, float),
            "redshift": np.broadcast_to(np.asarray(redshift, float), number).copy(),
            "redshift_kind": np.full(number, kind),
            "m500c_msun": np.broadcast_to(np.asarray(mass, float), number).copy(),
            "snr": np.full(number, np.nan),
        }
    )


def test_first_catalogue_first_and_the_better_redshift():
    first = catalogue("a", [10.0, 20.0, 30.0], [0.0] * 3, redshift=[0.3, 0.4, np.nan], kind="phot")
    second = catalogue("bee", [10.01, 20.01, 50.0], [0.0] * 3, redshift=[0.31, np.nan, 0.6], kind="spec", mass=2e14)
    third = catalogue("c", [30.01, 10.0], [0.0] * 2, redshift=[0.7, 0.9], kind="phot", mass=5e14)
    merged = merge_catalogues([first, second, third], radius_arcmin=1.0)
    assert list(merged["names"]) == ["a0; bee0; c1", "a1; bee1", "a2; c0", "bee2"]
    assert list(merged["catalogues"]) == ["a; bee; c", "a; bee", "a; c", "bee"]
    np.testing.assert_array_equal(merged["ra_deg"], [10.0, 20.0, 30.0, 50.0])
    np.testing.assert_array_equal(merged["redshift"], [0.31, 0.4, 0.7, 0.6])
    assert list(merged["redshift_kind"]) == ["spec", "phot", "phot", "spec"]
    np.testing.assert_array_equal(merged["m500c_msun"], [2e14, 2e14, 5e14, 2e14])
    assert list(first.colnames) == list(catalogue("a", [], []).colnames)  # the caller's tables are as they were
    with pytest.raises(InputError, match="no catalogue to merge"):
        merge_catalogues([], radius_arcmin=1.0)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6), numbers=st.lists(st.integers(0, 25), min_size=1, max_size=4), radius=st.floats(1, 30)
)
def test_every_name_is_kept_once(seed, numbers, radius):
    rng = np.random.default_rng(seed)
    tables = [
        catalogue(f"k{i}", rng.uniform(-1, 1, n) % 360, rng.uniform(88.5, 89.9, n)) for i, n in enumerate(numbers)
    ]
    merged = merge_catalogues(tables, radius_arcmin=radius)
    names = [name for text in merged["names"] for name in text.split("; ")]
    assert sorted(names) == sorted(name for table in tables for name in table["name"])
    for text in merged["catalogues"]:  # one of each at most, in order of priority
        parts = text.split("; ")
        assert parts == sorted(set(parts))
    everything = [row for table in tables for row in table]
    order = {row["name"]: i for i, row in enumerate(everything)}
    if not everything:
        return
    where = SkyCoord([row["ra_deg"] for row in everything], [row["dec_deg"] for row in everything], unit="deg")
    apart = where[:, None].separation(where[None]).arcmin
    for text in merged["names"]:
        first, *others = (order[name] for name in text.split("; "))
        assert (apart[first, others] <= radius * 1.000001).all()
    # What stayed alone has no free partner: any within the radius belongs to an object that has one of its catalogue.
    heads = [order[text.split("; ")[0]] for text in merged["names"]]
    for i, row in enumerate(merged):
        for j in range(i):
            if apart[heads[i], heads[j]] < radius * 0.999:
                assert row["catalogue"] in merged["catalogues"][j]


def test_is_near():
    known = catalogue("a", [10.0, 359.99], [0.0, -89.99])
    tried = catalogue("b", [10.15, 10.17, 180.0], [0.0, 0.0, -89.99])
    assert list(is_near(tried, known, 9.5)) == [True, False, True]
    assert not is_near(tried, known[:0], 9.5).any()
    assert len(is_near(known[:0], tried, 1.0)) == 0


def test_the_report_tells_chance_from_truth():
    """Half of the second catalogue is the first's clusters, 0.5 arcmin off; the rest, and a third one, are random."""
    rng = np.random.default_rng(0)
    ra, dec = rng.uniform(40, 80, 4000), np.degrees(np.arcsin(rng.uniform(-0.5, 0.5, 4000)))
    first = catalogue("a", ra[:2000], dec[:2000], redshift=rng.uniform(0.1, 1, 2000))
    moved = SkyCoord(ra[:1000], dec[:1000], unit="deg").directional_offset_by(
        rng.uniform(0, 360, 1000) * u.deg, 0.5 / 60 * u.deg
    )
    z = np.concatenate([first["redshift"][:1000] + 0.01 * rng.normal(size=1000) * (1 + first["redshift"][:1000]),
                        np.full(1000, np.nan)])  # fmt: skip
    second = catalogue(
        "b", np.append(moved.ra.deg, rng.uniform(40, 80, 1000)), np.append(moved.dec.deg, dec[2000:3000]), z
    )
    third = catalogue("c", ra[3000:], dec[3000:])
    report = crossmatch_report({"a": first, "b": second, "c": third}, radius_arcmin=2.0)
    assert [(row["first"], row["second"]) for row in report] == [("a", "b"), ("a", "c"), ("b", "c")]
    real, chance = report[0], report[1]
    assert (real["rows_first"], real["rows_second"]) == (2000, 2000)
    density = 2000 / (40 * np.degrees(2 * 0.5) * 3600)  # per arcmin2
    expected = 2000 * density * np.pi * 2.0**2
    assert real["chance_matches"] == pytest.approx(expected, rel=0.2)
    assert 1000 <= real["matches"] <= 1000 + 2 * expected
    assert real["median_offset_arcmin"] == pytest.approx(0.5, abs=0.02)
    assert real["redshift_scatter"] == pytest.approx(0.01, rel=0.15)
    assert chance["matches"] == pytest.approx(chance["chance_matches"], abs=4 * np.sqrt(expected / 2) + 3)
    assert np.isnan(chance["redshift_scatter"])
    assert len(crossmatch_report({"a": first}, radius_arcmin=2.0)) == 0


def test_real_catalogues_share_their_clusters(shared_data):
    """ACT DR5, PSZ2, MCXC and redMaPPer: far more matches than chance, and a sum without doubles."""
    folder = shared_data / "catalogues" / "clusters"
    files = {"act_dr5": "aactpol.csv.gz", "psz2": "psz2_union_R2.08.fits", "mcxc": "mcxc.csv.gz",
             "redmapper": "sdss_redmapper.csv.gz"}  # fmt: skip
    tables = {name: read_catalogue(f"{name}={folder / file}") for name, file in files.items()}
    report = crossmatch_report(tables, radius_arcmin=5.0)
    by_pair = {(row["first"], row["second"]): row for row in report}
    planck_act = by_pair["act_dr5", "psz2"]
    assert 350 < planck_act["matches"] < 550
    assert planck_act["chance_matches"] < 15
    assert planck_act["redshift_scatter"] < 0.01
    assert planck_act["median_offset_arcmin"] < 1.5  # Planck's positions: 2.4 arcmin at worst for most
    merged = merge_catalogues(list(tables.values()), radius_arcmin=3.0)
    assert len(merged) < sum(len(table) for table in tables.values()) - 1500
    assert sum(len(text.split("; ")) for text in merged["catalogues"]) == sum(len(table) for table in tables.values())
