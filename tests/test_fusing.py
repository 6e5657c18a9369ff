"""The job fuse over runs that were made up, and what the comparison says of purity."""

import json

import numpy as np
import pytest
from astropy.table import Table

from clusterjax.config import DataConfig, EvaluationConfig, ExperimentConfig, ModelConfig, to_json
from clusterjax.errors import InputError
from clusterjax.evaluation.binary import binary_metrics
from clusterjax.evaluation.curves import auc
from clusterjax.jobs import compare, fuse
from clusterjax.odds import logistic
from clusterjax.sky.catalogues import read_table, write_table

NUMBER = 1500


def make_run(folder, seed, *, num_members=1, densities=None):
    """An observer of its own, of cutouts that all runs share; each member sees it with noise of its own."""
    config = ExperimentConfig(
        data=DataConfig(builder="joint_cutouts"),
        model=ModelConfig(f"model_{seed}"),
        evaluation=EvaluationConfig(sky_density_per_deg2=densities or {}),
    )
    evaluation = folder / "evaluation"
    evaluation.mkdir(parents=True)
    (folder / "config.json").write_text(to_json(config))
    for split, split_seed in (("validation", 1), ("test", 2)):
        sky = np.random.default_rng(split_seed)
        label = (sky.random(NUMBER) < 0.5).astype(np.int32)
        types = np.where(label == 1, "cluster", np.where(sky.random(NUMBER) < 0.7, "random", "group"))
        own = np.random.default_rng([seed, split_seed])
        signal = 1.5 * label + own.normal(size=NUMBER)
        members = [logistic(2 * (signal - 0.75) + 0.3 * own.normal(size=NUMBER)) for _ in range(num_members)]
        table = Table({"object_id": np.arange(NUMBER), "label": label, "object_type": types})
        table["score"] = np.mean(members, axis=0)
        table["probability"] = table["score"]
        write_table(evaluation / f"predictions_{split}", table)
        if num_members > 1:
            of_members = Table({"object_id": np.arange(NUMBER), "label": label})
            for i, scores in enumerate(members):
                of_members[f"score_{i}"] = scores
            write_table(evaluation / f"members_{split}", of_members)
    figures = {"loss": 0.4, **binary_metrics(label, np.asarray(table["score"]))}
    values = {"made_from": {"data": "joint_cutouts/simulated/1.0.0", "checkpoint": "x"}, "test": figures}
    (evaluation / "metrics.json").write_text(json.dumps(values))
    return folder


def test_fused_runs_beat_their_parents_and_are_compared(tmp_path):
    densities = {"cluster": 2.0, "group": 100.0}
    parents = [make_run(tmp_path / name, seed, densities=densities) for seed, name in enumerate(("one", "two"))]
    folders = fuse(parents, tmp_path / "fused")
    assert [folder.name for folder in folders] == ["stacked", "product_of_odds"]
    tables = {
        folder.name: read_table(folder / "evaluation" / "predictions_test.fits") for folder in (*parents, *folders)
    }
    areas = {name: auc(np.asarray(table["label"]), np.asarray(table["score"], float)) for name, table in tables.items()}
    # Independent observers of d' 1.5: together of d' 1.5 sqrt 2.
    assert areas["one"] == pytest.approx(0.86, abs=0.02)
    assert areas["stacked"] == pytest.approx(0.933, abs=0.015)
    assert areas["product_of_odds"] == pytest.approx(areas["stacked"], abs=0.005)
    assert "probability" not in tables["stacked"].colnames
    compare([*parents, *folders], tmp_path / "comparison")
    purity = read_table(tmp_path / "comparison" / "purity.ecsv")
    of = {row["observer"]: row for row in purity}
    assert set(of) == {"one", "two", "stacked", "product_of_odds"}
    assert set(purity["mix"]) == {"sky"}
    assert of["stacked"]["purity_at_0.7"] > 2 * of["one"]["purity_at_0.7"]
    pairs = read_table(tmp_path / "comparison" / "purity_differences.ecsv")
    chosen = {(row["observer"], row["less"]): row for row in pairs if row["completeness"] == 0.5}
    row = next(chosen[pair] for pair in chosen if set(pair) == {"stacked", "two"})
    assert abs(row["difference"]) > 3 * (row["high"] - row["low"]) / 2 or row["p_value"] < 0.01
    page = (tmp_path / "comparison" / "report" / "index.html").read_text()
    assert "Purity of the samples that hold 0.5, 0.7, 0.8 and 0.9" in page


def test_members_are_fused_one_by_one(tmp_path):
    parents = [make_run(tmp_path / name, seed, num_members=3) for seed, name in enumerate(("one", "two"))]
    folder = fuse(parents, tmp_path / "fused")[1]
    of_members = read_table(folder / "evaluation" / "members_test.fits")
    first = [read_table(parent / "evaluation" / "members_test.fits")["score_1"] for parent in parents]
    validation = read_table(parents[0] / "evaluation" / "predictions_validation.fits")
    share = np.mean(validation["label"])
    odds = np.prod([each / (1 - each) for each in first], axis=0) * (1 - share) / share
    np.testing.assert_allclose(of_members["score_1"], odds / (1 + odds), rtol=1e-4)
    table = read_table(folder / "evaluation" / "predictions_test.fits")
    scores = np.array([of_members[f"score_{i}"] for i in range(3)])
    np.testing.assert_allclose(table["score"], scores.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(table["spread"], scores.std(axis=0, ddof=1), atol=1e-6)
    compare([*parents, folder], tmp_path / "comparison")
    purity = read_table(tmp_path / "comparison" / "purity.ecsv")
    assert set(purity["mix"]) == {"data set"}
    assert np.all(purity["member_at_0.7_std"] > 0)


def test_a_network_and_a_classical_observer(tmp_path):
    """A column of the first run's predictions takes the place of a second run."""
    one, two = (make_run(tmp_path / name, seed, num_members=2) for seed, name in enumerate(("one", "two")))
    for split in ("validation", "test"):
        path = one / "evaluation" / f"predictions_{split}"
        table = read_table(f"{path}.fits")
        table["matched_filter"] = read_table(two / "evaluation" / f"predictions_{split}.fits")["score"]
        write_table(path, table)
    found = fuse([one, tmp_path / "one:matched_filter"], tmp_path / "fused")[0]
    for folder in (one, two):
        for path in folder.glob("evaluation/members*"):
            path.unlink()
    expected = fuse([one, two], tmp_path / "other")[0]
    scores = [read_table(folder / "evaluation" / "predictions_test.fits")["score"] for folder in (found, expected)]
    np.testing.assert_array_equal(*scores)
    about = json.loads((found / "evaluation" / "metrics.json").read_text())["made_from"]
    assert about["observers"] == ["model_0", "matched_filter"]
    with pytest.raises(InputError, match="have no column 'nope'; they have"):
        fuse([one, tmp_path / "one:nope"], tmp_path / "wrong")


def test_refusals(tmp_path):
    one, two = (make_run(tmp_path / name, seed) for seed, name in enumerate(("one", "two")))
    with pytest.raises(InputError, match="needs two or more evaluated runs"):
        fuse([one], tmp_path / "fused")
    with pytest.raises(InputError, match=r"absent has no evaluation/predictions_validation.fits"):
        fuse([one, tmp_path / "absent"], tmp_path / "fused")
    path = two / "evaluation" / "predictions_test"
    table = read_table(f"{path}.fits")
    write_table(path, table[::-1])
    with pytest.raises(InputError, match=r"two and .*one are not of the same test cutouts"):
        fuse([one, two], tmp_path / "fused")
    assert not (tmp_path / "fused").exists()
