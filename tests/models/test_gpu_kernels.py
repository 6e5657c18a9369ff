"""The forms that GPUs and TPUs get, run on a CPU: against XLA's own, forward and backward, whatever the shape."""

from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterjax.models import attention, create_model, few_bands, kernels
from clusterjax.models.kernels import plain_kernels
from clusterjax.models.layers import conv
from tests.models.test_cpu_kernels import assert_same, value_and_gradients


@pytest.fixture(autouse=True)
def on_a_gpu():
    """As if the device were one."""
    with mock.patch.object(kernels, "_on", lambda *names: "gpu" in names and not kernels._plain_everywhere):
        yield


@settings(max_examples=15, deadline=None)
@given(
    size=st.tuples(st.integers(1, 11), st.integers(1, 11)),
    stride=st.integers(2, 4),
    pads=st.lists(st.integers(0, 5), min_size=4, max_size=4),
    image=st.tuples(st.integers(11, 23), st.integers(11, 23)),
    num_bands=st.integers(1, 4),
)
def test_strided_first_layers_of_any_shape(size, stride, pads, image, num_bands):
    padding = [tuple(pads[:2]), tuple(pads[2:])]
    layer = conv(num_bands, 5, size, stride=stride, padding=padding, dtype=jnp.float32, rngs=nnx.Rngs(0))
    assert_same(layer, jnp.asarray(np.random.default_rng(1).normal(size=(2, *image, num_bands)), jnp.float32))


@pytest.mark.parametrize(
    ("name", "kwargs", "features"),
    [
        ("resnet18", {}, 2 * 2 * 2),
        ("alexnet_vgg", {}, 4 * 4 * 2),
        ("mobilenet_v1", {}, 2 * 2 * 2),
        ("vit_tiny", {"image_size": 64}, 16 * 16 * 2),
    ],
)
def test_networks_are_the_same(name, kwargs, features):
    """And their first layer does go over blocks of pixels."""
    model = create_model(name, num_bands=2, num_classes=2, dtype="float32", rngs=nnx.Rngs(0), **kwargs)
    model.eval()
    image = jnp.asarray(np.random.default_rng(0).normal(size=(2, 64, 64, 2)), jnp.float32)
    seen = []
    original = few_bands.lax.conv_general_dilated

    def note(image, kernel, strides, *args, **options):
        seen.append((kernel.shape[2], tuple(strides)))
        return original(image, kernel, strides, *args, **options)

    with mock.patch.object(jax.lax, "conv_general_dilated", note):
        ours = value_and_gradients(model, image)
    assert seen[0] == (features, (1, 1))
    with plain_kernels():
        plain = value_and_gradients(model, image)
    for a, b in zip(ours, plain, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4 * max(1.0, float(np.abs(b).max())), rtol=0)


def test_other_layers_stay_as_they_are():
    assert not few_bands.suits((1, 64, 64, 3), (3, 3, 3, 8), (1, 1))
    assert not few_bands.suits((1, 64, 64, 64), (3, 3, 64, 8), (2, 2))
    assert not few_bands.suits((1, 64, 64, 3), (3, 3, 3, 8), (2, 1))
    assert not few_bands.suits((1, 64, 64, 3), (1, 1, 3, 8), (2, 2))


@pytest.mark.parametrize("size", [32, 64, 128])  # 5, 17 and 65 tokens: 3 to 7 are added
def test_padded_tokens_are_masked(size):
    """As cuDNN's kernel gets them; the kernel itself needs a GPU, here XLA's attention stands in for it."""
    model = create_model("vit_tiny", num_bands=2, num_classes=2, dtype="float32", image_size=size, rngs=nnx.Rngs(0))
    model.eval()
    image = jnp.asarray(np.random.default_rng(0).normal(size=(2, size, size, 2)), jnp.float32)
    plain = value_and_gradients(model, image)
    tokens, original = set(), jax.nn.dot_product_attention

    def stand_in(query, key, value, *, key_value_seq_lengths, implementation):
        assert implementation == "cudnn"
        tokens.add((query.shape[1], key_value_seq_lengths is not None))
        return original(query, key, value, key_value_seq_lengths=key_value_seq_lengths, implementation="xla")

    with (
        mock.patch.object(kernels, "has_fused_attention", return_value=True),
        mock.patch.object(jax.nn, "dot_product_attention", stand_in),
    ):
        padded = value_and_gradients(model, image)
    [(padded_to, masked)] = tokens
    assert padded_to % 8 == 0
    assert padded_to > (size // 16) ** 2
    assert masked
    for a, b in zip(padded, plain, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5 * max(1.0, float(np.abs(b).max())), rtol=0)


def test_only_two_byte_attention_on_nvidia_is_fused():
    assert not kernels.has_fused_attention(jnp.float32)
    for capability, fused in [("9.0", True), ("8.0", True), ("7.5", False), ("gfx942", False)]:
        with mock.patch.object(jax, "devices", lambda c=capability: [mock.Mock(compute_capability=c)]):
            assert kernels.has_fused_attention(jnp.bfloat16) is fused
            with plain_kernels():
                assert not kernels.has_fused_attention(jnp.bfloat16)


@pytest.mark.parametrize("num_tokens", [5, 8, 13])
def test_attention_is_its_definition(num_tokens):
    """In NumPy, in double precision; whatever stands behind the last token."""
    rng = np.random.default_rng(num_tokens)
    query, key, value = rng.normal(size=(3, 2, num_tokens, 3, 8))
    weights = np.exp(np.einsum("bqhf,bkhf->bhqk", query, key) / np.sqrt(8))
    expected = np.einsum("bhqk,bkhf->bqhf", weights / weights.sum(-1, keepdims=True), value)
    behind = rng.normal(size=(3, 2, 3, 3, 8))
    longer = jnp.asarray(np.concatenate([np.stack([query, key, value]), behind], axis=2), jnp.float32)
    ours = attention.attend(*longer, num_tokens=num_tokens)[:, :num_tokens]
    np.testing.assert_allclose(ours, expected, atol=2e-6)


@settings(max_examples=10, deadline=None)
@given(
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stride=st.integers(1, 3),
    pads=st.lists(st.integers(0, 3), min_size=4, max_size=4),
    num_bands=st.integers(1, 5),
)
def test_convolutions_of_many_networks(size, stride, pads, num_bands):
    """As products of matrices, against XLA's own convolution of each."""
    random = np.random.default_rng(0)
    images = jnp.asarray(random.normal(size=(3, 2, 9, 11, num_bands)), jnp.float32)
    weights = jnp.asarray(random.normal(size=(3, *size, num_bands, 4)), jnp.float32)
    padding = [tuple(pads[:2]), tuple(pads[2:])]

    def convolve(image, kernel):
        result = kernels.convolve(image, kernel, (stride,) * 2, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return jnp.sum(jnp.sin(result)), result

    gradients = jax.value_and_grad(convolve, (0, 1), has_aux=True)
    with kernels.many_networks() as read_bytes:
        ours = jax.vmap(gradients)(images, weights)
    assert len(read_bytes) == 1
    with plain_kernels():
        each = [gradients(*one) for one in zip(images, weights, strict=True)]
    for values, *own in zip(jax.tree.leaves(ours), *map(jax.tree.leaves, each), strict=True):
        np.testing.assert_allclose(values, np.stack(own), rtol=1e-4, atol=1e-4)
