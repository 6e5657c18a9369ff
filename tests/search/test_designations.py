import re

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clusterjax.errors import InputError
from clusterjax.search.designations import designations


def test_the_names_of_published_clusters():
    """ACT DR5's own designations are truncated in the same way (Hilton et al. 2021)."""
    ra, dec = [19.9961626, 15.7418513, 342.2051905], [0.9252059, -49.2673782, -44.5279646]
    names = ["ACT-CL J0119.9+0055", "ACT-CL J0102.9-4916", "ACT-CL J2248.8-4431"]
    assert designations(ra, dec, acronym="ACT-CL") == names


def test_every_name_of_a_published_catalogue(shared_data):
    from clusterjax.sky.catalogues import read_table, with_positions

    table = with_positions(read_table(shared_data / "catalogues/clusters/aactpol.csv.gz"))
    names = designations(table["ra_deg"], table["dec_deg"], acronym="ACT-CL")
    # Some positions were measured anew after they had given their name; rounding would give one in four the same.
    assert np.mean(np.asarray(table["name"], str) == np.array(names)) > 0.95


@settings(max_examples=300)
@given(st.floats(0, 360, exclude_max=True), st.floats(-90, 90))
@example(0.0, -0.001)
@example(15.0, 45.0)
@example(14.999999, -44.999999)
@example(359.9999, -89.99999)
def test_truncated_as_astropy_truncates(ra, dec):
    """Against the hours, minutes and seconds of SkyCoord, but at the border of a cell, where rounding decides."""
    position = SkyCoord(ra, dec, unit="deg")
    hours, minutes, seconds = position.ra.hms
    sign, degrees, arcminutes, arcseconds = position.dec.signed_dms
    tenths = seconds / 6
    if min(abs(tenths - round(tenths)), abs(arcseconds % 60 - 60), arcseconds) < 1e-5:
        return
    expected = f"X J{int(hours):02d}{int(minutes):02d}.{int(tenths)}{'-' if sign < 0 else '+'}"
    assert designations([ra], [dec], acronym="X") == [expected + f"{int(degrees):02d}{int(arcminutes):02d}"]


def test_several_in_one_cell_are_told_apart():
    names = designations([10.0, 50.0, 10.001, 10.002], [5.0, 5.0, 5.001, 5.002], acronym="CJX")
    assert names == ["CJX J0040.0+0500A", "CJX J0320.0+0500", "CJX J0040.0+0500B", "CJX J0040.0+0500C"]
    many = designations(np.full(60, 10.0), np.full(60, 5.0), acronym="CJX")
    assert len(set(many)) == 60
    assert (many[25][-2:], many[26][-2:], many[52][-2:]) == ("0Z", "AA", "BA")


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(0, 60))
def test_names_are_unique_and_of_one_form(seed, number):
    rng = np.random.default_rng(seed)
    names = designations(rng.uniform(0, 0.2, number), rng.uniform(-0.1, 0.1, number), acronym="CJX")
    assert len(set(names)) == number
    assert all(re.fullmatch(r"CJX J\d{4}\.\d[+-]\d{4}[A-Z]*", name) for name in names)


def test_what_cannot_be_named():
    with pytest.raises(InputError, match="acronym='C J' must be one word"):
        designations([1.0], [1.0], acronym="C J")
    with pytest.raises(InputError, match="in row 1 is no position"):
        designations([1.0, np.nan], [1.0, 2.0], acronym="CJX")
