"""The program as a user runs it: every job once on a small sky, from a config of its own; then what it left behind."""

import json
import pathlib
import re

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from clusterjax.evaluation.calibration import Calibration
from clusterjax.sky.moc import read_moc
from clusterjax.sky.open_map import open_map


def test_main_job_ends_with_the_headline_and_the_paths(finished_run):
    _workdir, result = finished_run
    lines = result.stdout.splitlines()
    assert any(line.startswith("baseline") and "±" in line for line in lines)
    assert any(line.startswith("aperture count") for line in lines)
    paths = [line.split()[-1] for line in lines if line.startswith(("report", "probability map", "candidates"))]
    assert len(paths) == 3
    assert all(pathlib.Path(path).exists() for path in paths)
    assert "Traceback" not in result.stderr


def test_training_uses_the_rate_that_the_range_test_found(finished_run):
    workdir, _ = finished_run
    suggestion = json.loads((workdir / "lr_range" / "lr_range.json").read_text())["suggestion"]
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    rates = [row["learning_rate"] for row in rows if row["split"] == "train"]
    steps = [row["step"] for row in rows if row["split"] == "train"]
    assert steps == list(range(2, 25, 2))
    np.testing.assert_allclose(rates, [suggestion * 0.8 ** ((step - 1) // 8) for step in steps], rtol=1e-5)


def test_reported_accuracy_is_that_of_the_predictions(finished_run):
    workdir, _ = finished_run
    table = Table.read(workdir / "evaluation" / "predictions_test.fits")
    assert len(table) == 64
    assert len(set(table["object_id"])) == 64
    metrics = json.loads((workdir / "evaluation" / "metrics.json").read_text())
    right = (np.asarray(table["score"]) >= 0.5) == np.asarray(table["label"]).astype(bool)
    assert metrics["test"]["accuracy"] == pytest.approx(right.mean())


def test_probabilities_lie_beside_the_scores(finished_run):
    """In the tables, in the map and of the candidates: what the calibration in calibration.json makes of the score."""
    workdir, _ = finished_run
    values = json.loads((workdir / "evaluation" / "calibration.json").read_text())
    calibration = Calibration.from_dict(values["for_maps"])
    assert values["for_maps"] == values["calibration"]  # no densities on the sky were given
    test = Table.read(workdir / "evaluation" / "predictions_test.fits")
    np.testing.assert_allclose(test["probability"], calibration.positive(np.asarray(test["score"], float)), atol=1e-6)
    with fits.open(workdir / "scan" / "score.fits") as a, fits.open(workdir / "scan" / "probability.fits") as b:
        assert (a[0].header["EXTNAME"], b[0].header["EXTNAME"]) == ("SCORE", "PROBABILITY")
        expected = calibration.positive(np.asarray(a[0].data, float))
        np.testing.assert_allclose(b[0].data, expected, atol=1e-6)
    candidates = Table.read(workdir / "scan" / "candidates.fits")
    expected = calibration.positive(np.asarray(candidates["score"], float))
    np.testing.assert_allclose(candidates["probability"], expected, atol=1e-6)


def test_score_map_has_the_maps_sky(finished_run):
    workdir, _ = finished_run
    with fits.open(workdir / "scan" / "score.fits") as hdus:
        header, score = hdus[0].header, hdus[0].data
        sky = WCS(header)
    with fits.open(workdir / "scan" / "simulated_map.fits") as hdus:
        map_wcs = WCS(hdus[0].header, naxis=2)
    assert score.shape == (13, 13)
    # Grid point (row 2, column 3) is the centre of the window that begins at pixel (32, 48).
    ra, dec = sky.pixel_to_world_values(3, 2)
    expected = map_wcs.pixel_to_world_values(48 + 31.5, 32 + 31.5)
    np.testing.assert_allclose((ra, dec), expected, atol=1e-7)
    assert np.isfinite(score).all()
    assert (score >= 0).all()
    assert (score <= 1).all()


def test_report_holds_all_its_pictures(finished_run):
    workdir, _ = finished_run
    page = (workdir / "report" / "index.html").read_text()
    assert page.count("data:image/png;base64,") > 10
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    assert len(list((workdir / "report" / "figures").glob("*.png"))) >= 8


def test_what_the_network_looks_at_is_in_the_report(finished_run):
    """Every cutout of the galleries; the attributions make the log-odds, which are those of the scores."""
    workdir, _ = finished_run
    explained = Table.read(workdir / "explain" / "explanations.ecsv")
    test = Table.read(workdir / "evaluation" / "predictions_test.fits")
    score = np.asarray(test["score"], float)[np.searchsorted(test["index"], explained["index"])]
    np.testing.assert_allclose(explained["log_odds"], np.log(score / (1 - score)), rtol=1e-3, atol=1e-3)
    parts = explained["attribution_W1"] + explained["attribution_W2"]
    difference = explained["log_odds"] - explained["baseline_log_odds"]
    np.testing.assert_allclose(parts, difference, rtol=0.1, atol=0.05)
    with np.load(workdir / "explain" / "maps.npz") as maps:
        assert maps["grad_cam"].shape == maps["attribution"].shape == (len(explained), 64, 64)
        np.testing.assert_allclose(maps["attribution"].sum(axis=(1, 2)), parts, atol=1e-3)
    page = (workdir / "report" / "index.html").read_text()
    assert page.count('alt="Grad-CAM of') == page.count('alt="W2 of') == len(explained)
    assert "figure-activations_0" in page
    assert "figure-plane" in page


def test_the_run_has_a_model_card(finished_run):
    workdir, _ = finished_run
    card = (workdir / "report" / "model_card.md").read_text()
    for title in ("Model details", "Intended use", "Training data", "Quantitative analyses", "Caveats", "Provenance"):
        assert f"## {title}" in card
    metrics = json.loads((workdir / "evaluation" / "metrics.json").read_text())
    assert f"| {metrics['test']['auc']:.3f} |" in card
    (entry,) = [json.loads(line) for line in (workdir / "provenance.jsonl").read_text().splitlines()]
    assert entry["hardware"]["devices"] == "2 cpu"
    assert f"{entry['date']}, jax**: {entry['software']['jax']}" in card
    assert "fingerprint" in card
    assert (workdir / "report" / "model_card.html").stat().st_size > 10_000
    (data,) = re.findall("fingerprint ([0-9a-f]{16})", card)
    data_card = (workdir / "data_card" / "index.html").read_text()
    assert data in data_card
    assert entry["software"]["tensorflow-datasets"] in data_card


def test_same_command_again_does_nothing_new(finished_run, tiny_config, run_program):
    workdir, _ = finished_run
    before = (workdir / "checkpoints").stat().st_mtime_ns
    result = run_program(f"--config={tiny_config}", f"--workdir={workdir}")
    assert result.returncode == 0, result.stderr
    assert "training is finished" in result.stderr
    assert "explanations of" in result.stderr
    assert "are done" in result.stderr
    assert (workdir / "checkpoints").stat().st_mtime_ns == before


def test_evaluate_and_scan_from_the_checkpoint_alone(finished_run, tiny_config, tmp_path, run_program):
    workdir, _ = finished_run
    copy = tmp_path / "somewhere_else"
    (workdir / "checkpoints").rename(copy)
    try:
        result = run_program("--job=evaluate", f"--checkpoint={copy}", f"--workdir={tmp_path / 'out'}")
        assert result.returncode == 0, result.stderr
        scan = ["--job=scan", f"--checkpoint={copy}", f"--workdir={tmp_path / 'out'}"]
        image = workdir / "scan" / "simulated_map.fits"
        known = workdir / "scan" / "sources.ecsv"
        outputs = "--config.search.outputs=('healpix','hips','moc')"
        catalogues = [f"--catalogue={known}", f"--catalogue=same={known}"]
        result = run_program(f"--config={tiny_config}", *scan, f"--map={image}", *catalogues, outputs, num_devices=1)
        assert result.returncode == 0, result.stderr
    finally:
        copy.rename(workdir / "checkpoints")
    first = Table.read(workdir / "evaluation" / "predictions_test.fits")
    again = Table.read(tmp_path / "out" / "evaluation" / "predictions_test.fits")
    np.testing.assert_allclose(again["score"], first["score"], atol=1e-6)
    with fits.open(workdir / "scan" / "score.fits") as a, fits.open(tmp_path / "out" / "scan" / "score.fits") as b:
        np.testing.assert_allclose(a[0].data, b[0].data, atol=1e-5)
    _check_catalogue(tmp_path / "out" / "scan", known)
    result = run_program("--job=report", f"--checkpoint={workdir}", f"--workdir={tmp_path / 'out'}")
    assert result.returncode == 2


def _check_catalogue(folder, known):
    """Two catalogues side by side, every format, and the map as HEALPix, HiPS and MOC."""
    candidates = Table.read(folder / "candidates.fits")
    sources = Table.read(known)
    assert all(name.startswith("CJX J") for name in candidates["name"])
    matched = np.asarray(candidates["source_index"]) >= 0
    for label in ("sources", "same"):
        np.testing.assert_array_equal(candidates[f"{label}_status"] == "known", matched)
    redshift = np.asarray(candidates["redshift"])
    assert np.isin(redshift[np.isfinite(redshift)], np.asarray(sources["redshift"], float)).all()
    assert len(Table.read(folder / "sources.fits")) == len(sources)  # the same objects, once each
    for ending in ("vot", "csv", "reg", "crtf", "ecsv"):
        assert "clusterjax" in (folder / f"candidates.{ending}").read_text()  # the software that made it
    assert (folder / "matches.ecsv").exists()
    with fits.open(folder / "score.fits") as hdus:
        score, sky = hdus[0].data, WCS(hdus[0].header)
    ra, dec = sky.pixel_to_world_values(*np.indices(score.shape)[::-1])
    for path in (folder / "healpix.fits[SCORE]", folder / "hips" / "score"):
        values = open_map([path]).values(ra.ravel(), dec.ravel())[:, 0].reshape(score.shape)
        assert np.mean(np.abs(values - score) < 1e-6) > 0.95  # a cell on the border of two pixels has one's value
    assert read_moc(folder / "footprint.fits").contains(ra[5:8, 6], dec[5:8, 6]).all()


def test_a_map_unlike_the_training_is_told(finished_run, tmp_path, run_program):
    """Detector numbers at another pixel scale: scanned, but not in silence."""
    workdir, _ = finished_run
    with fits.open(workdir / "scan" / "simulated_map.fits") as hdus:
        hdus[0].header["BUNIT"] = "DN"
        hdus[0].header["CDELT1"] *= 0.5
        hdus[0].header["CDELT2"] *= 0.5
        hdus.writeto(tmp_path / "other.fits")
    arguments = ["--job=scan", f"--checkpoint={workdir}", f"--workdir={tmp_path / 'run'}"]
    result = run_program(*arguments, f"--map={tmp_path / 'other.fits'}")
    assert result.returncode == 0, result.stderr
    assert "the map is in DN, the network was trained on nMgy (Vega)" in result.stderr
    assert 'the map has 1.375" pixels, the network was trained on 2.750"' in result.stderr
