"""The Python interface: the same scores, maps and candidates as the jobs write, its errors, and its examples."""

import dataclasses
import doctest
import inspect
import itertools
import pathlib
import re
import shutil

import jax.numpy as jnp
import numpy as np
import pytest
from astropy.table import Table
from flax import nnx
from untrained import ensemble_of, untrained_networks

import clusterjax
from clusterjax import classifier as classifier_module
from clusterjax.classifier import Classifier
from clusterjax.config import EvaluationConfig
from clusterjax.data.loader import make_eval_loader
from clusterjax.data.sources import open_source
from clusterjax.errors import InputError
from clusterjax.experiment import Network, make_builder
from clusterjax.search.detect import find_detections
from clusterjax.sky.fits import open_images, read_probability_map

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def trained(finished_run) -> Classifier:
    workdir, _ = finished_run
    return Classifier.load(workdir, batch_size=20)


@pytest.fixture(scope="module")
def score_map(trained, finished_run):
    workdir, _ = finished_run
    return trained.scan(workdir / "scan" / "simulated_map.fits")


@pytest.fixture(scope="module")
def three_classes() -> tuple[Classifier, list[Classifier]]:
    """(an ensemble of two networks of random weights, each of them by itself), of 10 px and three classes."""
    members = untrained_networks(2)
    return Classifier(ensemble_of(members)), [Classifier(member) for member in members]


def test_scores_are_those_of_the_evaluation(trained, finished_run):
    workdir, _ = finished_run
    config = trained.network.config
    source = open_source(make_builder(config), "test")
    batches = list(make_eval_loader(source, config.data, batch_size=64))
    images = np.concatenate([np.asarray(batch["image"]) for batch in batches])
    scores = trained.predict(images)
    assert scores.shape == (64,)
    assert scores.dtype == np.float32
    table = Table.read(workdir / "evaluation" / "predictions_test.fits")
    np.testing.assert_allclose(scores, table["score"], atol=1e-6)
    assert np.std(scores) > 1e-3
    # In the data set's units, of any numeric type; a single image is not another than among others.
    np.testing.assert_allclose(trained.predict(images[7:8].astype(">f8")), scores[7:8], atol=1e-6)


def test_map_is_that_of_the_scan(score_map, finished_run):
    workdir, _ = finished_run
    written = read_probability_map(workdir / "scan" / "score.fits")
    np.testing.assert_allclose(score_map.score, written.score, atol=1e-6)
    np.testing.assert_array_equal(score_map.valid_fraction, written.valid_fraction)
    np.testing.assert_allclose(score_map.sky_positions(), written.sky_positions(), atol=1e-9)
    assert (score_map.window_pixels, score_map.stride_pixels) == (64, 16)


def test_candidates_are_those_of_the_scan(trained, score_map, finished_run):
    workdir, _ = finished_run
    written = Table.read(workdir / "scan" / "candidates.ecsv")
    found = trained.find(score_map)
    assert len(found) == len(written)
    assert set(written.colnames) - set(found.colnames) >= {"probability"}
    lower = trained.find(score_map, threshold=0.0, smoothing_pixels=1.0, min_separation_arcmin=0.1)
    assert len(lower) > max(len(found), 3)
    of_file = read_probability_map(workdir / "scan" / "score.fits")
    peaks = find_detections(of_file, threshold=0.0, smoothing_pixels=1.0, min_separation_arcmin=0.1)
    for name in ("ra_deg", "dec_deg", "score", "peak_score"):
        np.testing.assert_allclose(lower[name], peaks[name], rtol=1e-5, err_msg=name)
    assert (np.diff(lower["score"]) <= 0).all()
    assert set(lower.colnames) <= set(written.colnames)
    for name in lower.colnames:
        assert lower[name].description, name


def test_own_stride_method_and_catalogue(trained, score_map, finished_run, capsys):
    workdir, _ = finished_run
    part = open_images([workdir / "scan" / "simulated_map.fits"], bands=trained.bands).read(0, 0, 96, 96)
    scanned = trained.scan(part, stride=32, method="windows")
    np.testing.assert_allclose(scanned.score, score_map.score[:3:2, :3:2], atol=1e-6)
    other = trained.scan(part, stride=32, positive_class="other")
    np.testing.assert_allclose(other.score, 1 - scanned.score, atol=1e-6)
    assert "warning" not in capsys.readouterr().err
    catalogue = workdir / "scan" / "sources.fits"
    known = trained.find(score_map, threshold=0.0, catalogue=[f"truth={catalogue}"])
    assert {"truth_status", "truth_separation_arcmin"} <= set(known.colnames)


