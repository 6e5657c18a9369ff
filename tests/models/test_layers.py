"""Layers and heads against their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterjax.models.heads import HEADS
from clusterjax.models.layers import BatchNorm, SqueezeExcite, StochasticDepth, adaptive_average_pool, conv, max_pool


@pytest.mark.parametrize("in_training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize("use_batch_norm", [False, True])
@pytest.mark.parametrize("num_features", [12, 7])
def test_spinal_head_by_its_definition(num_features, use_batch_norm, in_training):
    """Kabir et al. (2020), in plain NumPy: each layer sees one half of the features and the layer before."""
    head = HEADS["spinal"](
        num_features, 3, width=5, use_batch_norm=use_batch_norm, dtype=jnp.dtype("float32"), rngs=nnx.Rngs(0)
    )
    rng = np.random.default_rng(1)
    for leaf in jax.tree.leaves(nnx.state(head), is_leaf=lambda leaf: isinstance(leaf, nnx.Variable)):
        leaf.set_value(jnp.asarray(rng.uniform(0.5, 1.5, leaf.shape), jnp.float32))
    nnx.update(head, nnx.state(head))
    for module in (*head.layers, head.linear):
        module.kernel[...] = jnp.asarray(rng.normal(size=module.kernel.shape), jnp.float32)
    features = rng.normal(size=(4, num_features))
    half = num_features // 2
    h1, h2 = features[:, :half], features[:, half:]

    def layer(i, x):
        y = x @ np.asarray(head.layers[i].kernel[...]) + np.asarray(head.layers[i].bias[...])
        if use_batch_norm:
            norm = head.norms[i]
            mean, variance = (y.mean(0), y.var(0)) if in_training else (norm.mean[...], norm.var[...])
            y = (y - mean) / np.sqrt(variance + 1e-5) * norm.scale[...] + norm.bias[...]
        return np.maximum(np.asarray(y), 0)

    x1 = layer(0, h1)
    x2 = layer(1, np.concatenate([h2, x1], axis=1))
    x3 = layer(2, np.concatenate([h1, x2], axis=1))
    x4 = layer(3, np.concatenate([h2, x3], axis=1))
    stacked = np.concatenate([x1, x2, x3, x4], axis=1)
    expected = stacked @ np.asarray(head.linear.kernel[...]) + np.asarray(head.linear.bias[...])
    head.train() if in_training else head.eval()
    np.testing.assert_allclose(head(jnp.asarray(features, jnp.float32)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(2, 2, 3), (2, 3)])
def test_stochastic_depth_drops_examples_whole(shape):
    layer = StochasticDepth(0.25)
    layer.set_attributes(deterministic=False)
    branch = jnp.ones((4000, *shape))
    kept = np.asarray(layer(branch, rngs=nnx.Rngs(dropout=0))).reshape(4000, -1)
    assert np.all(kept == kept[:, :1])
    assert set(np.unique(kept).round(5)) == {0.0, np.float32(1 / 0.75).round(5)}
    assert abs(np.mean(kept > 0) - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 4000)
    layer.set_attributes(deterministic=True)
    np.testing.assert_array_equal(layer(branch), branch)


def test_squeeze_and_excite_by_its_definition():
    layer = SqueezeExcite(6, 2, dtype=jnp.dtype("float32"), rngs=nnx.Rngs(0))
    x = np.random.default_rng(0).normal(size=(3, 5, 4, 6)).astype(np.float32)
    z = x.mean((1, 2)) @ np.asarray(layer.reduce.kernel[...])
    z = z / (1 + np.exp(-z)) @ np.asarray(layer.expand.kernel[...])
    np.testing.assert_allclose(layer(jnp.asarray(x)), x / (1 + np.exp(-z))[:, None, None, :], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("in_training", [True, False], ids=["training", "evaluation"])
@settings(max_examples=50, deadline=None)
@given(
    shape=st.sampled_from([(4, 5, 6, 3), (8, 3)]),
    offset=st.floats(-5, 5),
    spread=st.floats(0.1, 10),
    seed=st.integers(0, 2**16),
)
def test_normalisation_is_its_definition_and_a_bias_before_it_as_if_added(in_training, shape, offset, spread, seed):
    """In float64, with the gradients of Ioffe & Szegedy 2015 (arXiv:1502.03167, section 3)."""
    rng = np.random.default_rng(seed)
    scale, shift, running_mean, running_variance = (rng.uniform(0.5, 2, 3) for _ in range(4))
    x, weights, bias = rng.normal(offset, spread, shape), rng.normal(size=shape), rng.normal(size=3)
    x, weights, bias = (values.astype(np.float32) for values in (x, weights, bias))
    norm = BatchNorm(3, momentum=0.9, epsilon=1e-5, rngs=nnx.Rngs(0))
    norm.scale[...], norm.bias[...] = jnp.asarray(scale), jnp.asarray(shift)
    norm.mean[...], norm.var[...] = jnp.asarray(running_mean), jnp.asarray(running_variance)

    others = tuple(range(x.ndim - 1))
    whole = x.astype(float) + bias
    of_batch = whole.mean(others), whole.var(others)
    mean, variance = of_batch if in_training else (running_mean, running_variance)
    to_unit = 1 / np.sqrt(variance + 1e-5)
    units, gradient = (whole - mean) * to_unit, weights * scale
    through_statistics = gradient.mean(others) + units * (gradient * units).mean(others) if in_training else 0
    kept = 0.9 if in_training else 1
    expected = {
        "y": units * scale + shift,
        "x": (gradient - through_statistics) * to_unit,
        "scale": (weights * units).sum(others),
        "bias": weights.sum(others),
        "mean": kept * running_mean + (1 - kept) * of_batch[0],
        "var": kept * running_variance + (1 - kept) * of_batch[1],
    }

    def run(x, bias):
        graphdef, params, rest = nnx.split(norm, nnx.Param, ...)

        def loss(params, x):
            copy = nnx.merge(graphdef, params, rest, copy=True)
            copy.set_attributes(use_running_average=not in_training)
            y = copy(x, bias=bias)
            return (y * weights).sum(), {"y": y, "mean": copy.mean[...], "var": copy.var[...]}

        (to_params, to_x), found = jax.grad(loss, argnums=(0, 1), has_aux=True)(params, jnp.asarray(x))
        return {**found, "x": to_x, "scale": to_params["scale"][...], "bias": to_params["bias"][...]}

    # The mean of squares less the square of the mean, flax's variance too, loses as many digits as the two have alike
    alike = 1 + (np.abs(of_batch[0]) / np.sqrt(of_batch[1])).max() ** 2
    for found in (run(x + bias, None), run(x, jnp.asarray(bias))):
        for name, values in expected.items():
            size = np.abs(values).max() + np.abs(weights).sum() * (name in ("scale", "bias"))
            np.testing.assert_allclose(found[name], values, rtol=0, atol=2e-6 * alike * size, err_msg=name)


@pytest.mark.parametrize(("size", "stride", "padding"), [(11, 4, 2), (5, 1, 2), (3, 1, 1)])
def test_convolution_by_its_definition(size, stride, padding):
    rng = np.random.default_rng(1)
    layer = conv(2, 3, size, stride=stride, padding=padding, dtype=jnp.float32, rngs=nnx.Rngs(0))
    layer.bias[...] = jnp.asarray(rng.normal(size=3), jnp.float32)
    image = rng.normal(size=(1, 20, 20, 2)).astype(np.float32)
    padded = np.pad(image[0], [(padding, padding)] * 2 + [(0, 0)])
    kernel, num = np.asarray(layer.kernel[...]), (20 + 2 * padding - size) // stride + 1
    expected = np.empty((num, num, 3))
    for y in range(num):
        for x in range(num):
            part = padded[y * stride : y * stride + size, x * stride : x * stride + size]
            expected[y, x] = np.einsum("yxb,yxbf->f", part, kernel) + layer.bias[...]
    np.testing.assert_allclose(layer(jnp.asarray(image))[0], expected, atol=1e-4)


@pytest.mark.parametrize("size", [1, 3, 6, 7, 13])
def test_adaptive_pool_averages_pytorchs_bins(size):
    x = np.random.default_rng(0).normal(size=(1, size, size, 2)).astype(np.float32)
    pooled = adaptive_average_pool(jnp.asarray(x), 6, 6)
    for i in range(6):
        for j in range(6):
            y0, y1 = int(np.floor(i * size / 6)), int(np.ceil((i + 1) * size / 6))
            x0, x1 = int(np.floor(j * size / 6)), int(np.ceil((j + 1) * size / 6))
            np.testing.assert_allclose(pooled[0, i, j], x[0, y0:y1, x0:x1].mean((0, 1)), atol=1e-5)


def test_max_pool_drops_the_rows_that_fill_no_window():
    x = np.arange(64.0, dtype=np.float32).reshape(1, 8, 8, 1)
    pooled = max_pool(jnp.asarray(x), 3, 2)
    assert pooled.shape == (1, 3, 3, 1)
    assert pooled[0, 2, 2, 0] == x[0, 6, 6, 0]
