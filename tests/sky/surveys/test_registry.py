"""Published catalogues in the columns they come with, from a server that stops at 50 rows unless told not to."""

import io
import urllib.parse

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from clusterjax.errors import InputError
from clusterjax.sky.surveys.downloads import Downloader, DownloadSettings
from clusterjax.sky.surveys.registry import CATALOGUES, COLUMNS, read_catalogue, standardise
from clusterjax.sky.surveys.vizier import vizier_url
from clusterjax.sky.votable import read_votable
from tests.local_server import Answer, LocalServer
from tests.survey_sky import NO_TABLE, votable

# Columns as published -> (name, redshift, kind, mass, S/N)
PUBLISHED = {
    "act_dr5": (
        {"name": "ACT-CL J0000.0-3837", "RADeg": 1.5, "decDeg": -2.5, "SNR": 6.5, "redshift": 0.3,
         "redshiftType": "phot", "M500c": 3.0, "M500cCal": 4.0},
        ("ACT-CL J0000.0-3837", 0.3, "phot", 4e14, 6.5),
    ),
    "act_dr5_mcmf": (
        {"Name": "A", "RAJ2000": 1.5, "DEJ2000": -2.5, "zsp1": np.nan, "z1C": 0.41, "z2C": 0.8},
        ("A", 0.41, "phot", np.nan, np.nan),
    ),
    "madcows": (
        {"_RAJ2000": 1.5, "_DEJ2000": -2.5, "Name": "MOO J0006-0230", "RAJ2000": "00 06 00.0", "DEJ2000": "-02 30 00",
         "S/N": 7.1, "Photz": 1.1, "Specz": 1.05},
        ("MOO J0006-0230", 1.05, "spec", np.nan, 7.1),
    ),
    "madcows2": (
        {"Name": "B", "RAJ2000": 1.5, "DEJ2000": -2.5, "zphot": 0.9, "S/N_G": 5.0, "S/N_P": 6.0, "zspec": np.nan},
        ("B", 0.9, "phot", np.nan, 6.0),
    ),
    "psz2": (
        {"PSZ2": "PSZ2 G000.04+45.13", "RAJ2000": 1.5, "DEJ2000": -2.5, "S/N": 6.75, "z": 0.1198, "MSZ": 3.96},
        ("PSZ2 G000.04+45.13", 0.1198, "", 3.96e14, 6.75),
    ),
    "mcxc2": (
        {"MCXC": "J0000.1+0816", "RAdeg": 1.5, "DEdeg": -2.5, "z": 0.0396, "L500": 0.19, "M500": 0.737, "R500": 0.63},
        ("J0000.1+0816", 0.0396, "spec", 0.737e14, np.nan),
    ),
    "spt_sz": (
        {"SPT-CL": "J0000-5748", "RAJ2000": 1.5, "DEJ2000": -2.5, "xi": 8.49, "z": 0.702, "M500": 4.56},
        ("J0000-5748", 0.702, "", 4.56e14, 8.49),
    ),
    "redmapper": (
        {"Name": "RMJ1558", "RAJ2000": 1.5, "DEJ2000": -2.5, "zlambda": 0.0958, "lambda": 180.0, "zspec": 0.0908},
        ("RMJ1558", 0.0908, "spec", np.nan, np.nan),
    ),
    "upcluster_sz": (
        {"PSZ2": "G1", "RAJ2000": 1.5, "DEJ2000": -2.5, "z": 0.2, "f_z": "spec"},
        ("G1", 0.2, "spec", np.nan, np.nan),
    ),
    "erass1": (
        {"DETUID": "em01", "NAME": "1eRASS J0006", "RA": 1.5, "DEC": -2.5, "EXT_LIKE": 9.0, "BEST_Z": 0.25,
         "BEST_Z_TYPE": "photo_z", "M500": 20.0},
        ("1eRASS J0006", 0.25, "phot", 2e14, 9.0),
    ),
    "sga2020": (
        {"GALAXY": "NGC1", "RA": 1.5, "DEC": -2.5, "Z_LEDA": -1.0, "D26": 1.5},
        ("NGC1", np.nan, "", np.nan, np.nan),
    ),
    "milliquas": (
        {"_RAJ2000": 1.5, "_DEJ2000": -2.5, "Name": "Q", "z": 1.2, "Rmag": 17.0}, ("Q", 1.2, "", np.nan, np.nan)
    ),
}  # fmt: skip


