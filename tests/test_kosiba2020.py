"""The tables of Kosiba et al. (2020): figures of known predictions, seeds, resuming, and the page."""

import json

import numpy as np
import pytest
from astropy.table import Table

from clusterjax.config_checks import validate
from clusterjax.errors import InputError
from clusterjax.evaluation.curves import auc
from clusterjax.kosiba2020 import __main__ as program
from clusterjax.kosiba2020 import page
from clusterjax.kosiba2020.setups import BINARY, EXPERTS, FIVE_CLASSES, LAYERS, SCALES
from clusterjax.kosiba2020.tables import (
    binary_figures,
    five_class_figures,
    samples_table,
    seed_scores,
    settings_table,
    setup_table,
    votes_table,
)
from clusterjax.report.blocks import Section
from clusterjax.simulation.knobs import XRAY_CLASSES

SETUPS = (*BINARY, *FIVE_CLASSES)


def write_run(folder, seeds, *, num_classes=2):
    """Predictions of made-up networks, one a seed, and of their mean."""
    rng = np.random.default_rng(seeds)
    label = rng.integers(0, num_classes, 60)
    table, members = Table({"label": label}), Table({"label": label})
    names = ["score"] if num_classes == 2 else [f"score_{name}" for name in XRAY_CLASSES]
    for k, name in enumerate(names):
        truth = label if num_classes == 2 else label == k
        for seed in range(seeds):
            members[f"{name}_{seed}"] = np.clip(rng.normal(0.3 + 0.4 * truth, 0.2), 0, 1)
        table[name] = np.mean([members[f"{name}_{seed}"] for seed in range(seeds)], axis=0)
    table["extent_arcsec"] = rng.choice([0.0, 5.0, 20.0], 60)
    table["extension_likelihood"] = rng.exponential(30, 60)
    (folder / "evaluation").mkdir(parents=True)
    table.write(folder / "evaluation" / "predictions_test.fits")
    if seeds > 1:
        members.write(folder / "evaluation" / "members_test.fits")
    return table, members


@pytest.mark.parametrize("scale", SCALES)
def test_setups_are_valid_and_each_has_a_folder(scale):
    for setup in SETUPS:
        config = setup.config(scale, num_seeds=3, data_dir="data")
        validate(config)
        assert (config.training.num_members, config.data.data_dir) == (3, "data")
        assert config.model.name == {"CN": "kosiba_cn", "MobileNet": "mobilenet_v1"}[setup.network]
        assert config.data.binary == (setup.variant != "five_class")
        assert config.training.balanced_batches
        assert (config.augment.scale == 1.3) == (setup.variant != "no_augmentation")
    assert len({setup.folder for setup in SETUPS}) == len(SETUPS)
    assert tuple(f"backbone.layers.{number - 1}" for number in (2, 4, 6)) == LAYERS


def test_means_and_deviations_over_seeds():
    two = [{"accuracy": accuracy, "precision": 0.5, "recall": 0.5, "auc": 0.5} for accuracy in (0.8, 0.9)]
    table = setup_table(dict.fromkeys(BINARY, two))
    ours, theirs = (table[table["candidates"] == name] for name in ("simulated", "real (published)"))
    assert table["setup"][:2].tolist() == ["CN, experts"] * 2
    assert ours["setup"].tolist() == [setup.name for setup in BINARY]
    np.testing.assert_allclose(ours["accuracy"], 0.85)
    np.testing.assert_allclose(ours["accuracy_std"], np.sqrt(0.005))
    # Theirs are weighted votes alone
    assert theirs["setup"].tolist() == [s.name for s in BINARY if s.variant != "volunteers_unweighted"]
    assert (theirs["setup"][2], theirs["accuracy"][2], theirs["accuracy_std"][2]) == ("CN, optical", 0.68, 0.02)
    alone = setup_table({BINARY[0]: two[:1]})
    assert np.isnan(alone["accuracy_std"][0])


@pytest.mark.parametrize("seeds", [1, 3])
def test_figures_of_each_seed(tmp_path, seeds):
    table, members = write_run(tmp_path, seeds)
    label, scores = seed_scores(tmp_path, ("other", "cluster"))
    assert scores.shape == (seeds, 60, 2)
    rows = binary_figures(tmp_path)
    assert len(rows) == seeds
    for seed, row in enumerate(rows):
        score = members[f"score_{seed}"]
        assert row["auc"] == pytest.approx(auc(np.asarray(table["label"]), np.asarray(score)))
        assert row["accuracy"] == pytest.approx(np.mean((score >= 0.5) == (label == 1)))


@pytest.mark.parametrize("seeds", [1, 2])
def test_one_class_against_the_rest(tmp_path, seeds):
    """With a fraction wrong of w, 2 w / 5 of the one-against-rest calls are wrong, on average over 5 classes."""
    _, members = write_run(tmp_path, seeds, num_classes=5)
    rows = five_class_figures(tmp_path)
    assert len(rows) == seeds
    for seed, row in enumerate(rows):
        scores = np.stack([members[f"score_{name}_{seed}"] for name in XRAY_CLASSES], axis=1)
        wrong = np.mean(np.argmax(scores, axis=1) != members["label"])
        assert row["accuracy"] == pytest.approx(1 - 2 * wrong / 5)


