"""The CPU's convolutions against XLA's own, forward and backward, whatever the shape."""

import math
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterjax.models import cpu_kernels, cpu_weight_gradient, create_model, kernels
from clusterjax.models.kernels import plain_kernels
from clusterjax.models.layers import conv, dense, max_pool


def value_and_gradients(layer, x, seed=0):
    """The layer's output, and the gradient of a random projection of it by input, kernel and bias."""
    graphdef, params = nnx.split(layer)

    def project(params, x):
        y = nnx.merge(graphdef, params)(x)
        cotangent = jnp.asarray(np.random.default_rng(seed).normal(size=y.shape), y.dtype)
        return jnp.sum(y * cotangent), y

    (_, y), grads = jax.value_and_grad(project, argnums=(0, 1), has_aux=True)(params, x)
    return [y, *jax.tree.leaves(grads)]


def assert_same(layer, x):
    ours = value_and_gradients(layer, x)
    with plain_kernels():
        plain = value_and_gradients(layer, x)
    for a, b in zip(ours, plain, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5 * max(1.0, float(np.abs(b).max())), rtol=0)


@settings(max_examples=12, deadline=None)
@given(
    size=st.sampled_from([(1, 1), (3, 3), (5, 5), (1, 7), (2, 2)]),
    stride=st.integers(1, 3),
    pads=st.lists(st.integers(0, 3), min_size=4, max_size=4),
    image=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    features=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    depthwise=st.booleans(),
    batch=st.integers(1, 6),
    part_values=st.sampled_from([1, 200, 2**20]),  # of the gradient by the kernel: image by image, a few, all at once
)
def test_convolutions_of_any_shape(size, stride, pads, image, features, depthwise, batch, part_values):
    padding = [(min(pads[0], size[0]), min(pads[1], size[0])), (min(pads[2], size[1]), min(pads[3], size[1]))]
    if any(n + sum(pad) < k for n, pad, k in zip(image, padding, size, strict=True)):
        return
    num_in, num_out = (features[0], features[0]) if depthwise else features
    layer = conv(
        num_in,
        num_out,
        size,
        stride=stride,
        padding=padding,
        num_groups=num_in if depthwise else 1,
        dtype=jnp.dtype("float32"),
        rngs=nnx.Rngs(0),
    )
    x = jnp.asarray(np.random.default_rng(1).normal(size=(batch, *image, num_in)), jnp.float32)
    with mock.patch.object(cpu_weight_gradient, "_PART_VALUES", part_values):
        assert_same(layer, x)


@pytest.mark.parametrize("image", [(8, 12), (9, 13), (4, 4)])
def test_patches_are_one_matrix_product(image):
    """Pixels that fill no patch are not seen."""
    layer = conv(3, 5, 4, stride=4, dtype=jnp.float32, rngs=nnx.Rngs(0))
    x = jnp.asarray(np.random.default_rng(1).normal(size=(2, *image, 3)), jnp.float32)
    assert str(jax.make_jaxpr(lambda x: layer(x))(x)).count("dot_general") == 1
    assert_same(layer, x)


@pytest.mark.parametrize("shape", [(4, 7), (2, 5, 7)])
def test_dense_layers(shape):
    x = jnp.asarray(np.random.default_rng(1).normal(size=shape), jnp.float32)
    assert_same(dense(7, 3, dtype=jnp.dtype("float32"), rngs=nnx.Rngs(0)), x)


@settings(max_examples=15, deadline=None)
@given(
    size=st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=st.one_of(st.integers(0, 2), st.just("SAME")),
    image=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    ties=st.booleans(),
)
def test_max_pooling_of_any_shape(size, stride, padding, image, ties):
    if padding != "SAME" and (2 * padding > size or min(image) + 2 * padding < size):
        return
    x = np.random.default_rng(1).normal(size=(2, *image, 3)).astype(np.float32)
    x = np.round(x) if ties else x  # the gradient goes to the first of equals

    def pool(x):
        y = max_pool(x, size, stride, padding)
        cotangent = jnp.asarray(np.random.default_rng(2).normal(size=y.shape), y.dtype)
        return jnp.sum(y * cotangent), y

    ours = jax.value_and_grad(pool, has_aux=True)(x)
    with plain_kernels():
        plain = jax.value_and_grad(pool, has_aux=True)(x)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5, rtol=0)


def test_each_kernel_is_reached():
    """By what is compiled: the plain path has convolutions where the CPU's has none."""
    model = create_model("mobilenet_v1", num_bands=2, num_classes=2, dtype="float32", rngs=nnx.Rngs(0))
    model.eval()
    image = jax.ShapeDtypeStruct((1, 32, 32, 2), jnp.float32)

    def count():
        return str(jax.make_jaxpr(lambda x: model(x))(image)).count("conv_general_dilated")

    assert count() == 1  # the stem
    with plain_kernels():
        assert count() == 27
    assert not kernels._plain_everywhere


