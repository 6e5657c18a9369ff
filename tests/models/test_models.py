"""The networks against the published numbers of parameters, in training and with every head."""

import itertools
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from clusterjax.errors import InputError
from clusterjax.models import create_model, model_names
from clusterjax.models.heads import HEADS
from clusterjax.models.layers import BatchNorm
from clusterjax.models.registry import model_entry

# Of torchvision, timm and their papers, at 3 bands and 1000 classes under the head given; ResNet18's own has one hidden
# layer here, as in the reference system.
PUBLISHED = {
    "alexnet_vgg": 61_100_840,
    "densenet121": 7_978_856,
    "efficientnet_b0": 5_288_548,
    "efficientnet_b1": 7_794_184,
    "efficientnet_b2": 9_109_994,
    "efficientnet_b3": 12_233_232,
    "efficientnet_b4": 19_341_616,
    "efficientnet_b5": 30_389_784,
    "efficientnet_b6": 43_040_704,
    "efficientnet_b7": 66_347_960,
    "efficientnet_lite0": 4_652_008,
    "inception_v3": 27_161_264 - 3_326_696,  # without the auxiliary classifier
    "mobilenet_v1": 4_231_976,
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "vgg19": 143_667_240,
    "vgg19_bn": 143_678_248,
    "vit_b16": 86_567_656,
    "vit_l16": 304_326_632,
    "vit_tiny": 5_717_416,
    "wide_resnet101_2": 126_886_696,
}
OWN = ("baseline", "cnn_mlp", "kosiba_cn", "two_branch")  # of no library
SPINAL = ("spinalnet_densenet", "spinalnet_efficientnet", "spinalnet_resnet", "spinalnet_vgg")


def build(name, *, num_bands=2, num_classes=2, dtype="float32", **kwargs):
    return create_model(name, num_bands=num_bands, num_classes=num_classes, dtype=dtype, rngs=nnx.Rngs(0), **kwargs)


def shape_of_output(model, *arguments):
    """In evaluation mode, without computing anything."""
    graphdef, state = nnx.split(model)

    def call(state, *arguments):
        merged = nnx.merge(graphdef, state)
        merged.eval()
        return merged(*arguments)

    return jax.eval_shape(call, state, *arguments)


def count(model, part=nnx.Param):
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, part)))


def test_every_network_is_counted():
    assert sorted((*PUBLISHED, *OWN, *SPINAL)) == model_names()


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_number_of_parameters(name):
    head = "linear" if name == "resnet18" else None
    assert count(nnx.eval_shape(lambda: build(name, num_bands=3, num_classes=1000, head=head))) == PUBLISHED[name]


def test_parameters_of_our_own_by_hand():
    widths = (2, 32, 64, 128, 256)
    expected = sum(9 * a * b + b + 2 * b for a, b in itertools.pairwise(widths)) + 256 * 2 + 2
    assert count(build("baseline")) == expected
    # Kosiba et al. (2020): 1152 features, 256 hidden.
    widths = (3, 64, 32, 32, 32, 32, 32)
    expected = sum(9 * a * b + b for a, b in itertools.pairwise(widths)) + 1153 * 256 + 257 * 2
    assert count(build("kosiba_cn", num_bands=3)) == expected


@pytest.mark.parametrize(
    ("name", "num_features", "width", "norms"),
    [
        ("spinalnet_vgg", 25088, 512, 2 * 4 * 512),
        ("spinalnet_resnet", 2048, 200, 0),
        ("spinalnet_densenet", 1024, 200, 0),
        ("spinalnet_efficientnet", 1280, 200, 0),
    ],
)
def test_parameters_of_spinal_heads_by_hand(name, num_features, width, norms):
    model = nnx.eval_shape(lambda: build(name))
    assert model.backbone.num_features == num_features
    half = num_features // 2
    assert count(model.head) == (half + 1) * width + 3 * (half + width + 1) * width + norms + 2 * (4 * width + 1)


