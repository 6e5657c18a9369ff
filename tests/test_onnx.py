"""The network as ONNX: ONNX Runtime, which knows nothing of JAX, gives the model's scores."""

import dataclasses
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from untrained import ensemble_of, untrained_networks

from clusterjax.config import DataConfig, ExperimentConfig, ModelConfig
from clusterjax.data.background import image_median, medians_by_sort
from clusterjax.data.preprocess import Preprocess
from clusterjax.errors import InputError
from clusterjax.experiment import create_network
from clusterjax.jobs import exporting
from clusterjax.jobs.onnx_graph import NotConvertible, convert_function
from clusterjax.jobs.session import Session
from clusterjax.models.registry import model_names
from clusterjax.parallel import make_mesh

onnxruntime = pytest.importorskip("onnxruntime")


def run(model, images):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"images": images})


def export_to(folder, network):
    exporting.export(Session(network.config, folder, make_mesh(), network))
    return json.loads((folder / "export" / "README.json").read_text())["onnx"]


@pytest.mark.parametrize("num_members", [None, 2])
def test_scores_elsewhere(num_members, tmp_path):
    """With the median of each image subtracted, missing pixels, any batch; of an ensemble with its spread."""
    networks = untrained_networks(num_members or 1)
    network = networks[0] if num_members is None else ensemble_of(networks)
    about = export_to(tmp_path, network)
    assert about["validation"]["largest_difference"] <= 1e-5
    assert set(about["validation"]["by_batch_size"]) == {"1", "3", "16"}
    session = onnxruntime.InferenceSession(tmp_path / "export" / "model.onnx", providers=["CPUExecutionProvider"])
    images = exporting.trial_images(network, 5, seed=9)
    each = np.asarray(network.member_scores()(network.state.params, network.state.model_state, jnp.asarray(images)))
    expected = [each[0]] if num_members is None else [each.mean(0), each.std(0, ddof=1)]
    assert [output.name for output in session.get_outputs()] == ["score", "spread"][: len(expected)]
    for scores, wanted in zip(session.run(None, {"images": images}), expected, strict=True):
        np.testing.assert_allclose(scores, wanted, atol=1e-5)
    assert each.std() > 0.1


def test_other_scores_are_not_written(tmp_path, monkeypatch):
    wrong, network = untrained_networks(2)
    made = exporting.scores_function
    stable = exporting.export_network(network)
    monkeypatch.setattr(exporting, "export_network", lambda _: stable)
    monkeypatch.setattr(exporting, "scores_function", lambda _: made(wrong))
    with pytest.raises(InputError, match=r"the ONNX model's scores are .* from the network's, more than 1e-05"):
        export_to(tmp_path, network)
    assert not (tmp_path / "export" / "model.onnx").exists()


def test_what_does_not_convert_is_said(tmp_path, monkeypatch, capsys):
    with pytest.raises(NotConvertible, match="operation cumsum"):
        convert_function(lambda images: jnp.cumsum(images, axis=1), (8, 8, 1), ["sums"])
    with pytest.raises(NotConvertible, match="numbers of type bfloat16"):
        convert_function(lambda images: images.astype(jnp.bfloat16), (8, 8, 1), ["short"])
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert export_to(tmp_path, untrained_networks(1)[0]) == {
        "left_out": "onnxruntime is not installed; the extra onnx has it"
    }
    assert "no model.onnx: onnxruntime is not installed" in capsys.readouterr().err
    assert (tmp_path / "export" / "model.stablehlo").exists()