def test_samples_and_settings():
    samples = samples_table({("experts", "train"): np.array([1, 1, 0]), ("experts", "test"): np.array([0])})
    assert samples["clusters"].tolist() == [2, 0]
    assert samples["others_published"].tolist() == [388, 85]
    settings = settings_table(BINARY[:2], "small")
    of = {row["setting"]: row for row in settings}
    assert (of["iterations"]["CN published"], of["iterations"]["MobileNet published"]) == ("153000", "3825")
    assert (of["batch"]["CN published"], of["input pixels"]["MobileNet published"]) == ("10", "224")
    assert (of["optimizer"]["CN"], of["input pixels"]["CN"]) == ("adam", "64")
    assert of["shift, of 356 pixels"]["CN"] == "\u00b14"


def test_votes():
    table = votes_table(num=400)
    ours = table[table["candidates"] == "simulated"]
    assert ours["votes"].tolist() == ["unweighted", "weighted", "Dawid & Skene"]
    assert ours["accuracy"][0] < ours["accuracy"][1] < ours["accuracy"][2]
    assert table["accuracy"][table["candidates"] != "simulated"].tolist() == [0.542, 0.621]
    assert ours["precision"][1] > 0.95


def test_the_sweep_goes_on_where_it_was(tmp_path, monkeypatch):
    """Each setup in its own folder, with all seeds; the page comes when all are there."""
    asked, pages = [], []

    def pretend(job, config, *, workdir):
        asked.append((job, workdir.name, config.training.num_members))
        if job == "evaluate" and not workdir.exists():
            write_run(workdir, 2, num_classes=2 if config.data.binary else 5)
        if job == "cross_validate":
            (workdir / "cross_validation").mkdir(parents=True, exist_ok=True)
            (workdir / "cross_validation" / "folds.fits").touch()

    monkeypatch.setattr(program, "run", pretend)
    monkeypatch.setattr(program, "write_page", lambda *args, **kwargs: pages.append((args, kwargs)))
    program.main([f"--workdir={tmp_path}", "--seeds=2", "--small", "--only=cn_xray,cross_validation"])
    assert asked == [("train", "cn_xray", 2), ("evaluate", "cn_xray", 2), ("cross_validate", "cross_validation", 2)]
    assert not pages
    asked.clear()
    program.main([f"--workdir={tmp_path}", "--seeds=2", "--small"])
    assert [name for job, name, _ in asked if job == "train"] == [setup.folder for setup in SETUPS]
    assert ("explain", EXPERTS.folder, 2) in asked
    assert pages == [((tmp_path, "small"), {"num_seeds": 2, "data_dir": "runs/datasets"})]


def test_the_page(tmp_path, monkeypatch):
    """Tables and figures from the runs; what other jobs' sections show is tested with them."""
    for setup in SETUPS:
        write_run(tmp_path / setup.folder, 2, num_classes=2 if setup in BINARY else 5)
    for name in ("_samples", "_five_classes", "_cross_validation"):
        monkeypatch.setattr(page, name, lambda *args: Section("none", "", "", []))
    monkeypatch.setattr(page, "_examples", lambda *args: [])
    written = page.write_page(tmp_path, "small", num_seeds=2, data_dir="")
    tables = written.parent / "tables"
    binary = Table.read(tables / "binary.ecsv")
    assert len(binary) == 2 * len(BINARY) - 1
    for name in ("roc_data_formats", "extent_plane"):
        assert (written.parent / "figures" / f"{name}.png").stat().st_size > 10_000
    assert "not compared" in written.read_text()


@pytest.mark.slow
def test_the_whole_page(tmp_path):
    """The command with --smoke, twice: all tables and figures; nothing is trained anew."""
    arguments = [f"--workdir={tmp_path / 'kosiba'}", f"--data_dir={tmp_path / 'data'}", "--smoke"]
    program.main(arguments)
    report = tmp_path / "kosiba" / "report"
    steps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("metrics.jsonl")}
    assert len(steps) == len(SETUPS) + 3
    made = {path.stem for path in (*(report / "tables").glob("*.ecsv"), *(report / "figures").glob("*.png"))}
    assert made >= {
        "samples", "settings", "votes", "binary", "five_classes", "per_class", "folds",
        "roc_data_formats", "roc", "roc_folds", "extent_plane", "activations_0",
    }  # fmt: skip
    text = (report / "index.html").read_text()
    assert "layers.1" in text
    assert "Most uncertain" in text
    summary = json.loads((tmp_path / "kosiba" / EXPERTS.folder / "explain" / "summary.json").read_text())
    assert tuple(summary["layers"]) == LAYERS
    program.main(arguments)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("metrics.jsonl")} == steps


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [(["--seeds=0"], "--seeds=0 must be 1 or more"), (["--only=cn_experts,resnet"], "--only has resnet; use cn_")],
)
def test_what_cannot_be_done(tmp_path, arguments, reason):
    with pytest.raises(InputError, match=reason):
        program.main([f"--workdir={tmp_path}", *arguments])