# Reductions as far as the smallest sensible input, and what each needs.
SMALLEST = {"inception_v3": 75, "alexnet_vgg": 63}


LARGE = tuple(f"efficientnet_b{i}" for i in range(3, 8))  # of one rule with the smaller ones


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in model_names()]
)
@pytest.mark.parametrize(("num_bands", "num_classes"), [(1, 2), (5, 4)])
def test_shapes_at_the_smallest_input(name, num_bands, num_classes):
    size = SMALLEST.get(name, 32)
    num_bands += name == "two_branch" and num_bands == 1
    model = nnx.eval_shape(lambda: build(name, num_bands=num_bands, num_classes=num_classes))
    image = jax.ShapeDtypeStruct((3, size, size, num_bands), jnp.float32)
    assert shape_of_output(model, image).shape == (3, num_classes)
    bfloat16 = nnx.eval_shape(lambda: build(name, num_bands=num_bands, num_classes=num_classes, dtype="bfloat16"))
    assert shape_of_output(bfloat16, image).dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(bfloat16, nnx.Param))} == {jnp.dtype("float32")}
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(bfloat16, nnx.BatchStat))} <= {jnp.dtype("float32")}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", model_names())
def test_any_backbone_takes_any_head(name, head):
    model = nnx.eval_shape(lambda: build(name, head=head, num_classes=5))
    assert type(model.head) is HEADS[head]
    features = jax.ShapeDtypeStruct((2, model.backbone.num_features), jnp.float32)
    assert shape_of_output(model.head, features).shape == (2, 5)


@pytest.mark.parametrize(
    "name", ["baseline", "kosiba_cn", pytest.param("spinalnet_efficientnet", marks=pytest.mark.slow), "vit_tiny"]
)
def test_fresh_network_gives_all_classes_the_same_probability(name):
    model = build(name, num_bands=3, num_classes=4)
    model.eval()
    image = jnp.asarray(np.random.default_rng(0).normal(size=(2, 32, 32, 3)), jnp.float32)
    np.testing.assert_array_equal(model(image), np.zeros((2, 4)))


def test_dropout_needs_its_rngs_and_uses_them():
    model = build("baseline", widths=(8,), head_kwargs={"dropout": 0.5})
    model.head.linear.kernel[...] = jnp.ones_like(model.head.linear.kernel[...])
    model.train()
    image = jnp.ones((4, 8, 8, 2)) * jnp.arange(4.0)[:, None, None, None]
    first = model(image, rngs=nnx.Rngs(dropout=0))
    assert not np.allclose(first, model(image, rngs=nnx.Rngs(dropout=1)))
    np.testing.assert_allclose(first, model(image, rngs=nnx.Rngs(dropout=0)))


@pytest.mark.parametrize(
    "name", ["resnet18", "vit_tiny", pytest.param("efficientnet_b0", marks=pytest.mark.slow), "densenet121"]
)
def test_rematerialisation_changes_memory_not_numbers(name):
    small = {
        "resnet18": {"num_blocks": (1, 1)},
        "vit_tiny": {"depth": 2},
        "efficientnet_b0": {"depth": 0.2},
        "densenet121": {"num_layers": (2, 2)},
    }[name]
    assert_same_training(training_pass(build(name, **small)), training_pass(build(name, remat=True, **small)))


@pytest.mark.parametrize("padding", [None, "VALID"])
def test_statistics_that_layers_share_are_those_that_each_would_compute(padding):
    def anew(self, x, statistics=None):
        return nnx.BatchNorm.__call__(self, x)

    model = build("densenet121", num_layers=(3, 2), padding=padding)
    for _, norm in nnx.iter_modules(model):
        if isinstance(norm, BatchNorm):
            norm.scale[...], norm.bias[...] = jnp.linspace(0.5, 2, len(norm.scale)), jnp.linspace(-1, 1, len(norm.bias))
    shared = training_pass(model, size=80)
    with mock.patch.object(BatchNorm, "__call__", anew):
        each = training_pass(model, size=80)
    assert_same_training(each, shared)