FUNCTIONS = {
    "a product of matrices of each image": lambda x: jnp.einsum("byxc,byzc->bxz", x, x),
    "a sum over two axes": lambda x: jnp.einsum("byxc,yxf->bcf", x, np.linspace(-1, 1, 6 * 7 * 2).reshape(6, 7, 2)),
    "a constant repeated to the batch": lambda x: jnp.concatenate([jnp.full_like(x, 2.0), x], axis=1),
    "steps and turns": lambda x: jax.lax.slice_in_dim(x, 1, 6, 2, axis=1).transpose(2, 1, 3, 0).transpose(3, 1, 0, 2),
    "choices": lambda x: jnp.where(jnp.isfinite(x) & (x > 0.3), jnp.sqrt(jnp.abs(x)), -1 / (1 + x**2)),
    "logs and tails": lambda x: jnp.sign(x) * jnp.log1p(jnp.abs(x)) + jax.scipy.special.erfc(x) + jnp.arcsinh(x),
    "a dilated, strided convolution in groups": lambda x: jax.lax.conv_general_dilated(
        x, np.linspace(-1, 1, 3 * 2 * 1 * 6, dtype=np.float32).reshape(3, 2, 1, 6), (1, 2), ((1, 2), (0, 1)),
        rhs_dilation=(2, 1), dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=3,
    ),
    "greatest of windows, with a border": lambda x: jax.lax.reduce_window(
        x, -jnp.inf, jax.lax.max, (1, 3, 2, 1), (1, 2, 1, 1), ((0, 0), (1, 1), (0, 1), (0, 0))
    ),
    "sums of windows, with a border": lambda x: jax.lax.reduce_window(
        x, 0.0, jax.lax.add, (1, 2, 3, 1), (1, 1, 2, 1), ((0, 0), (1, 0), (1, 1), (0, 0))
    ),
    "padded with a number": lambda x: jnp.pad(x, ((0, 0), (1, 2), (0, 3), (0, 0)), constant_values=4.0),
    "least and greatest": lambda x: (
        jnp.clip(x, -0.5, 1.0) - x.min(axis=(1, 2), keepdims=True) + x.max(axis=3, keepdims=True)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_operations(name):
    """Against JAX, at two batch sizes; the shapes tell the axes apart."""
    function = FUNCTIONS[name]
    model = convert_function(function, (6, 7, 3), ["out"])
    for number in (1, 4):
        images = np.random.default_rng(number).normal(size=(number, 6, 7, 3)).astype(np.float32)
        if name == "choices":
            images[0, 0, 0] = [np.nan, np.inf, -np.inf]
        np.testing.assert_allclose(run(model, images)[0], function(jnp.asarray(images)), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [5, 6])
def test_median_by_sort_is_numpys(size):
    images = np.random.default_rng(0).normal(size=(4, size, 5, 2)).astype(np.float32)
    images[1, :2] = np.nan
    images[2, 0, 0] = np.nan
    images[3] = np.nan
    with medians_by_sort():
        median = np.asarray(jax.jit(image_median)(jnp.asarray(images)))
    np.testing.assert_allclose(median[:3], np.nanmedian(images[:3], axis=(1, 2)), atol=1e-7)
    assert (median[3] == 0).all()


@pytest.mark.parametrize(
    "model",
    [ModelConfig("densenet121", {"num_layers": (2, 2), "growth": 4}), ModelConfig("vit_tiny", {"image_size": 64})],
    ids=lambda model: model.name,
)
def test_connections_and_attention_convert(model):
    """As every network does, small."""
    assert_converts(model, 64)


@pytest.mark.slow
@pytest.mark.parametrize("name", model_names())
def test_every_network_converts(name):
    assert_converts(ModelConfig(name), {"inception_v3": 96, "vit_b16": 224, "vit_l16": 224}.get(name, 64))


def assert_converts(model: ModelConfig, size: int) -> None:
    base = untrained_networks(1)[0]
    data = DataConfig(input_size=size, stretch="log")
    statistics = base.facts.preprocess.statistics
    facts = dataclasses.replace(
        base.facts,
        image_size=size,
        preprocess=Preprocess.from_metadata(data, {"band_statistics": statistics.to_dict()}),
    )
    network, _ = create_network(ExperimentConfig(model=model), facts, make_mesh(jax.devices()[:1]))
    rng = np.random.default_rng(0)

    def draw(leaf):  # the heads begin at zero, and every score at a third
        leaf, noise = np.asarray(leaf), rng.normal(size=leaf.shape).astype(np.float32)
        # Relative to what is there: deep networks would give numbers so large that rounding decides.
        return leaf * (1 + 0.1 * noise) if leaf.any() else 0.02 * noise

    state = network.state.replace(params=jax.tree.map(draw, network.state.params))
    network = dataclasses.replace(network, state=state)
    with medians_by_sort(), exporting.plain_kernels():
        converted = convert_function(exporting.scores_function(network), (size, size, 2), ["score"])
    images = exporting.trial_images(network, 3)
    scores = run(converted, images)[0]
    each = network.member_scores()(state.params, state.model_state, jnp.asarray(images))
    np.testing.assert_allclose(scores, np.asarray(each)[0], atol=1e-5)
    assert scores.std() > 1e-3