def body_of(name, rows):
    if not CATALOGUES[name].url:
        return votable(rows)
    stream = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.table_to_hdu(Table(rows))]).writeto(stream)
    return stream.getvalue()


@pytest.fixture
def read(tmp_path):
    """``read(entry, body)``: what the catalogue gives when the server answers with ``body``; the requests too."""
    asked = []

    def get(entry, body):
        def respond(request):
            asked.append(request)
            return Answer(body(request) if callable(body) else body)

        with LocalServer(respond) as server:
            hosts = (
                "vizier.cds.unistra.fr",
                "cdsarc.cds.unistra.fr",
                "extragalactic.phys.wits.ac.za",
                "portal.nersc.gov",
            )
            mirrors = {f"https://{host}": server.url for host in hosts}
            with Downloader(DownloadSettings(tmp_path, attempts=1, mirrors=mirrors)) as downloader:
                return read_catalogue(entry, downloader)

    get.asked = asked
    return get


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_columns_become_ours(read, name):
    columns, (label, redshift, kind, mass, snr) = PUBLISHED[name]
    table = read(name, body_of(name, {key: [value] for key, value in columns.items()}))
    assert tuple(table.colnames) == COLUMNS
    if CATALOGUES[name].vizier:
        assert read.asked[0].query["-source"] == CATALOGUES[name].vizier
    (row,) = table
    assert (row["catalogue"], row["name"], row["redshift_kind"]) == (name, label, kind)
    assert row["object_type"] == CATALOGUES[name].object_type
    found = [row[key] for key in ("ra_deg", "dec_deg", "redshift", "m500c_msun", "snr")]
    np.testing.assert_allclose(np.array(found, float), [1.5, -2.5, redshift, mass, snr], rtol=1e-9)


def test_every_catalogue_has_one_place_and_a_known_type():
    for catalogue in CATALOGUES.values():
        assert bool(catalogue.vizier) != bool(catalogue.url)
        assert catalogue.source().startswith("https://")
        assert catalogue.object_type in ("cluster", "galaxy", "star", "agn")


def test_no_row_is_lost_to_the_default_limit(read):
    rows = {"Name": [f"n{i}" for i in range(120)], "_RAJ2000": np.linspace(0, 10, 120), "_DEJ2000": np.zeros(120)}

    def limited(request):
        limit = request.query.get("-out.max", "50")
        number = len(rows["Name"]) if limit == "unlimited" else int(limit)
        return votable({name: values[:number] for name, values in rows.items()})

    assert len(read("tycho2", limited)) == 120
    query = read.asked[0].query
    assert (query["-source"], query["VTmag"]) == ("I/259/tyc2", "<8")
    assert "-out.all" not in query
    assert urllib.parse.parse_qs(urllib.parse.urlsplit(vizier_url("a/b", columns=("x", "y"))).query)["-out"] == [
        "x",
        "y",
    ]


def test_what_a_server_says_instead_of_a_table(read):
    with pytest.raises(InputError, match="a VOTable that holds no table: No catalog or table was specified"):
        read("psz2", NO_TABLE)
    with pytest.raises(InputError, match="a VOTable that is not the whole table: the server stopped at a limit"):
        read("mcxc", votable({"RAdeg": [1.0], "DEdeg": [2.0]}, status="OVERFLOW"))
    with pytest.raises(InputError, match="the server sent a truncated VOTable"):
        read("mcxc2", votable({"RAdeg": [1.0], "DEdeg": [2.0]})[:-30])
    with pytest.raises(InputError, match="a VOTable that cannot be read as a VOTable"):
        read("spt_sz", b"<?xml version='1.0'?><VOTABLE><RESOURCE></VOTABLE>")
    with pytest.raises(InputError, match="has no columns ra and dec; it has x"):
        read("spt_ecs", votable({"x": [1.0]}))
    assert len(read("psz2", votable({"RAJ2000": [1.0], "DEJ2000": [2.0]}))) == 1  # the error was not kept