@pytest.mark.parametrize("name", model_names())
def test_every_network_takes_a_training_pass(name):
    """Traced only; the slow tests train them."""

    def loss(params, rest, images):
        model = nnx.merge(graphdef, params, rest, copy=True)
        model.train()
        return model(images, rngs=nnx.Rngs(dropout=0)).sum(), nnx.state(model, nnx.BatchStat)

    size = 96 if name == "inception_v3" else 64
    kwargs = {"image_size": size} if name.startswith("vit") else {}
    model = nnx.eval_shape(lambda: build(name, **kwargs))
    graphdef, params, rest = nnx.split(model, nnx.Param, ...)
    images = jax.ShapeDtypeStruct((2, size, size, 2), jnp.float32)
    gradients, statistics = jax.eval_shape(jax.grad(loss, has_aux=True), params, rest, images)
    assert jax.tree.map(jnp.shape, gradients) == jax.tree.map(jnp.shape, params)
    assert jax.tree.map(jnp.shape, statistics) == jax.tree.map(jnp.shape, nnx.state(model, nnx.BatchStat))


def training_pass(model, size=64):
    """(a loss, the statistics after it, its gradients) of the backbone in training."""
    graphdef, params, rest = nnx.split(model, nnx.Param, ...)
    image = jnp.asarray(np.random.default_rng(0).normal(size=(6, size, size, 2)), jnp.float32)

    def loss(params):
        model = nnx.merge(graphdef, params, rest, copy=True)
        model.train()
        features = model.backbone(image, rngs=nnx.Rngs(dropout=3))
        # Not of the squares, whose sum a batch normalisation keeps the same.
        projection = np.random.default_rng(1).normal(size=features.shape)
        return jnp.sum(features * projection), nnx.state(model, nnx.BatchStat)

    (value, statistics), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    return value, jax.tree.leaves(statistics), jax.tree.leaves(grads)


def assert_same_training(one, other):
    np.testing.assert_allclose(one[0], other[0], rtol=1e-4)
    for a, b in zip(one[1:], other[1:], strict=True):
        scale = max((float(np.abs(leaf).max()) for leaf in a), default=0.0)
        for leaf, other_leaf in zip(a, b, strict=True):
            np.testing.assert_allclose(leaf, other_leaf, rtol=0, atol=1e-4 * scale)


def test_sizes_that_cannot_be_are_named():
    def call(name, size, **kwargs):
        model = nnx.eval_shape(lambda: build(name, **kwargs))
        return shape_of_output(model, jax.ShapeDtypeStruct((1, size, size, 2), jnp.float32))

    with pytest.raises(InputError, match="needs 63 px or more; got 48"):
        call("alexnet_vgg", 48)
    assert call("alexnet_vgg", 48, stem_stride=2).shape == (1, 2)
    with pytest.raises(InputError, match="needs 75 px or more; got 64"):
        call("inception_v3", 64)
    with pytest.raises(InputError, match=r"a multiple of 16 px; got 60x60; set config.data.input_size to 64"):
        call("vit_tiny", 60)
    with pytest.raises(InputError, match="needs 32 px or more; got 31"):
        call("vgg19", 31)


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match=r"'alexnet' is unknown; use one of alexnet_vgg, baseline"):
        build("alexnet")
    with pytest.raises(
        InputError, match=r"\['depth'\], which baseline does not take; use \['head_kwargs', .*'widths'\]"
    ):
        build("baseline", depth=3)
    with pytest.raises(InputError, match="head='forest' is unknown; use one of linear, mlp, spinal, vgg"):
        build("baseline", head="forest")
    with pytest.raises(InputError, match=r"head_kwargs has \['width'\], which the linear head does not take"):
        build("baseline", head_kwargs={"width": 3})


def test_every_network_names_its_paper_and_size():
    for name in model_names():
        entry = model_entry(name)
        assert entry.paper
        assert entry.input_size >= 224
