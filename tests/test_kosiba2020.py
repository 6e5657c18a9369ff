"""The tables of Kosiba et al. (2020): figures of known predictions, seeds, resuming, and the page."""

import json

import numpy as np
import pytest
from astropy.table import Table

from clusterjax.config_checks import validate
from clusterjax.errors import InputError
from clusterjax.kosiba2020 import __main__ as program
from clusterjax.kosiba2020.setups import BINARY, FIVE_CLASSES
from clusterjax.kosiba2020.tables import five_class_figures, setup_table, votes_table
from clusterjax.simulation.knobs import XRAY_CLASSES


def write_run(folder, seed, *, num_classes=2):
    """Predictions of a made-up network, and their figures."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, num_classes, 60)
    table = Table({"label": label})
    if num_classes == 2:
        table["score"] = np.clip(rng.normal(0.3 + 0.4 * label, 0.2), 0, 1)
    else:
        scores = rng.dirichlet(np.ones(5), 60) + np.eye(5)[label]
        for k, name in enumerate(XRAY_CLASSES):
            table[f"score_{name}"] = scores[:, k] / 2
    table["extent_arcsec"] = rng.choice([0.0, 5.0, 20.0], 60)
    table["extension_likelihood"] = rng.exponential(30, 60)
    (folder / "evaluation").mkdir(parents=True)
    table.write(folder / "evaluation" / "predictions_test.fits")
    figures = {"accuracy": 0.8 + 0.1 * seed, "precision": 0.7, "recall": 0.9, "auc": 0.95}
    (folder / "evaluation" / "metrics.json").write_text(json.dumps({"test": figures}))


@pytest.mark.parametrize("smoke", [False, True])
def test_setups_are_valid_and_each_has_a_folder(smoke):
    setups = (*BINARY, *FIVE_CLASSES)
    for setup in setups:
        config = setup.config(3, data_dir="data", smoke=smoke)
        validate(config)
        assert (config.seed, config.data.data_dir) == (3, "data")
        assert config.model.name == {"CN": "kosiba_cn", "MobileNet": "mobilenet_v1"}[setup.network]
        assert config.data.binary == (setup.variant != "five_class")
    assert len({setup.folder for setup in setups}) == len(setups)


def test_means_and_deviations_over_seeds():
    two = [{"accuracy": accuracy, "precision": 0.5, "recall": 0.5, "auc": 0.5} for accuracy in (0.8, 0.9)]
    figures = dict.fromkeys(BINARY, two)
    table = setup_table(figures)
    assert table["setup"][0] == "CN, experts"
    np.testing.assert_allclose(table["accuracy"], 0.85)
    np.testing.assert_allclose(table["accuracy_std"], np.sqrt(0.005))
    assert (table["accuracy_published"][2], table["accuracy_published_std"][2]) == (0.68, 0.02)
    alone = setup_table({BINARY[0]: two[:1]})
    assert np.isnan(alone["accuracy_std"][0])


def test_one_class_against_the_rest(tmp_path):
    """With a fraction wrong of w, 2 w / 5 of the one-against-rest calls are wrong, on average over 5 classes."""
    write_run(tmp_path, 1, num_classes=5)
    table = Table.read(tmp_path / "evaluation" / "predictions_test.fits")
    scores = np.stack([table[f"score_{name}"] for name in XRAY_CLASSES], axis=1)
    wrong = np.mean(np.argmax(scores, axis=1) != table["label"])
    assert five_class_figures(tmp_path)["accuracy"] == pytest.approx(1 - 2 * wrong / 5)


def test_votes():
    table = votes_table(num=400)
    assert table["votes"].tolist() == ["unweighted", "weighted", "Dawid & Skene"]
    assert table["accuracy"][0] < table["accuracy"][1] < table["accuracy"][2]
    assert table["accuracy_published"].tolist()[:2] == [0.542, 0.621]
    assert table["precision"][1] > 0.95


def test_the_sweep_goes_on_where_it_was(tmp_path, monkeypatch):
    """Each setup of each seed is trained and evaluated in its own folder; then there is a page with all tables."""
    asked = []

    def pretend(job, config, *, workdir):
        asked.append((job, workdir.parent.name, config.seed))
        if job == "evaluate" and not workdir.exists():
            write_run(workdir, config.seed, num_classes=2 if config.data.binary else 5)

    monkeypatch.setattr(program, "run", pretend)
    program.main([f"--workdir={tmp_path}", "--seeds=2"])
    assert len(asked) == 2 * 2 * len((*BINARY, *FIVE_CLASSES))
    assert [seed for job, _, seed in asked] == [0] * 20 + [1] * 20
    tables = tmp_path / "report" / "tables"
    binary = Table.read(tables / "binary.ecsv")
    np.testing.assert_allclose(binary["accuracy"], 0.85)
    assert len(Table.read(tables / "five_classes.ecsv")) == 2
    assert len(Table.read(tables / "votes.ecsv")) == 3
    for name in ("roc_data_formats", "extent_plane"):
        assert (tmp_path / "report" / "figures" / f"{name}.png").stat().st_size > 10_000
    assert "not compared" in (tmp_path / "report" / "index.html").read_text()


def test_no_seeds(tmp_path):
    with pytest.raises(InputError, match="--seeds=0 must be 1 or more"):
        program.main([f"--workdir={tmp_path}", "--seeds=0"])