def test_ensemble_has_the_mean_and_spread_of_its_members(three_classes):
    ensemble, members = three_classes
    images = np.random.default_rng(3).normal(size=(5, 10, 10, 2)) * 30
    each = np.stack([member.predict(images) for member in members])
    scores, spread = ensemble.predict(images, return_spread=True)
    assert scores.shape == spread.shape == (5, 3)
    np.testing.assert_allclose(scores, each.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(spread, each.std(axis=0, ddof=1), atol=1e-6)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)
    assert spread.max() > 1e-3
    np.testing.assert_array_equal(ensemble.predict(images), scores)
    assert (ensemble.num_members, members[0].num_members) == (2, 1)
    assert "2 members" in repr(ensemble)
    assert "members" not in repr(members[0])


def test_one_program_for_any_number_of_images(three_classes, monkeypatch):
    """Padded to one size; what fills up the last batch changes nothing."""
    batches = []
    made = Network.member_scores

    def counted(network, **options):
        def member_scores(params, model_state, images):
            batches.append(images.shape[0])
            return made(network, **options)(params, model_state, images)

        return member_scores

    monkeypatch.setattr(Network, "member_scores", counted)
    one = Classifier(three_classes[1][0].network, batch_size=5)
    images = np.random.default_rng(4).normal(size=(19, 10, 10, 2)).astype(np.float32)
    whole = one.predict(images)
    np.testing.assert_allclose(np.concatenate([one.predict(images[:1]), one.predict(images[1:])]), whole, atol=1e-6)
    np.testing.assert_allclose(three_classes[1][0].predict(images), whole, atol=1e-6)
    assert batches == [8]  # 5 are rounded up to the devices' number, traced once


def test_missing_pixels_are_average_ones(three_classes):
    (one, _), images = three_classes[1], np.zeros((2, 10, 10, 2))
    images[:, :5] = 20
    images[1, 0, 3:5, 0] = np.nan
    images[1, 0, 5, 1] = np.inf
    with pytest.raises(InputError, match=r"image 1 has pixels that are not finite; with nan_is_missing=True"):
        one.predict(images)
    scores = one.predict(images, nan_is_missing=True)
    assert np.isfinite(scores).all()
    assert np.abs(scores[1] - scores[0]).max() > 1e-6


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 10, 10, 3), r"the images have 3 bands, .*give \(image, 10, 10, 2\): bands W1, W2"),
        ((3, 10, 12, 2), r"of shape \(3, 10, 12, 2\); give \(image, 10, 10, 2\)"),
        ((10, 10, 2), r"of shape \(10, 10, 2\); give \(image, 10, 10, 2\)"),
        ((0, 10, 10, 2), "there are no images"),
    ],
)
def test_images_of_another_shape(shape, message, three_classes):
    with pytest.raises(InputError, match=message):
        three_classes[0].predict(np.zeros(shape))


def test_what_cannot_be_done(trained, three_classes, score_map, tmp_path, finished_run):
    one = three_classes[1][0]
    with pytest.raises(InputError, match="of type complex128; give numbers"):
        one.predict(np.zeros((1, 10, 10, 2), complex))
    with pytest.raises(InputError, match="return_spread=True needs an ensemble"):
        one.predict(np.zeros((1, 10, 10, 2)), return_spread=True)
    with pytest.raises(InputError, match="batch_size=0 must be 1 or more"):
        Classifier(one.network, batch_size=0)
    with pytest.raises(InputError, match="nowhere"):
        Classifier.load(tmp_path / "nowhere")
    sky_path = finished_run[0] / "scan" / "simulated_map.fits"
    for option, message in (
        ({"stride": 0}, r"search\.stride=0 must be above 0"),
        ({"method": "quick"}, r"search\.method='quick' is unknown; use one of 'auto', 'dense', 'windows'"),
        ({"positive_class": "star"}, r"search\.positive_class='star' is no class of this network"),
    ):
        with pytest.raises(InputError, match=message):
            trained.scan(sky_path, **option)
    part = dataclasses.replace(open_images([sky_path]).read(0, 0, 64, 64), bands=("W2", "W1"))
    with pytest.raises(InputError, match="the map has the bands W2, W1; the network needs W1, W2"):
        trained.scan(part)
    with pytest.raises(InputError, match=r"search\.threshold=1\.5 must lie within"):
        trained.find(score_map, threshold=1.5)


