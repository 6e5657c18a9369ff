"""The exported file: used without clusterjax, it gives the scores of the Python interface."""

import dataclasses
import hashlib
import json
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from untrained import CLASSES, ensemble_of, untrained_networks

from clusterjax.classifier import Classifier
from clusterjax.errors import InputError
from clusterjax.experiment import Network
from clusterjax.jobs import exporting
from clusterjax.jobs.session import Session
from clusterjax.parallel import make_mesh

# What somebody elsewhere writes: jax and NumPy, and what README.json says.
ELSEWHERE = """
import json, sys
import jax, jax.export, numpy as np

folder = sys.argv[1]
about = json.load(open(folder + "/README.json"))
exported = jax.export.deserialize(bytearray(open(folder + "/model.stablehlo", "rb").read()))
images = np.load(folder + "/images.npy")
assert list(images.shape[1:]) == about["inputs"][0]["shape"][1:]
assert len(exported.out_avals) == len(about["outputs"])
assert not any(name.startswith(("clusterjax", "flax")) for name in sys.modules)
parts = [np.asarray(exported.call(part)) for part in (images[:1], images[1:])]
np.save(folder + "/scores.npy", np.concatenate(parts, axis=-2))
"""


def export_to(folder, network: Network):
    exporting.export(Session(network.config, folder, make_mesh(), network))
    return folder / "export"


@pytest.mark.parametrize("num_members", [None, 2])
def test_used_elsewhere(num_members, tmp_path, capsys):
    networks = untrained_networks(num_members or 1)
    network = networks[0] if num_members is None else ensemble_of(networks)
    folder = export_to(tmp_path, network)
    said = capsys.readouterr().out
    assert "batch of  16: scores within" in said
    assert "for cpu, cuda, tpu" in said

    images = np.random.default_rng(5).normal(size=(7, 10, 10, 2)).astype(np.float32) * (3, 8)
    images[2] *= 100
    images[3, :4, :4] = np.nan
    np.save(folder / "images.npy", images.astype(np.float32))
    subprocess.run([sys.executable, "-c", ELSEWHERE, str(folder)], check=True, timeout=100)
    scores = np.load(folder / "scores.npy")
    classifier = Classifier(network)
    if num_members is None:
        expected = classifier.predict(images, nan_is_missing=True)
    else:
        expected = np.stack(classifier.predict(images, nan_is_missing=True, return_spread=True))
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert np.std(expected) > 0.1

    about = json.loads((folder / "README.json").read_text())
    content = (folder / "model.stablehlo").read_bytes()
    assert about["sha256"] == hashlib.sha256(content).hexdigest()
    assert about["platforms"] == ["cpu", "cuda", "tpu"]
    assert [output["name"] for output in about["outputs"]] == ["score", "spread"][: num_members or 1]
    assert about["outputs"][0]["classes"] == list(CLASSES)
    given = about["inputs"][0]
    assert (given["bands"], given["units"], given["pixel_scale_arcsec"]) == (["W1", "W2"], "nMgy (Vega)", 2.75)
    assert about["validation"]["largest_difference"] <= about["validation"]["tolerance"] == 1e-5
    names = ["README.json", "model.onnx", "model.stablehlo"]
    assert sorted(path.name for path in folder.iterdir() if path.suffix != ".npy") == names


def test_what_differs_from_the_model_is_not_written(tmp_path, monkeypatch):
    """A file of other weights, as if the conversion had gone wrong."""
    wrong, network = untrained_networks(2)
    made = exporting.export_network
    monkeypatch.setattr(exporting, "export_network", lambda _: made(wrong))
    with pytest.raises(InputError, match=r"scores are .* from those of .*, more than 1e-05; nothing is written"):
        export_to(tmp_path, network)
    assert not list((tmp_path / "export").iterdir())


def test_trial_images_are_of_all_kinds():
    """Faint and bright, and with missing pixels; or the validation would not see a normalisation left out."""
    network = untrained_networks(1)[0]
    images = exporting.trial_images(network, 16)
    assert images.shape == (16, 10, 10, 2)
    levels = np.nanstd(images, axis=(1, 2, 3))
    assert levels.max() > 30 * levels.min()
    assert np.isnan(images).any()
    assert np.isfinite(images).mean() > 0.9
    weights = network.state.params, network.state.model_state
    with_it = network.member_scores()(*weights, jnp.asarray(images))
    without = network.member_scores(preprocess=False)(*weights, jnp.nan_to_num(images))
    assert np.abs(with_it - without).max() > 0.1


def test_dropout_is_refused(tmp_path):
    network = untrained_networks(1)[0]
    evaluation = dataclasses.replace(network.config.evaluation, dropout_samples=5)
    network = dataclasses.replace(network, config=dataclasses.replace(network.config, evaluation=evaluation))
    with pytest.raises(InputError, match="dropout_samples=5: a file draws nothing at random; export with 0"):
        export_to(tmp_path, network)
    assert not (tmp_path / "export").exists()