@pytest.mark.parametrize(
    ("image", "output", "parts"),
    [((32, 64, 64, 64), (32, 64, 64, 64), 8), ((32, 8, 8, 128), (32, 8, 8, 32), 1), ((7, 224, 224, 64), (7, 9), 7)],
)
def test_the_gradient_by_the_kernel_is_taken_in_parts_that_caches_hold(image, output, parts):
    assert cpu_weight_gradient.num_parts(image, output) == parts


@pytest.mark.parametrize(
    ("image", "kernel", "strides", "expected"),
    [
        ((32, 16, 16, 64), (3, 3, 64, 128), (1, 1), True),
        ((8, 8, 8, 256), (3, 3, 256, 256), (1, 1), True),
        ((32, 16, 16, 128), (3, 3, 128, 32), (1, 1), False),
        ((32, 8, 8, 64), (3, 3, 64, 128), (1, 1), False),
        ((32, 64, 64, 3), (3, 3, 3, 64), (1, 1), False),
        ((32, 32, 32, 64), (3, 3, 64, 128), (2, 2), False),
    ],
)
def test_the_gradient_by_a_large_kernel_is_taken_by_its_rows(image, kernel, strides, expected):
    output = (*(n // s for n, s in zip(image[:3], (1, *strides), strict=True)), kernel[3])
    assert cpu_weight_gradient.by_rows(image, kernel, output, strides) == expected


@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(st.integers(1, 4), st.integers(1, 5)),
    pads=st.tuples(*[st.integers(0, 4)] * 4),
    image=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    batch=st.sampled_from((1, 3, 4)),
    part_values=st.sampled_from((1, 100, 400, 10**6)),
)
def test_the_gradient_by_rows_is_the_same(size, pads, image, batch, part_values):
    """In parts of some images and, where one is larger, of some of its rows."""
    if math.prod(size) == 1 or any(n + sum(p) < k for n, p, k in zip(image, (pads[:2], pads[2:]), size, strict=True)):
        return
    layer = conv(3, 5, size, padding=[pads[:2], pads[2:]], dtype=jnp.float32, rngs=nnx.Rngs(0))
    x = jnp.asarray(np.random.default_rng(1).normal(size=(batch, *image, 3)), jnp.float32)
    by_rows = mock.Mock(wraps=cpu_weight_gradient._gradient_by_rows)
    always = {"_ROWS_OUTPUT_VALUES": 0, "_ROWS_MIN_FEATURES": 1, "_ROWS_PART_VALUES": part_values}
    with (
        mock.patch.multiple(cpu_weight_gradient, _gradient_by_rows=by_rows, **always),
        mock.patch.object(kernels, "SMALL_MAP", 0),
    ):
        assert_same(layer, x)
    assert by_rows.called


@pytest.mark.parametrize("shape", [(4, 7), (2, 5, 7)])
def test_dense_layers_bound_by_reading_the_kernel(monkeypatch, shape):
    x = jnp.asarray(np.random.default_rng(1).normal(size=shape), jnp.float32)
    layer = dense(7, 3, dtype=jnp.dtype("float32"), rngs=nnx.Rngs(0))

    def count():
        return str(jax.make_jaxpr(lambda x: layer(x))(x)).count("optimization_barrier")

    assert count() == 0
    monkeypatch.setattr(cpu_kernels, "_LARGE_KERNEL", 0)
    assert count() == 1
    assert_same(layer, x)


@pytest.mark.parametrize("batch", [0, 2])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64"])
def test_the_gradient_by_rows_in_every_precision(monkeypatch, batch, dtype):
    """Also of a batch without images. Sums over parts and pixels are in float32 at least."""
    monkeypatch.setattr(cpu_weight_gradient, "_ROWS_PART_VALUES", 10_000)
    rng = np.random.default_rng(0)
    image, kernel = rng.normal(size=(batch, 16, 16, 256)), rng.normal(size=(3, 3, 256, 256)) / 50

    def gradient(convolve, dtype):
        kernel_, image_ = jnp.asarray(kernel, dtype), jnp.asarray(image, dtype)
        return jax.grad(lambda k: convolve(image_, k, (1, 1), ((1, 1), (1, 1))).sum())(kernel_)

    with jax.enable_x64(dtype == "float64"):
        got = gradient(cpu_weight_gradient.convolve_large_map, dtype)
        exact = gradient(cpu_weight_gradient.convolve_large_map.fun, "float64" if dtype == "float64" else "float32")
        got, exact = np.asarray(got), np.asarray(exact)
    assert got.dtype == dtype
    tolerance = {"bfloat16": 2**-7, "float32": 1e-5, "float64": 1e-12}[dtype]
    np.testing.assert_allclose(
        got.astype(exact.dtype), exact, rtol=0, atol=tolerance * max(1.0, float(np.abs(exact).max()))
    )
