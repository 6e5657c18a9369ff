"""The job merge: candidates of two scans of one sky, each once."""

import json

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io.votable import parse

from clusterjax.errors import InputError
from clusterjax.jobs import merge
from clusterjax.main import JOBS
from clusterjax.search.candidates import characterise
from clusterjax.search.designations import designations
from clusterjax.search.detect import find_detections
from clusterjax.search.export import write_candidates
from clusterjax.sky.catalogues import read_table
from clusterjax.sky.fits import write_probability_map
from tests.search.score_maps import GRID_ARCMIN, add_peaks, gaussian_field, score_map

PEAKS = {"both": (20, 30), "infrared alone": (60, 20), "outside the other": (15, 85)}


def make_run(folder, peaks, *, size, height, radius_arcmin, seed, extra=None):
    """A run with a scan of noise and ``peaks``, whose first pixel is that of the others."""
    odds = gaussian_field((100, 100), spread=1.0, correlation_pixels=1.5, seed=seed) - 6
    scores = score_map(add_peaks(odds, peaks, height, 2.0))
    scores = scores.__class__(scores.score[:, :size], scores.valid_fraction[:, :size], scores.wcs, 64, 8)
    found = find_detections(scores, threshold=0.9, min_separation_arcmin=1.5)
    found, _ = characterise(found, scores)
    found.add_column(
        np.array(designations(found["ra_deg"], found["dec_deg"], acronym="CJX"), str), name="name", index=0
    )
    for name in extra or ():
        found[name] = 1.0
    (folder / "scan").mkdir(parents=True)
    write_probability_map(folder / "scan" / "score.fits", scores)
    write_candidates(folder / "scan" / "candidates", found, provenance={"map": folder.name})
    made_from = {"search": {"match_radius_arcmin": radius_arcmin}}
    (folder / "scan" / "summary.json").write_text(json.dumps({"made_from": made_from}))
    return scores, found


@pytest.fixture
def runs(tmp_path):
    infrared = make_run(
        tmp_path / "ir",
        list(PEAKS.values()),
        size=100,
        height=12.0,
        radius_arcmin=1.0,
        seed=1,
        extra=("psz2_redshift",),
    )
    y, x = PEAKS["both"]
    microwave = make_run(tmp_path / "mw", [(y + 2, x + 2), (80, 60)], size=70, height=14.0, radius_arcmin=2.5, seed=2)
    return tmp_path, infrared, microwave


def test_each_once_with_what_every_scan_says(runs, capsys):
    folder, (scores, infrared), (_, microwave) = runs
    merge([folder / "ir", folder / "mw"], folder / "merged")
    assert "4 candidates (2 in ir, 1 in ir; mw, 1 in mw)" in capsys.readouterr().err
    merged = read_table(folder / "merged" / "candidates.fits")
    places = {name: SkyCoord(*scores.wcs.wcs_pix2world(x, y, 0), unit="deg") for name, (y, x) in PEAKS.items()}
    places["microwave alone"] = SkyCoord(*scores.wcs.wcs_pix2world(60, 80, 0), unit="deg")
    rows = {
        name: merged[SkyCoord(merged["ra_deg"], merged["dec_deg"]).separation(place).arcmin < 4 * GRID_ARCMIN]
        for name, place in places.items()
    }
    assert [len(row) for row in rows.values()] == [1, 1, 1, 1]
    found_in = {name: str(row["found_in"][0]) for name, row in rows.items()}
    assert found_in == {
        "both": "ir; mw", "infrared alone": "ir", "outside the other": "ir", "microwave alone": "mw"
    }  # fmt: skip
    both = rows["both"][0]  # the higher peak gives the row
    assert both["significance"] == both["mw_significance"]
    assert both["significance"] in microwave["significance"]
    assert both["mw_separation_arcmin"] == pytest.approx(0, abs=1e-6)
    own = SkyCoord(infrared["ra_deg"], infrared["dec_deg"]).separation(places["both"]).arcmin.argmin()
    assert both["ir_significance"] == infrared["significance"][own]
    assert both["ir_separation_arcmin"] == pytest.approx(np.hypot(2, 2) * GRID_ARCMIN, rel=0.3)
    assert both["name"] in microwave["name"]
    for name, run in (("infrared alone", "ir"), ("outside the other", "ir"), ("microwave alone", "mw")):
        assert rows[name]["significance"][0] == rows[name][f"{run}_significance"][0]
    assert np.ma.is_masked(rows["infrared alone"]["mw_significance"][0])
    assert rows["infrared alone"]["mw_searched"][0]  # not seen there
    assert not rows["outside the other"]["mw_searched"][0]  # not looked at there
    assert (np.diff(merged["significance"]) <= 0).all()
    assert not {"x_pixels", "psz2_redshift"} & set(merged.colnames)
    votable = parse(str(folder / "merged" / "candidates.vot")).get_first_table()
    assert len(votable.array) == 4
    summary = json.loads((folder / "merged" / "summary.json").read_text())
    assert (summary["radius_arcmin"], summary["num_candidates"]) == (2.5, 4)


def test_what_cannot_be_merged(runs, tmp_path):
    assert "merge" in JOBS
    folder = runs[0]
    with pytest.raises(InputError, match="two or more scanned runs"):
        merge([folder / "ir"], folder / "merged")
    with pytest.raises(InputError, match=r"no finished scan in scan/; run --job=scan there first"):
        merge([folder / "ir", folder / "nothing"], folder / "merged")
    with pytest.raises(InputError, match=r"two are alike: ir, ir"):
        merge([folder / "ir", folder / "ir"], folder / "merged")
    assert not (folder / "merged").exists()
