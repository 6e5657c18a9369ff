"""Sweeps: what they share, what is left out, and what lies in the workdir in the end."""

import dataclasses
import importlib.util
import pathlib

import numpy as np
import pytest
from PIL import Image

from clusterjax import jobs
from clusterjax.config import DataConfig, ExperimentConfig, LrRangeConfig, ModelConfig, SweepConfig, TrainingConfig
from clusterjax.config_checks import validate
from clusterjax.errors import InputError
from clusterjax.evaluation.published import PUBLISHED_ACCURACY
from clusterjax.models import check_model
from clusterjax.sky.catalogues import read_table
from clusterjax.sweeps import REFERENCE_NETWORKS

SWEEPS = sorted((pathlib.Path(__file__).parents[1] / "configs" / "sweeps").glob("*.py"))


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_experiment_of_a_shipped_sweep_is_valid(path):
    for variant in ("", "smoke", *(("reference", "small") if path.stem.startswith("all") else ())):
        sweep = load(path).get_config(variant)
        experiments = sweep.resolve()
        assert sweep.name == path.stem + (variant and f"_{variant}")
        assert len({experiment.name for experiment in experiments.values()}) == len(experiments) > 2
        assert set(sweep.fused) <= set(experiments)
        for experiment in experiments.values():
            validate(experiment)
            check_model(experiment.model.name, head=experiment.model.head, **experiment.model.kwargs)
    with pytest.raises(InputError, match="has no variant 'nope'; use "):
        load(path).get_config("nope")


def test_the_reference_networks_are_those_of_the_published_table():
    assert set(REFERENCE_NETWORKS) == {model for builder, model in PUBLISHED_ACCURACY if builder == "ir_cutouts"}


def test_each_ablation_differs_from_the_base_in_one_part():
    for path in SWEEPS:
        if path.stem.startswith("ablations"):
            experiments = load(path).get_config().resolve()
            base = dataclasses.asdict(experiments.pop("as_it_is"))
            for name, experiment in experiments.items():
                other = dataclasses.asdict(experiment)
                given_rate = ["optim"] if name == "f220_alone" else []  # where the range test sees nothing
                parts = [part for part in base if base[part] != other[part]]
                assert parts in (["name", "data", *given_rate], ["name", "augment"])


def test_the_pretraining_sweep_is_of_pairs():
    """Each pair sees the same cutouts and differs in where its weights begin; the source comes first."""
    experiments = load(next(path for path in SWEEPS if path.stem == "pretraining")).get_config().resolve()
    source, *others = experiments
    for name in (name for name in others if name.startswith("pretrained")):
        own, scratch = experiments[name], experiments[name.replace("pretrained", "scratch")]
        assert (own.data, own.training) == (scratch.data, scratch.training)
        assert (own.model.pretrained, scratch.model.pretrained) == (source, None)
        assert own.model.name == scratch.model.name == experiments[source].model.name
    assert experiments[source].data.builder != own.data.builder


def test_an_experiment_begins_with_anothers_weights(tmp_path, monkeypatch):
    seen = {}
    monkeypatch.setattr(jobs, "run", lambda job, config, workdir: seen.update({workdir.name: config.model.pretrained}))
    experiments = {"first": ExperimentConfig(), "second": ExperimentConfig(), "third": ExperimentConfig()}
    experiments["second"].model.pretrained, experiments["third"].model.pretrained = "first", "file.pth"
    jobs.sweep("train", experiments, tmp_path)
    assert seen == {"first": None, "second": str(tmp_path / "first"), "third": "file.pth"}


def test_a_field_in_common():
    sweep = SweepConfig("two", {"a": ExperimentConfig(), "b": ExperimentConfig(seed=3)})
    sweep.common = {"training.num_members": 5, "data.bands": ["W1"]}
    experiments = sweep.resolve()
    assert [each.training.num_members for each in experiments.values()] == [5, 5]
    assert experiments["b"].seed == 3
    assert experiments["a"].data.bands == ("W1",)
    assert sweep.experiments["a"].training.num_members == 1
    for wrong in ("training.nope", "nope", "seed.nope"):
        sweep.common = {wrong: 1}
        with pytest.raises(InputError, match=f"config.common has '{wrong}', which is no field"):
            sweep.resolve()


def test_a_wrong_field_on_the_command_line(run_program):
    result = run_program(f"--config={SWEEPS[0]}", "--config.common={'training.nope': 1}")
    assert result.returncode == 2
    assert result.stderr.startswith("error: config.common has 'training.nope'")


def test_a_sweep(tmp_path, capsys):
    """Two networks and one that cannot be: its reason in the end, after the others are compared."""

    def experiment(**kwargs):
        return ExperimentConfig(
            data=DataConfig(num_train=256, num_validation=32, num_test=64, data_dir=str(tmp_path / "data")),
            model=ModelConfig("baseline", {"head_kwargs": {"dropout": 0.1}, **kwargs}),
            lr_range=LrRangeConfig(lr_min=1e-5, lr_max=1.0, num_steps=40),
            training=TrainingConfig(num_epochs=1, global_batch_size=32, eval_batch_size=32),
        )

    experiments = {"narrow": experiment(widths=(4, 8)), "wide": experiment(widths=(8, 16)), "wrong": experiment()}
    experiments["wrong"].training.global_batch_size = 12
    experiments["wide"].training.num_members = 2
    with pytest.raises(InputError, match=r"1 of 3 experiments failed: wrong: .*global_batch_size=12 is not divisible"):
        jobs.sweep("all", experiments, tmp_path / "runs")
    first = capsys.readouterr()
    assert "narrow: 1 of 3" in first.err
    figures = read_table(tmp_path / "runs" / "comparison" / "comparison.fits")
    assert set(figures["run"]) == {"narrow", "wide"}
    of = {row["run"]: row for row in figures}
    assert of["wide"]["num_members"] == 2
    members = read_table(tmp_path / "runs" / "wide" / "evaluation" / "members.fits")
    assert of["wide"]["member_auc_std"] == pytest.approx(np.std(members["auc"][:2], ddof=1))
    assert of["narrow"]["member_accuracy"] == of["narrow"]["accuracy"]
    rates = read_table(tmp_path / "runs" / "lr_range.fits")
    assert rates["run"].tolist() == ["narrow", "wide"]
    assert np.all((rates["learning_rate"] > 1e-5) & (rates["learning_rate"] < 1))
    with Image.open(tmp_path / "runs" / "lr_range.png") as picture:
        assert picture.width > picture.height
    del experiments["wrong"]
    jobs.sweep("all", experiments, tmp_path / "runs")
    assert "training of 2 members is finished" in capsys.readouterr().err
