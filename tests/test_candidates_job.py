"""Which catalogues a scan takes, and what it says when one cannot be used: before the scan, not after it."""

import numpy as np
import pytest
from astropy.table import Table

from clusterjax.config import ExperimentConfig, SearchConfig, fingerprint, from_json, to_json
from clusterjax.config_checks import validate
from clusterjax.errors import InputError
from clusterjax.jobs.candidates import read_catalogues
from clusterjax.sky.moc import Moc, write_moc


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    first = Table({"name": ["a", "b"], "ra": [10.0, 20.0], "dec": [5.0, 6.0], "redshift": [0.3, np.nan]})
    first["theta500_arcmin"] = [1.0, 5.0]
    first.write(folder / "first.v1.csv")
    Table({"ID": ["c"], "RAJ2000": [20.001], "DEJ2000": [6.0], "z": [0.7]}).write(folder / "second.ecsv")
    write_moc(folder / "moc.fits", Moc.from_cells([(0, np.array([4]))]), software="test")
    return folder


def test_one_catalogue_keeps_its_columns_and_its_objects_extent(tables):
    catalogues = read_catalogues(SearchConfig(catalogue=(f"{tables}/first.v1.csv",)))
    assert [one.label for one in catalogues.known] == ["first"]
    assert "theta500_arcmin" in catalogues.sources.colnames
    np.testing.assert_allclose(catalogues.known[0].radii_arcmin, [1.5, 2.5])
    assert catalogues.known[0].covers is None


def test_several_are_one_table_with_each_object_once(tables):
    search = SearchConfig(
        catalogue=(f"{tables}/first.v1.csv", f"sz-2={tables}/second.ecsv"),
        footprints=(f"sz_2={tables}/moc.fits",),
        flag_catalogues=(f"star={tables}/second.ecsv",),
    )
    catalogues = read_catalogues(search)
    assert [one.label for one in catalogues.known] == ["first", "sz_2"]
    assert len(catalogues.sources) == 2
    assert sorted(catalogues.sources["redshift"].tolist()) == [0.3, 0.7]
    assert catalogues.known[1].covers(np.array([0.0, 180.0]), np.array([0.0, 0.0])).tolist() == [True, False]
    assert list(catalogues.flagging) == ["star"]
    assert read_catalogues(SearchConfig()).sources is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"catalogue": ("{0}/first.v1.csv", "first={0}/second.ecsv")}, "two catalogues called 'first'"),
        ({"catalogue": ("{0}/none.csv",)}, r"none\.csv does not exist"),
        ({"catalogue": ("{0}/first.v1.csv",), "footprints": ("sz={0}/moc.fits",)}, "which search.catalogue has not"),
        ({"catalogue": ("{0}/first.v1.csv",), "footprints": ("first={0}/no.fits",)}, r"no\.fits does not exist"),
        ({"flag_catalogues": ("star={0}/none.csv",)}, r"none\.csv does not exist"),
        ({"flag_catalogues": ("star={0}/second.ecsv",) * 2}, "has the name 'star' twice"),
        ({"flag_catalogues": ("{0}/second.ecsv",)}, "write NAME=FILE"),
    ],
)
def test_what_cannot_be_used_is_named(tables, fields, message):
    filled = {name: tuple(entry.format(tables) for entry in entries) for name, entries in fields.items()}
    with pytest.raises(InputError, match=message):
        read_catalogues(SearchConfig(**filled))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("outputs", ("png",), r"search\.outputs has 'png'; use any of 'healpix', 'hips', 'moc'"),
        ("healpix_order", 30, r"healpix_order=30 must lie within \[0, 29\]"),
        ("flag_catalogues", ("star",), r"flag_catalogues has 'star'; write NAME=FILE"),
        ("footprints", ("=moc.fits",), "write NAME=FILE"),
        ("acronym", "C J", "must be one word"),
        ("flag_radius_arcmin", 0.0, "flag_radius_arcmin=0.0 must be above 0"),
        ("catalogue", "known.fits", "is of type str; use tuple"),
    ],
)
def test_fields_are_checked(field, value, message):
    config = ExperimentConfig()
    setattr(config.search, field, value)
    with pytest.raises(InputError, match=message):
        validate(config)


def test_the_config_of_an_older_checkpoint_is_read():
    """It had one catalogue, as text."""
    text = to_json(ExperimentConfig())
    old = text.replace('"catalogue": []', '"catalogue": "known.fits"')
    assert old != text
    assert from_json(old).search.catalogue == ("known.fits",)
    assert from_json(text.replace('"catalogue": []', '"catalogue": ""')).search.catalogue == ()
    assert fingerprint(from_json(text)) == fingerprint(ExperimentConfig()) != fingerprint(from_json(old))
