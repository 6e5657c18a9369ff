"""Networks without padding: their smallest input, and a whole map at once against window by window."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import example, given, settings
from hypothesis import strategies as st
from random_weights import make_random_network

from clusterjax.errors import InputError
from clusterjax.models import create_model
from clusterjax.models.densenet import Stack
from clusterjax.models.layers import adaptive_average_pool, average_pool, conv, flatten, global_average_pool, max_pool
from clusterjax.models.sliding import before_layer, evaluate_dense, in_parallel, plan_dense

# Small networks of every family, and a window somewhat larger than their smallest.
NETWORKS = {
    "baseline": ("baseline", 47, {"widths": (4, 6, 8, 10)}),
    "cnn_mlp": ("cnn_mlp", 34, {"widths": (4, 6, 8), "head_kwargs": {"widths": (16, 8)}}),
    "alexnet": ("alexnet_vgg", 59, {"stem_stride": 1, "use_batch_norm": True, "head_kwargs": {"width": 8}}),
    "alexnet, stem of 3": ("alexnet_vgg", 149, {"stem_stride": 3, "head_kwargs": {"width": 8}}),
    "vgg": ("vgg19_bn", 44, {"stages": ((1, 4), (2, 6), (1, 8)), "head_kwargs": {"width": 8}}),
    "spinal vgg": ("spinalnet_vgg", 44, {"stages": ((1, 4), (2, 8)), "head_kwargs": {"width": 8}}),
    "kosiba": ("kosiba_cn", 48, {"widths": (4, 6, 8, 8)}),
    "resnet": ("resnet18", 75, {"num_blocks": (1, 1)}),
    "bottleneck": ("resnet50", 67, {"num_blocks": (1, 1)}),
    "densenet": ("densenet121", 71, {"num_layers": (2, 1), "growth": 4}),
    "mobilenet": ("mobilenet_v1", 41, {"blocks": ((8, 1), (12, 2), (12, 1), (16, 2))}),
}


def windows_of(pixels, size, stride, shape):
    """Window by window, those that begin within ``shape``: (batch * ny * nx, size, size, band)."""
    starts = itertools.product(range(len(pixels)), range(0, shape[0], stride), range(0, shape[1], stride))
    return np.stack([pixels[b, y : y + size, x : x + size] for b, y, x in starts])


def compare(network, plan, *, stride, num_bands=2):
    """The dense evaluation of a small random map against the network on each window; logits are of order one."""
    step = plan.extent_step
    extent = (2 * step if step < 12 else step, step)
    rng = np.random.default_rng(1)
    pixels = rng.normal(size=(2, *(length + plan.halo for length in extent), num_bands)).astype(np.float32)
    dense = jax.jit(lambda x: evaluate_dense(network, plan, x))(jnp.asarray(pixels))
    assert dense.shape[:3] == (2, extent[0] // stride, extent[1] // stride)
    windows = windows_of(pixels, plan.window, stride, extent)
    chosen = rng.choice(len(windows), min(len(windows), 32), replace=False)
    expected = np.asarray(jax.jit(network)(jnp.asarray(windows[chosen])))
    largest = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(np.asarray(dense).reshape(len(windows), -1)[chosen], expected, atol=1e-5 * largest)
    return expected


def slow(*values):
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]


# A stride within the network's; slow: all phases, none, beside the network's, more than it.
@pytest.mark.parametrize("stride", [4, *slow(1, 2, 3, 6, 8, 16, 24)])
@pytest.mark.parametrize("name", NETWORKS)
def test_dense_equals_windows(name, stride):
    family, size, kwargs = NETWORKS[name]
    model = make_random_network(family, padding="VALID", **kwargs)
    plan = plan_dense(model, window=size, stride=stride, num_bands=2)
    graphdef, state = nnx.split(model)
    expected = compare(lambda x: nnx.merge(graphdef, state)(x), plan, stride=stride)
    assert expected.std(axis=0).max() > 1e-2  # the windows differ by far more than the tolerance


@pytest.mark.parametrize("stride", [1, 20, *slow(3, 5, 12, 16, 32, 47)])
def test_every_stride(stride):
    _, size, kwargs = NETWORKS["baseline"]
    model = make_random_network("baseline", padding="VALID", **{**kwargs, "widths": (3, 4, 5, 6)})
    plan = plan_dense(model, window=size, stride=stride, num_bands=2)
    assert plan.lattice.layer_stride == 16
    assert math.prod(plan.lattice.shifts) == 16 // math.gcd(stride, 16)
    graphdef, state = nnx.split(model)
    compare(lambda x: nnx.merge(graphdef, state)(x), plan, stride=stride)


class Layers(nnx.Module):
    """Poolings of any size and stride, each (size, stride, maximum or mean); the last map pooled to ``parts``."""

    padding = "VALID"

    def __init__(self, layers, parts):
        self.layers, self.parts = tuple(layers), parts

    def __call__(self, x, rngs=None):
        for size, stride, is_max in self.layers:
            x = (max_pool if is_max else average_pool)(x, size, stride)
        return global_average_pool(x) if self.parts == 0 else flatten(adaptive_average_pool(x, self.parts, self.parts))


class WithBackbone(nnx.Module):
    def __init__(self, backbone):
        self.backbone = backbone

    def __call__(self, x):
        return self.backbone(x)


@settings(max_examples=10, deadline=None)
@given(
    layers=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4), st.booleans()), min_size=1, max_size=3),
    stride=st.integers(1, 9),
    last_size=st.integers(1, 4),
    parts=st.integers(0, 3),
    spare=st.integers(0, 2),
)
# A stride of which the scan's shares a part: copies that are more than a pixel apart.
@example(layers=[(3, 4, True), (2, 2, False)], stride=2, last_size=2, parts=1, spare=1)
def test_any_sizes_and_strides(layers, stride, last_size, parts, spare):
    window = last_size
    for size, step, _ in reversed(layers):
        window = (window - 1) * step + size
    model = WithBackbone(Layers(layers, parts))
    plan = plan_dense(model, window=window + spare, stride=stride, num_bands=1)
    assert plan.last_size >= last_size
    compare(model, plan, stride=stride, num_bands=1)


# Receptive fields, in closed form, of Araujo et al. (2019, distill.pub/2019/computing-receptive-fields): alexnet_v2,
# vgg_16, mobilenet_v1; the others by hand from the sizes and strides of their papers.
SMALLEST = {
    "alexnet_vgg": (195, {}),
    "vgg19": (212, {"stages": ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))}),
    "mobilenet_v1": (315, {}),
    "baseline": (2 * (2 * (2 * 4 + 2) + 2) + 2, {}),
    "cnn_mlp": (22, {}),
    "kosiba_cn": (190, {}),
    "resnet18": (435, {}),
}
SMALLEST_OF_LARGE = {"resnet50": (427, {}), "densenet121": (2071, {})}


@pytest.mark.parametrize("name", [*SMALLEST, *slow("resnet50", "densenet121")])
def test_smallest_input_is_named_and_parameters_are_the_padded_networks(name):
    least, kwargs = (SMALLEST | SMALLEST_OF_LARGE)[name]

    def build(padding):
        return nnx.eval_shape(
            lambda: create_model(
                name, num_bands=3, num_classes=2, dtype="float32", rngs=nnx.Rngs(0), padding=padding, **kwargs
            )
        )

    valid = build("VALID")
    assert jax.tree.map(jnp.shape, nnx.state(valid)) == jax.tree.map(jnp.shape, nnx.state(build(None)))
    valid.eval()
    graphdef, state = nnx.split(valid)

    def shape_at(ny, nx):
        image = jax.ShapeDtypeStruct((1, ny, nx, 3), jnp.float32)
        return jax.eval_shape(lambda state, image: nnx.merge(graphdef, state)(image), state, image).shape

    assert shape_at(least, least) == (1, 2)
    with pytest.raises(InputError, match=rf"padding='VALID' needs {least} px or more; got {least - 1}"):
        shape_at(least - 1, least)


def first_dense_layer(backbone):
    """With its input beside its output."""
    layer = backbone.blocks[0][0]

    def block(x):
        before = Stack.of(x, in_training=False)
        return jnp.concatenate(before.and_beside(layer(before), margin=layer.margin).parts, axis=-1)

    return block


# (network, options, its block, pixels by which the strided grid without padding begins later)
BLOCKS = [
    ("resnet18", {"num_blocks": (1, 1)}, lambda backbone: backbone.stages[0][0], 0),
    ("resnet18", {"num_blocks": (1, 1)}, lambda backbone: backbone.stages[1][0], 1),
    ("resnet50", {"num_blocks": (1, 1)}, lambda backbone: backbone.stages[0][0], 0),
    ("resnet50", {"num_blocks": (1, 1)}, lambda backbone: backbone.stages[1][0], 1),
    ("densenet121", {"num_layers": (1, 1), "growth": 4}, first_dense_layer, 0),
]


@pytest.mark.parametrize(("name", "kwargs", "block", "late"), BLOCKS)
def test_branches_meet_where_the_padded_networks_do(name, kwargs, block, late):
    """A crop off the centre would be the same on maps and windows, but not the interior of the padded block."""
    padded, valid = (make_random_network(name, padding=padding, **kwargs) for padding in (None, "VALID"))
    num_features = {"densenet121": 8}.get(name, 256 if name == "resnet50" and late else 64)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 17, 17, num_features)), jnp.float32)
    inner = np.asarray(block(valid.backbone)(x))
    whole = np.asarray(block(padded.backbone)(x[:, late:, late:]))
    # The padded block's first outputs see its zeros.
    first = (17 - inner.shape[1]) // 2 if not late else {"resnet18": 1, "resnet50": 0}[name]
    size = inner.shape[1]
    skip = 1
    np.testing.assert_allclose(
        inner[:, skip : size - 1, skip : size - 1],
        whole[:, first + skip : first + size - 1, first + skip : first + size - 1],
        atol=1e-4,
    )


@pytest.mark.parametrize("name", [*SMALLEST, *SMALLEST_OF_LARGE])
def test_an_unknown_padding_is_named(name):
    with pytest.raises(InputError, match=r"padding='SAME' is unknown; use None .* or 'VALID'"):
        nnx.eval_shape(
            lambda: create_model(name, num_bands=1, num_classes=2, dtype="float32", rngs=nnx.Rngs(0), padding="SAME")
        )


@pytest.mark.parametrize("name", ["baseline", "resnet18", "efficientnet_lite0", "vit_tiny"])
def test_a_padded_network_is_refused(name):
    model = nnx.eval_shape(lambda: create_model(name, num_bands=2, num_classes=2, dtype="float32", rngs=nnx.Rngs(0)))
    with pytest.raises(InputError, match=r"pads its feature maps .* padding='VALID'"):
        plan_dense(model, window=64, stride=4, num_bands=2)


def test_a_layer_that_pads_all_the_same_is_refused():
    class Backbone(nnx.Module):
        padding = "VALID"

        def __init__(self):
            self.conv = conv(1, 1, 3, padding=1, dtype=jnp.dtype("float32"), rngs=nnx.Rngs(0))

        def __call__(self, x):
            return global_average_pool(self.conv(x))

    with pytest.raises(InputError, match="pads the window"):
        plan_dense(WithBackbone(Backbone()), window=8, stride=2, num_bands=1)


def test_branches_of_different_strides_are_a_mistake():
    class Backbone(nnx.Module):
        padding = "VALID"

        def __call__(self, x):
            return global_average_pool(sum(in_parallel(x, lambda x: max_pool(x, 2, 2), lambda x: max_pool(x, 2, 1))))

    with pytest.raises(ValueError, match="different strides"):
        plan_dense(WithBackbone(Backbone()), window=8, stride=2, num_bands=1)


def test_pixels_that_are_no_extent():
    model = WithBackbone(Layers([(2, 2, True)], 0))
    plan = plan_dense(model, window=4, stride=1, num_bands=1)
    assert (plan.extent_step, plan.halo) == (2, 3)
    with pytest.raises(ValueError, match="6 pixels are not 3 and a multiple of 2"):
        evaluate_dense(model, plan, jnp.zeros((1, 7, 6, 1)))


def test_nothing_changes_outside():
    x = jnp.ones((1, 4, 4, 1))
    assert before_layer(x, 2, ((0, 0), (0, 0))) is x


def test_what_is_saved():
    """Baseline at 64 px, multiplications by hand: of one window, and of one of many at a stride of 4."""
    model = nnx.eval_shape(
        lambda: create_model("baseline", num_bands=2, num_classes=2, dtype="float32", rngs=nnx.Rngs(0), padding="VALID")
    )
    plan = plan_dense(model, window=64, stride=4, num_bands=2)
    kernels = [9 * 2 * 32, 9 * 32 * 64, 9 * 64 * 128, 9 * 128 * 256]
    alone = sum(kernel * side**2 for kernel, side in zip(kernels, (62, 29, 12, 4), strict=True))
    shared = sum(kernel * pixels for kernel, pixels in zip(kernels, (16, 4, 1, 1), strict=True))
    assert plan.saving == pytest.approx(alone / shared)
    assert plan.values_per_pixel == 32
