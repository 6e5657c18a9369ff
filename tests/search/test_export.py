import csv
import io
import json
import warnings

import numpy as np
import pytest
import regions
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.io.votable import parse, validate
from astropy.io.votable.ucd import check_ucd
from astropy.table import Table

from clusterjax.search.candidates import characterise
from clusterjax.search.designations import designations
from clusterjax.search.detect import find_detections
from clusterjax.search.export import UCDS, with_ucds, write_candidates
from clusterjax.search.flags import set_catalogue_flags
from clusterjax.search.known import KnownObjects, mark_known
from clusterjax.sky.catalogues import read_table
from tests.search.score_maps import add_peaks, gaussian_field, score_map

PROVENANCE = {"model": "tiny", "checkpoint": "runs/a/checkpoints/3", "config_sha256": "ab12", "map": "a<&>\"b.fits",
              "software": "clusterjax 0", "date": "2026-11-22T00:00:00+00:00"}  # fmt: skip


def _candidates(number) -> Table:
    field = gaussian_field((120, 120), spread=0.3, correlation_pixels=1.0) - 6.0
    places = [(30, 30), (30, 90), (90, 30), (90, 90)][:number]
    add_peaks(field, places, 12.0, (2.5, 1.5))
    scores = score_map(field, dec_deg=-40.0)
    found = find_detections(scores, threshold=0.9, min_separation_arcmin=2.0, smoothing_pixels=0)
    table, _ = characterise(found, scores, smoothing_pixels=0)
    table, _ = set_catalogue_flags(table, {"star": Table({"ra": [10.0], "dec": [-40.0]})}, radius_arcmin=1.0)
    table.add_column(np.array(designations(table["ra_deg"], table["dec_deg"], acronym="CJX"), str), 0, "name")
    known = Table({"ra_deg": table["ra_deg"][:1], "dec_deg": table["dec_deg"][:1], "name": np.array(["Ünë"])[:number],
                   "redshift": np.array([0.5])[:number], "redshift_kind": np.array(["spec"])[:number]})  # fmt: skip
    objects = KnownObjects("psz2", known, covers=lambda ra, dec: np.asarray(dec) > -40)
    return mark_known(table, [objects], radius_arcmin=1.0)[0]


@pytest.fixture(scope="module", params=[4, 0])
def exported(request, tmp_path_factory):
    """(table, folder with every format of it); once with candidates, once without."""
    table, folder = _candidates(request.param), tmp_path_factory.mktemp("export")
    assert len(table) == request.param
    paths = write_candidates(folder / "candidates", table, provenance=PROVENANCE)
    assert [path.suffix for path in paths] == [".fits", ".ecsv", ".vot", ".csv", ".reg", ".crtf"]
    return table, folder


def test_votable_is_valid(exported):
    """Every warning of astropy's validator is an error; each column has what programs go by."""
    table, folder = exported
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        document = parse(folder / "candidates.vot", verify="exception")
    said = io.StringIO()
    assert validate(folder / "candidates.vot", output=said, xmllint=False), said.getvalue()
    fields = {field.name: field for field in document.get_first_table().fields}
    assert list(fields) == table.colnames
    for name, field in fields.items():
        assert check_ucd(field.ucd, check_controlled_vocabulary=True, has_colon=True), name
        assert field.description or name == "name"
        assert field.unit == (table[name].unit or None)
    assert (fields["ra_deg"].ucd, fields["dec_deg"].ucd) == ("pos.eq.ra;meta.main", "pos.eq.dec;meta.main")
    assert fields["ra_deg"].ref == document.resources[0].coordinate_systems[0].ID
    infos = {info.name: info.value for info in document.resources[0].infos}
    assert {name: infos[name] for name in PROVENANCE} == PROVENANCE


