import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table

from clusterjax.errors import InputError
from clusterjax.search.flags import BASE_FLAGS, describe, names_of, set_catalogue_flags


def _candidates(number=200, flags=0):
    rng = np.random.default_rng(number)
    ra, dec = rng.uniform(359.5, 360.5, number) % 360, rng.uniform(79.8, 80.0, number)
    return Table({"ra_deg": ra, "dec_deg": dec, "flags": np.full(number, flags, np.int32)})


def test_a_bit_for_each_catalogue_near_its_objects():
    """Across RA 0, near the pole, against astropy's separations."""
    candidates, stars, radio = _candidates(200, BASE_FLAGS["masked"].bit), _candidates(40), _candidates(25)
    flagged, flags = set_catalogue_flags(candidates, {"star": stars, "radio": radio}, radius_arcmin=1.5)
    assert (flags["star"].bit, flags["radio"].bit) == (16, 32)
    here = SkyCoord(candidates["ra_deg"], candidates["dec_deg"], unit="deg")
    for name, table in (("star", stars), ("radio", radio)):
        there = SkyCoord(table["ra_deg"], table["dec_deg"], unit="deg")
        near = (here[:, None].separation(there).arcmin <= 1.5).any(axis=1)
        assert 0.1 < near.mean() < 0.9
        np.testing.assert_array_equal(np.asarray(flagged["flags"]) & flags[name].bit > 0, near)
    assert (np.asarray(flagged["flags"]) & BASE_FLAGS["masked"].bit > 0).all()  # those there were stay
    assert (candidates["flags"] == BASE_FLAGS["masked"].bit).all()


def test_an_objects_own_radius():
    candidates = Table({"ra_deg": [10.0, 20.0], "dec_deg": [0.05, 0.05], "flags": np.zeros(2, np.int32)})
    stars = Table({"RA": [10.0, 20.0], "DEC": [0.0, 0.0], "Radius_arcmin": [2.0, 5.0]})
    flagged, flags = set_catalogue_flags(candidates, {"star": stars}, radius_arcmin=1.0)
    assert flagged["flags"].tolist() == [0, 16]
    assert "own radius" in flags["star"].meaning
    stars["Radius_arcmin"][0] = np.nan  # not known: that of all
    candidates["dec_deg"][0] = 0.01
    assert set_catalogue_flags(candidates, {"star": stars}, radius_arcmin=1.0)[0]["flags"].tolist() == [16, 16]


def test_description_names_every_bit():
    _, flags = set_catalogue_flags(_candidates(3), {"star": _candidates(2)}, radius_arcmin=1.0)
    text = describe(flags)
    assert all(f"{flag.bit} {name}" in text for name, flag in flags.items())
    assert names_of(1 + 4 + 16, flags) == ["edge", "saturated", "star"]
    assert len({flag.bit for flag in flags.values()}) == len(flags)
    assert all(bin(flag.bit).count("1") == 1 for flag in flags.values())


def test_names_that_are_taken_and_too_many():
    with pytest.raises(InputError, match="names a flag 'edge', which there is already"):
        set_catalogue_flags(_candidates(3), {"edge": _candidates(2)}, radius_arcmin=1.0)
    many = {f"c{number}": _candidates(1) for number in range(28)}
    with pytest.raises(InputError, match="has 28 catalogues; 27 at most"):
        set_catalogue_flags(_candidates(3), many, radius_arcmin=1.0)
    many.popitem()
    assert set_catalogue_flags(_candidates(3), many, radius_arcmin=1.0)[1]["c26"].bit == 2**30
