"""What the job evaluate leaves of its calibration, and which of them a scan takes."""

import json

import numpy as np
import pytest
from astropy.table import Table

from clusterjax.config import EvaluationConfig, ExperimentConfig
from clusterjax.errors import InputError
from clusterjax.evaluation.reliability import calibration_error
from clusterjax.jobs.calibrating import calibrate, calibration_inputs, find_calibration, scores_of
from clusterjax.odds import logistic
from clusterjax.sky.catalogues import read_table

CLASSES = ("other", "cluster")


def predictions(seed, num=3000):
    """Half clusters, three times too sure; groups are harder than the random sky."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(["cluster", "random", "group"], num, p=[0.5, 0.4, 0.1])
    x = rng.normal(size=num) + np.select([kind == "cluster", kind == "group"], [1.0, 0.5], -1.0)
    score = logistic(6 * x).astype(np.float32)
    return Table({"label": (kind == "cluster").astype(np.int32), "object_type": kind, "score": score})


def run(folder, config, seed=0, source="/somewhere/checkpoints/8"):
    folder.mkdir(exist_ok=True, parents=True)
    tables = {"validation": predictions(seed), "test": predictions(seed + 1)}
    made_from = {"checkpoint": source, "calibration": calibration_inputs(config)}
    calibrate(config, tables, CLASSES, folder, made_from)
    return tables


@pytest.mark.parametrize("method", ["temperature", "platt", "isotonic"])
def test_probabilities_beside_the_scores(tmp_path, method):
    tables = run(tmp_path, ExperimentConfig(evaluation=EvaluationConfig(calibration=method)))
    test = tables["test"]
    before, after = (
        calibration_error(test["label"], np.asarray(test[name], float)) for name in ("score", "probability")
    )
    assert after.ece < 2 * after.if_perfect < before.ece
    table = read_table(tmp_path / "calibration.fits")
    assert table["calibration"].tolist() == ["none", "temperature", "platt", "isotonic"]
    assert [row["calibration"] for row in table if row["used"]] == [method]
    row = table[table["calibration"] == method][0]
    assert (row["ece"], row["ece_error"]) == pytest.approx((after.ece, after.error), rel=0.02)
    assert row["log_loss"] < table["log_loss"][0]


def test_none_leaves_the_scores_alone(tmp_path):
    config = ExperimentConfig(evaluation=EvaluationConfig(calibration="none"))
    assert "probability" not in run(tmp_path / "evaluation", config)["test"].colnames
    assert len(read_table(tmp_path / "evaluation" / "calibration.fits")) == 4
    assert find_calibration(tmp_path, config, "/somewhere/checkpoints/8") is None


def test_many_classes(tmp_path):
    rng = np.random.default_rng(0)
    names, tables = ("a", "b", "cluster"), {}
    for split in ("validation", "test"):
        label, logits = rng.integers(0, 3, 600), rng.normal(size=(600, 3))
        logits[np.arange(600), label] += 1.5
        scores = np.exp(3 * logits) / np.exp(3 * logits).sum(axis=1, keepdims=True)
        tables[split] = Table({"label": label, **{f"score_{name}": scores[:, i] for i, name in enumerate(names)}})
    config = ExperimentConfig()
    calibrate(config, tables, names, tmp_path, {})
    probabilities = scores_of(tables["test"], names, "probability")
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert probabilities.max() < scores_of(tables["test"], names).max()
    assert json.loads((tmp_path / "calibration.json").read_text())["for_maps"]["method"] == "platt"


def test_scan_takes_the_calibration_of_its_checkpoint_and_config(tmp_path, capsys):
    config, moved = ExperimentConfig(), tmp_path / "moved"
    source = moved / "checkpoints" / "8"
    run(moved / "evaluation", config, source="/where/it/was/checkpoints/8")
    found = find_calibration(tmp_path / "new", config, str(source))
    assert found.positive(np.array([0.99]))[0] < 0.95
    # Another evaluation lies in the workdir of the scan: of another checkpoint, then of this one.
    run(tmp_path / "new" / "evaluation", config, seed=5, source="/another/checkpoints/8")
    assert find_calibration(tmp_path / "new", config, str(source)) == found
    run(tmp_path / "new" / "evaluation", config, seed=5, source=str(source))
    assert find_calibration(tmp_path / "new", config, str(source)) != found
    assert not capsys.readouterr().err
    other = ExperimentConfig(evaluation=EvaluationConfig(calibration="isotonic"))
    assert find_calibration(tmp_path / "new", other, str(source)) is None
    assert "run --job=evaluate first" in capsys.readouterr().err


def test_densities_on_the_sky_make_maps_sceptical(tmp_path):
    rare = ExperimentConfig(evaluation=EvaluationConfig("platt", {"cluster": 1.0, "group": 20.0}))
    tables = run(tmp_path / "evaluation", rare)
    sky = find_calibration(tmp_path, rare, "/somewhere/checkpoints/8")
    score = np.asarray(tables["test"]["score"], float)
    in_data_set = np.asarray(tables["test"]["probability"], float)
    assert in_data_set.mean() == pytest.approx(0.5, abs=0.03)
    random = np.asarray(tables["test"]["object_type"]) == "random"
    # The mean over a sky that is all but random is the density: pi (1.5/60)^2 windows per deg2.
    assert sky.positive(score[random]).mean() < 0.01
    prior = read_table(tmp_path / "evaluation" / "prior.fits")
    fractions = dict(zip(prior["object_type"], prior["fraction_of_windows"], strict=True))
    assert fractions["cluster"] == pytest.approx(np.pi * (1.5 / 60) ** 2, rel=0.03)
    unknown = ExperimentConfig(evaluation=EvaluationConfig(sky_density_per_deg2={"quasar": 1.0}))
    with pytest.raises(InputError, match="quasar"):
        run(tmp_path / "evaluation", unknown)
