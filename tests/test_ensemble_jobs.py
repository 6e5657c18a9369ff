"""An ensemble and a cross-validation, as the jobs make them."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from astropy.table import Table

from clusterjax import jobs
from clusterjax.config import DataConfig, ExperimentConfig, ModelConfig, SearchConfig, TrainingConfig
from clusterjax.errors import InputError
from clusterjax.experiment import load_network, make_builder
from clusterjax.parallel import make_mesh
from clusterjax.sky.fits import read_probability_map
from clusterjax.sky.regions import sky_block

NUM = 2


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    config = ExperimentConfig(
        name="tiny",
        data=DataConfig(num_train=128, num_validation=32, num_test=64, data_dir=str(tmp_path_factory.mktemp("data"))),
        model=ModelConfig("baseline", {"widths": (8, 16), "head_kwargs": {"dropout": 0.5}}),
        training=TrainingConfig(num_epochs=1, global_batch_size=32, eval_batch_size=32, num_members=NUM, num_folds=3),
        search=SearchConfig(map_size=128, stride=16, batch_size=16, threshold=0.1),
    )
    config.optim.learning_rate = 3e-3
    config.explain.num_cutouts, config.explain.num_steps = 1, 4
    return config


@pytest.fixture(scope="module")
def run(config, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "ensemble"
    jobs.run("all", config, workdir=workdir)
    return workdir


def test_a_member_is_the_lone_run_of_its_seed(run, config, tmp_path):
    lone = dataclasses.replace(config, seed=1, training=dataclasses.replace(config.training, num_members=1))
    jobs.run("train", lone, workdir=tmp_path / "lone")
    mesh = make_mesh()
    ours, theirs = load_network(run / "members" / "1", mesh), load_network(tmp_path / "lone", mesh)
    jax.tree.map(np.testing.assert_array_equal, ours.state.params, theirs.state.params)
    whole = load_network(run, mesh)
    assert whole.num_members == NUM
    jax.tree.map(lambda leaf, one: np.testing.assert_array_equal(leaf[1], one), whole.state.params, ours.state.params)


def test_scores_are_the_mean_of_the_members(run):
    predictions = Table.read(run / "evaluation" / "predictions_test.fits")
    members = Table.read(run / "evaluation" / "members_test.fits")
    scores = np.stack([members[f"score_{i}"] for i in range(NUM)])
    np.testing.assert_allclose(predictions["score"], scores.mean(0), rtol=1e-5)
    np.testing.assert_allclose(predictions["spread"], scores.std(0, ddof=1), atol=1e-6)
    assert np.ptp(scores, axis=0).max() > 1e-3
    figures = Table.read(run / "evaluation" / "members.fits")
    right = (scores >= 0.5) == np.asarray(predictions["label"], bool)
    np.testing.assert_allclose(figures["accuracy"][:NUM], right.mean(1))
    headline = Table.read(run / "evaluation" / "headline.ecsv")
    assert headline["observer"][1] == "one of its 2 members"
    assert headline["accuracy"][1] == pytest.approx(right.mean())


def test_maps_and_candidates_have_the_spread(run):
    found = read_probability_map(run / "scan" / "score.fits")
    assert np.array_equal(np.isfinite(found.spread), np.isfinite(found.score))
    assert np.nanmax(found.spread) > 1e-3
    assert "spread" in Table.read(run / "scan" / "candidates.fits").colnames


def test_the_report_shows_the_members(run):
    page = (run / "report" / "index.html").read_text()
    assert "one of its 2 members" in page
    assert "How far its members agree" in page
    assert "mean and standard deviation over the members" in page


def test_dropped_units_of_one_member(run, config, tmp_path):
    one = dataclasses.replace(
        config,
        training=dataclasses.replace(config.training, num_members=1),
        evaluation=dataclasses.replace(config.evaluation, dropout_samples=4),
    )
    jobs.run("evaluate", one, workdir=tmp_path / "dropout", checkpoint=run / "members" / "0")
    members = Table.read(tmp_path / "dropout" / "evaluation" / "members_test.fits")
    assert {"score_0", "score_3"} <= set(members.colnames)
    assert np.std([members[f"score_{i}"] for i in range(4)], axis=0).max() > 1e-4


def test_more_members_later(run, config):
    """The two that are trained stay; the third comes to them."""
    before = (run / "members" / "0" / "metrics.jsonl").read_text()
    more = dataclasses.replace(config, training=dataclasses.replace(config.training, num_members=3))
    jobs.run("train", more, workdir=run)
    assert (run / "members" / "0" / "metrics.jsonl").read_text() == before
    assert load_network(run, make_mesh()).num_members == 3


def test_cross_validation(config, tmp_path, capsys):
    workdir = tmp_path / "folds"
    jobs.run("cross_validate", config, workdir=workdir)
    table = Table.read(workdir / "cross_validation" / "predictions.fits")
    builder = make_builder(config)
    assert len(table) == sum(builder.info.splits[name].num_examples for name in ("train", "validation", "test"))
    assert len(set(table["object_id"])) == len(table)
    folds_of_block: dict[int, set] = {}
    for block, fold in zip(sky_block(table["ra_deg"], table["dec_deg"]), table["fold"], strict=True):
        folds_of_block.setdefault(int(block), set()).add(int(fold))
    assert all(len(folds) == 1 for folds in folds_of_block.values())  # no sky is in two folds
    figures = Table.read(workdir / "cross_validation" / "folds.fits")
    right = (np.asarray(table["score"]) >= 0.5) == np.asarray(table["label"], bool)
    accuracy = [right[np.asarray(table["fold"]) == fold].mean() for fold in range(3)]
    np.testing.assert_allclose(figures["accuracy"][:3], accuracy)
    assert figures["accuracy"][3] == pytest.approx(np.mean(accuracy))
    assert "mean" in capsys.readouterr().out
    # Each fold's network was trained on the other two folds' sky but the one that chose its checkpoint.
    sizes = np.bincount(table["fold"])
    made = [json.loads((workdir / "folds" / str(fold) / "config.json").read_text()) for fold in range(3)]
    assert [each["seed"] for each in made] == [0, 1, 2]
    assert max(sizes) - min(sizes) < 30
    jobs.run("report", config, workdir=workdir)
    assert "Cross-validation" in (workdir / "report" / "index.html").read_text()
    other = dataclasses.replace(config, training=dataclasses.replace(config.training, num_folds=4))
    with pytest.raises(InputError, match="was begun with"):
        jobs.run("cross_validate", other, workdir=workdir)


def test_other_candidates_of_a_scanned_map(run, config, capsys):
    """The scores stay; a lower threshold finds more."""
    jobs.run("scan", config, workdir=run, checkpoint=run)
    before = (run / "scan" / "score.fits").read_bytes()
    few = len(Table.read(run / "scan" / "candidates.fits"))
    capsys.readouterr()
    lower = dataclasses.replace(config, search=dataclasses.replace(config.search, threshold=0.01))
    jobs.run("scan", lower, workdir=run, checkpoint=run)
    assert "its scores are taken from" in capsys.readouterr().err
    assert (run / "scan" / "score.fits").read_bytes() == before
    assert len(Table.read(run / "scan" / "candidates.fits")) >= few
    jobs.run(
        "scan",
        dataclasses.replace(lower, search=dataclasses.replace(lower.search, stride=32)),
        workdir=run,
        checkpoint=run,
    )
    assert "scanned" in capsys.readouterr().err
    assert (run / "scan" / "score.fits").read_bytes() != before
