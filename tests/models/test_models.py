"""The networks against the published numbers of parameters, and layers against their definitions."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from clusterjax.errors import InputError
from clusterjax.models import create_model, model_names
from clusterjax.models.layers import adaptive_average_pool, conv, max_pool


def build(name, *, num_bands=2, num_classes=2, **kwargs):
    return create_model(name, num_bands=num_bands, num_classes=num_classes, dtype="float32", rngs=nnx.Rngs(0), **kwargs)


def count(model):
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))


def test_alexnet_has_the_published_number_of_parameters():
    """61 100 840: torchvision's AlexNet, whose classifier is VGG's head on 6x6x256 features."""
    model = nnx.eval_shape(lambda: build("alexnet_vgg", num_bands=3, num_classes=1000))
    assert count(model) == 61_100_840


def test_baseline_parameters_by_hand():
    widths = (2, 32, 64, 128, 256)
    expected = sum(9 * a * b + b + 2 * b for a, b in itertools.pairwise(widths)) + 256 * 2 + 2
    assert count(build("baseline")) == expected


@pytest.mark.parametrize("name", model_names())
def test_logits_of_every_network(name):
    small = {"head_width": 16} if name == "alexnet_vgg" else {}
    model = build(name, num_bands=3, num_classes=4, **small)
    model.eval()
    image = jnp.asarray(np.random.default_rng(0).normal(size=(2, 64, 64, 3)), jnp.float32)
    logits = model(image)
    assert logits.shape == (2, 4)
    np.testing.assert_array_equal(logits, 0)  # a fresh network gives all classes the same probability
    np.testing.assert_allclose(model(image), logits)  # nothing random in evaluation


def test_dropout_needs_its_rngs_and_uses_them():
    model = build("baseline", widths=(8,), dropout=0.5)
    model.head.linear.kernel[...] = jnp.ones_like(model.head.linear.kernel[...])
    model.train()
    image = jnp.ones((4, 8, 8, 2)) * jnp.arange(4.0)[:, None, None, None]
    first = model(image, rngs=nnx.Rngs(dropout=0))
    assert not np.allclose(first, model(image, rngs=nnx.Rngs(dropout=1)))
    np.testing.assert_allclose(first, model(image, rngs=nnx.Rngs(dropout=0)))


def test_alexnet_names_the_least_size():
    with pytest.raises(InputError, match="needs 63 px or more; got 48"):
        build("alexnet_vgg", head_width=8)(jnp.zeros((1, 48, 48, 2)))
    model = build("alexnet_vgg", head_width=8)
    model.eval()
    assert model(jnp.zeros((1, 63, 63, 2))).shape == (1, 2)


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match=r"'alexnet' is unknown; use one of alexnet_vgg, baseline"):
        build("alexnet")
    with pytest.raises(InputError, match=r"\['depth'\], which baseline does not take; use \['dropout', 'widths'\]"):
        build("baseline", depth=3)


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
