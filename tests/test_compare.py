"""The job compare over runs that were made up: its tables, its page, and what it leaves out."""

import json

import numpy as np
import pytest
from astropy.table import Table

from clusterjax.config import DataConfig, ExperimentConfig, ModelConfig, to_json
from clusterjax.errors import InputError
from clusterjax.evaluation.binary import binary_metrics
from clusterjax.jobs import compare
from clusterjax.odds import logistic
from clusterjax.sky.catalogues import read_table, write_table


def make_run(folder, *, model="baseline", builder="ir_cutouts", strength=1.5, seed=0, evaluated=True):
    """A run whose cutouts are those of ``builder``, and whose mistakes are its own only in part."""
    sky = np.random.default_rng(7)
    label = (sky.random(800) < 0.5).astype(np.int32)
    shared, redshift = sky.normal(size=800), np.where(label, sky.uniform(0.1, 1.5, 800), np.nan)
    own = np.random.default_rng(seed).normal(size=800)
    score = logistic(2 * (strength * (2 * label - 1) + shared + 0.7 * own)).astype(np.float32)
    evaluation = folder / "evaluation"
    evaluation.mkdir(parents=True)
    config = ExperimentConfig(data=DataConfig(builder=builder), model=ModelConfig(model))
    (folder / "config.json").write_text(to_json(config))
    if evaluated:
        columns = {"object_id": np.arange(800), "label": label, "redshift": redshift, "score": score}
        write_table(evaluation / "predictions_test", Table(columns))
        figures = {"loss": 0.4, **binary_metrics(label, score)}
        values = {"made_from": {"data": f"{builder}/1.0.0", "checkpoint": "x"}, "test": figures}
        (evaluation / "metrics.json").write_text(json.dumps(values))
    return folder


def test_tables_and_page(tmp_path, capsys):
    folders = [
        make_run(tmp_path / "weak", strength=0.8),
        make_run(tmp_path / "strong", model="alexnet_vgg", strength=1.8, seed=1),
        make_run(tmp_path / "twin", model="vit_tiny", strength=1.8, seed=2),
        make_run(tmp_path / "microwave", model="alexnet_vgg", builder="microwave_cutouts", seed=3),
        make_run(tmp_path / "unfinished", evaluated=False),
    ]
    compare(folders, tmp_path / "out")
    printed = capsys.readouterr()
    assert "unfinished is left out: it has no evaluation/metrics.json" in printed.err
    table = read_table(tmp_path / "out" / "comparison.fits")
    assert set(table["run"]) == {"weak", "strong", "twin", "microwave"}
    assert table["run"][2] == "weak"  # by data set, then by accuracy
    published = dict(zip(table["run"], table["published_accuracy"], strict=True))
    assert published["strong"] == pytest.approx(0.905)
    assert published["microwave"] == pytest.approx(0.937)
    assert published["weak"] == pytest.approx(0.668)
    assert np.ma.is_masked(published["twin"])
    test = read_table(tmp_path / "strong" / "evaluation" / "predictions_test.fits")
    right = (np.asarray(test["score"]) >= 0.5) == (np.asarray(test["label"]) == 1)
    assert table["accuracy"][list(table["run"]).index("strong")] == pytest.approx(right.mean())
    pairs = {(row["run"], row["less"]): row for row in read_table(tmp_path / "out" / "differences.fits")}
    assert len(pairs) == 3  # of the three infrared runs; never across data sets
    for names, row in pairs.items():
        if "weak" in names:
            assert row["accuracy_difference"] > 0
            assert row["accuracy_p_value"] < 0.01
            assert row["auc_p_value"] < 0.01
        else:
            assert row["accuracy_p_value"] > 0.05
    page = (tmp_path / "out" / "report" / "index.html").read_text()
    assert "nor these for them" in page
    assert "Recall against redshift of strong, twin, weak" in page or "Recall against redshift of twin, strong" in page
    assert (tmp_path / "out" / "report" / "figures" / "recall_redshift_2.png").exists()


def test_fewer_than_two_runs_and_two_of_one_name(tmp_path):
    only = make_run(tmp_path / "a" / "run")
    with pytest.raises(InputError, match="1 of 2 folders hold an evaluated run"):
        compare([only, tmp_path / "absent"], tmp_path / "out")
    with pytest.raises(InputError, match="both called run"):
        compare([only, make_run(tmp_path / "b" / "run")], tmp_path / "out")


def test_from_the_command_line(tmp_path, run_program):
    folders = [make_run(tmp_path / name, seed=i) for i, name in enumerate("ab")]
    result = run_program("--job=compare", f"--workdir={tmp_path / 'out'}", *folders)
    assert result.returncode == 0, result.stderr
    assert "published_accuracy" in result.stdout
    none = run_program("--job=compare", f"--workdir={tmp_path / 'none'}")
    assert none.returncode == 2
    assert "0 of 0 folders" in none.stderr
    assert not (tmp_path / "none").exists()