def test_every_format_holds_the_same(exported):
    table, folder = exported
    for ending in ("fits", "ecsv", "vot", "csv"):
        back = read_table(folder / f"candidates.{ending}")
        assert back.colnames == table.colnames
        assert len(back) == len(table)
        for name in table.colnames if len(table) else ():
            if table[name].dtype.kind in "US":
                texts = [str(text) for text in np.ma.filled(np.ma.asarray(back[name]).astype(object), "")]
                expected = table[name].tolist()
                if ending == "fits":  # ASCII alone
                    expected = [text.encode("ascii", "replace").decode() for text in expected]
                assert texts == expected, (ending, name)
            else:
                values = np.ma.filled(np.ma.asarray(back[name], dtype=float), np.nan)
                np.testing.assert_allclose(values, np.asarray(table[name], float), rtol=1e-6, err_msg=name)


def test_each_says_what_made_it(exported):
    _, folder = exported
    header = fits.getheader(folder / "candidates.fits", 1)
    assert json.loads(header["PROVENAN"]) == PROVENANCE
    assert header[f"TUCD{_column(header, 'ra_deg')}"] == "pos.eq.ra;meta.main"
    assert "16 star" in header[f"TCOMM{_column(header, 'flags')}"]
    assert dict(Table.read(folder / "candidates.ecsv").meta["provenance"]) == PROVENANCE
    for ending in ("csv", "reg", "crtf"):
        text = (folder / f"candidates.{ending}").read_text()
        assert all(f"# {name}: {value}\n" in text for name, value in PROVENANCE.items())


def _column(header, name):
    return next(index for index in range(1, 100) if header[f"TTYPE{index}"] == name)


def test_csv_is_read_by_what_knows_comments_alone(exported):
    table, folder = exported
    with (folder / "candidates.csv").open(newline="") as stream:
        rows = list(csv.DictReader(line for line in stream if not line.startswith("#")))
    assert [row["name"] for row in rows] == table["name"].tolist()


@pytest.mark.parametrize(("ending", "form"), [("reg", "ds9"), ("crtf", "crtf")])
def test_regions_are_where_the_peaks_are_at_half_their_height(exported, ending, form):
    """Read by the package regions: the place, the axes, the angle, the name and the colour."""
    table, folder = exported
    found = regions.Regions.read(folder / f"candidates.{ending}", format=form)
    assert len(found) == len(table)
    for region, row in zip(found, table, strict=True):
        here = SkyCoord(row["ra_deg"], row["dec_deg"], unit="deg")
        assert region.center.separation(here).arcsec < 0.01
        for size, axis in ((region.width, "minor"), (region.height, "major")):  # along RA, along Dec before the turn
            expected = 2 * np.sqrt(2 * np.log(2)) * row[f"extent_{axis}_arcmin"]
            assert size.to_value(u.arcmin) == pytest.approx(expected, abs=1e-3)
        assert region.angle.to_value(u.deg) == pytest.approx(row["extent_angle_deg"], abs=0.01)
        assert row["name"] in (region.meta.get("text"), region.meta.get("label"))
        colour = {"known": "green", "new": "red", "unknown": "yellow"}[row["status"]]
        assert colour in {str(value) for value in region.visual.values()}


def test_ucds_are_of_the_vocabulary():
    for ucd in UCDS.values():
        assert check_ucd(ucd, check_controlled_vocabulary=True), ucd
    table = with_ucds(Table({"act_dr5_separation_arcmin": [1.0], "psz2_redshift": [1.0], "mass_of_mine": [2.0]}))
    assert table["act_dr5_separation_arcmin"].meta["ucd"] == "pos.angDistance"
    assert table["psz2_redshift"].meta["ucd"] == "src.redshift"
    assert "ucd" not in table["mass_of_mine"].meta


def test_a_peak_of_unknown_extent_is_a_circle(tmp_path):
    table = _candidates(4)
    table["extent_major_arcmin"][1] = table["extent_angle_deg"][1] = np.nan
    write_candidates(tmp_path / "c", table, provenance={})
    region = regions.Regions.read(tmp_path / "c.reg", format="ds9")[1]
    assert (region.width, region.height, region.angle) == (2 * u.arcmin, 2 * u.arcmin, 0 * u.deg)