@pytest.fixture
def clone_with_a_run(finished_run, tmp_path, monkeypatch):
    """The working folder of the examples, where ``runs/alexnet_ir`` is finished."""
    shutil.copytree(finished_run[0], tmp_path / "runs" / "alexnet_ir")
    monkeypatch.chdir(tmp_path)


def test_examples_of_the_docstring(clone_with_a_run):
    (test,) = doctest.DocTestFinder(recurse=False).find(clusterjax.Classifier, "Classifier", module=classifier_module)
    assert len(test.examples) == 9
    said = []
    assert doctest.DocTestRunner(verbose=False).run(test, out=said.append).failed == 0, "".join(said)


def test_example_of_the_readme(clone_with_a_run):
    text = (ROOT / "README.md").read_text()
    blocks = [block for block in re.findall(r"```python\n(.*?)```", text, re.S) if "Classifier" in block]
    assert len(blocks) == 1
    names: dict = {}
    exec(compile(blocks[0], "README.md", "exec"), names)
    assert names["scores"].shape == (len(names["cutouts"]),)
    assert "ra_deg" in names["candidates"].colnames


def test_everything_public_says_what_it_is():
    for name, member in inspect.getmembers(Classifier):
        if not name.startswith("_"):
            assert inspect.getdoc(member), name
    assert "Classifier" in dir(clusterjax)
    with pytest.raises(AttributeError, match="no attribute 'Clasifier'"):
        _ = clusterjax.Clasifier


def test_dropout_samples(three_classes):
    """The head drops half of its 4 features: the mean and the spread over all 16 ways are known."""
    _, (member, _) = three_classes
    images = np.random.default_rng(3).normal(size=(3, 10, 10, 2)) * 8
    with pytest.raises(InputError, match="give dropout_samples=20"):
        member.predict(images, return_spread=True)
    number = 2000
    mean, spread = Classifier(member.network, dropout_samples=number).predict(images, return_spread=True)
    one = Classifier(member.network, dropout_samples=1).predict(images)
    assert np.abs(one - member.predict(images)).max() > 0.01
    model = nnx.merge(member.network.graphdef, member.network.state.params, member.network.state.model_state)
    model.eval()
    features = np.asarray(model.backbone(jnp.asarray(member.network.facts.preprocess(np.float32(images)))))
    masks = 2.0 * np.array(list(itertools.product((0, 1), repeat=features.shape[1])))
    logits = np.array([np.asarray(model.head.linear(jnp.asarray(features * mask, jnp.float32))) for mask in masks])
    exact = np.exp(logits - logits.max(-1, keepdims=True))
    exact /= exact.sum(-1, keepdims=True)
    np.testing.assert_allclose(mean, exact.mean(0), atol=5 * 0.5 / np.sqrt(number))
    np.testing.assert_allclose(spread, exact.std(0), atol=5 * 0.5 / np.sqrt(number))
    from_config = dataclasses.replace(
        member.network,
        config=dataclasses.replace(member.network.config, evaluation=EvaluationConfig(dropout_samples=1)),
    )
    np.testing.assert_array_equal(Classifier(from_config).predict(images), one)
    with pytest.raises(InputError, match="dropout_samples=-1 must be 0 or above"):
        Classifier(member.network, dropout_samples=-1)


def test_joint_networks_are_not_scanned(three_classes):
    _, (member, _) = three_classes
    facts = dataclasses.replace(member.network.facts, band_scales_arcsec=(2.75, 30.0))
    joint = Classifier(dataclasses.replace(member.network, facts=facts))
    with pytest.raises(InputError, match=r"bands with pixels of 2.75, 30.0 arcsec, which no one map has"):
        joint.scan("nowhere.fits")