def test_files_of_ones_own(tmp_path):
    path = tmp_path / "mine.ecsv"
    Table(
        {"ra": [1.0, 2.0, np.nan], "dec": [0.0] * 3, "z": [0.5, 0.0, 1.0], "object_type": ["star", "agn", "x"]}
    ).write(path)
    table = read_catalogue(str(path))
    assert list(table["object_type"]) == ["star", "agn"]
    assert set(table["catalogue"]) == {"mine"}
    np.testing.assert_array_equal(table["redshift"], [0.5, np.nan])
    Table({"ra": [1.0], "dec": [0.0], "m500c_msun": [3e14]}).write(path, overwrite=True)
    assert read_catalogue(f"galaxy={path}")["object_type"][0] == "galaxy"
    assert read_catalogue(str(path))["object_type"][0] == "cluster"
    assert read_catalogue(str(path))["m500c_msun"][0] == 3e14
    Table({"ra": [1.0], "dec": [0.0], "M500c": [3.0]}).write(path, overwrite=True)
    assert read_catalogue(f"act_dr6={path}")["m500c_msun"][0] == 3e14
    (tmp_path / "vizier.vot").write_bytes(votable({"RAdeg": [1.0], "DEdeg": [2.0]}))
    assert len(read_catalogue(f"mcxc={tmp_path / 'vizier.vot'}")) == 1
    assert len(read_votable(tmp_path / "vizier.vot")) == 1
    with pytest.raises(InputError, match=r"catalogue 'act_dr7' is unknown; use a file, or one of act_dr5, act"):
        read_catalogue("act_dr7")
    with pytest.raises(InputError, match="catalogue psz2 must be fetched; give a copy of it: psz2=FILE"):
        read_catalogue("psz2")
    with pytest.raises(InputError, match=r"none\.csv does not exist"):
        read_catalogue(f"psz2={tmp_path / 'none.csv'}")


def test_masked_numbers_are_nan():
    table = Table(
        {"ra": [1.0, 2.0], "dec": [0.0, 0.0], "MSZ": np.ma.array([5, 6], mask=[True, False]), "NAME": ["a", "b"]}
    )
    result = standardise(table, CATALOGUES["psz2"], "psz2")
    np.testing.assert_array_equal(result["m500c_msun"], [np.nan, 6e14])


def test_real_catalogues(shared_data):
    """Counts as published; ACT DR5's median redshift is 0.52 (Hilton et al. 2021)."""
    folder = shared_data / "catalogues"
    published = [
        ("act_dr5", "aactpol.csv.gz", 4195), ("psz2", "psz2_union_R2.08.fits", 1653), ("mcxc", "mcxc.csv.gz", 1743),
        ("redmapper", "sdss_redmapper.csv.gz", 26350), ("spt_sz", "sptsz.csv.gz", 677),
        ("spt_ecs", "sptecs.csv.gz", 470),
    ]  # fmt: skip
    tables = {name: read_catalogue(f"{name}={folder / 'clusters' / file}") for name, file, _ in published}
    assert [len(tables[name]) for name, *_ in published] == [number for *_, number in published]
    assert np.nanmedian(tables["act_dr5"]["redshift"]) == pytest.approx(0.52, abs=0.005)
    assert np.isfinite(tables["psz2"]["redshift"]).sum() == 1094
    assert np.nanmax(tables["psz2"]["m500c_msun"]) == pytest.approx(16.1e14, rel=0.01)
    assert tables["psz2"]["name"][0] == "PSZ2 G000.04+45.13"
    stars = read_catalogue(f"star={folder / 'negatives' / 'tycho2-mag6.fits'}")
    assert (len(stars), set(stars["object_type"])) == (4683, {"star"})
