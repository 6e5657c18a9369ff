"""What a network looks at, against closed forms, and of networks whose weights were set by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.signal import correlate
from scipy.special import softmax

from clusterjax.errors import InputError
from clusterjax.models import create_model, model_names
from clusterjax.models.layers import ConvNorm, flatten, global_average_pool, max_pool
from clusterjax.training.explain import (
    in_batches,
    log_odds,
    make_activation_maps,
    make_grad_cam,
    make_integrated_gradients,
)
from clusterjax.training.layers_within import (
    MapLayer,
    choose_grad_cam_layer,
    choose_layers,
    list_map_layers,
    tapped_forward,
)
from clusterjax.training.state import forward, split_model

OPTIONS = {"dtype": jnp.float32}
ONE = jnp.ones(3, jnp.int32)


class Tiny(nnx.Module):
    """A convolution 3x3 with ReLU and without padding, then one linear layer on all its pixels or on their mean."""

    def __init__(self, size, *, mean=False, num_bands=2, num_features=3):
        rngs = nnx.Rngs(0)
        self.conv = ConvNorm(num_bands, num_features, padding="VALID", norm=False, dtype=jnp.float32, rngs=rngs)
        self.mean = mean
        num = num_features if mean else num_features * (size - 2) ** 2
        self.linear = nnx.Linear(num, 2, rngs=rngs)

    def __call__(self, image, *, rngs=None):
        x = self.conv(image)
        return self.linear(global_average_pool(x) if self.mean else flatten(x))


class Linear(nnx.Module):
    def __init__(self, num):
        self.linear = nnx.Linear(num, 3, rngs=nnx.Rngs(1))

    def __call__(self, image, *, rngs=None):
        return self.linear(flatten(image))


def layers_of(split, input_shape):
    return list_map_layers(*split, input_shape=input_shape)


def random_images(shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.fixture(scope="module")
def custom_network():
    """(model, its parts) of Kosiba et al. (2020), narrow and of three layers, with a head that is not zero."""
    model = create_model(
        "kosiba_cn", num_bands=2, num_classes=2, rngs=nnx.Rngs(0), widths=(4, 3, 3),
        head_kwargs={"widths": (8,)}, dtype="float32",
    )  # fmt: skip
    model.head.linear.kernel[...] = random_images((8, 2), seed=4)
    return model, split_model(model)


def test_log_odds_are_those_of_the_probability():
    logits = random_images((20, 4)) * 3
    target = jnp.asarray(np.random.default_rng(1).integers(0, 4, 20))
    p = softmax(np.asarray(logits, float), axis=1)[np.arange(20), target]
    np.testing.assert_allclose(log_odds(logits, target), np.log(p / (1 - p)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(log_odds(logits + 7, target), log_odds(logits, target), rtol=1e-4, atol=1e-5)


def test_activation_maps_are_the_truncated_networks(custom_network):
    model, split = custom_network
    images = random_images((3, 16, 16, 2))
    layers = choose_layers(layers_of(split, (16, 16, 2)), num=2)
    assert [layer.name for layer in layers] == ["backbone.layers.1", "backbone.layers.2"]
    maps = make_activation_maps(split[0], layers)(*split[1:], images)
    x = images
    for i, layer in enumerate(model.backbone.layers):
        x = layer(x)
        name = f"backbone.layers.{i}"
        if name in maps:
            np.testing.assert_allclose(maps[name], x, rtol=1e-4, atol=1e-5)
        x = max_pool(x, 2, 2, "SAME")
    assert [maps[layer.name].shape[1:] for layer in layers] == [layer.shape for layer in layers]


def test_a_tap_changes_nothing_and_what_it_returns_is_used():
    split = split_model(Tiny(6))
    images = random_images((2, 6, 6, 2))
    plain, _ = forward(*split, images)
    np.testing.assert_array_equal(tapped_forward(*split, images, {"conv": lambda x: x}), plain)
    silenced = tapped_forward(*split, images, {"conv": jnp.zeros_like})
    np.testing.assert_array_equal(silenced[0], silenced[1])
    assert np.abs(plain[0] - plain[1]).max() > 1e-3


def test_a_layer_is_seen_whose_settings_its_parent_asks_for():
    model = create_model(
        "densenet121", num_bands=2, num_classes=2, num_layers=(1, 1), dtype="float32", rngs=nnx.Rngs(0)
    )
    split, images, shapes = split_model(model), random_images((2, 64, 64, 2)), []

    def see(x):
        shapes.append(x.shape[0])
        return x

    np.testing.assert_array_equal(tapped_forward(*split, images, {"backbone.norm": see}), forward(*split, images)[0])
    assert shapes == [2]


def test_integrated_gradients_of_a_linear_network_are_its_terms():
    """Of three classes' log-odds, not linear in the logits, the parts still add up; of two they are w (x - b)."""
    images, baseline = random_images((3, 4, 4, 2)), random_images((4, 4, 2), seed=9)
    graphdef, params, model_state = split_model(Linear(32))
    params["linear"]["kernel"] = params["linear"]["kernel"].at[:, 2].set(0.0)
    params["linear"]["bias"] = jnp.array([0.3, -0.2, -60.0])  # the third class never is
    result = make_integrated_gradients(graphdef, num_steps=3)(params, model_state, images, baseline, ONE)
    weight = np.asarray(params["linear"]["kernel"][:, 1] - params["linear"]["kernel"][:, 0]).reshape(4, 4, 2)
    np.testing.assert_allclose(result.attributions, weight * (images - baseline), atol=1e-5)


def test_attributions_add_up(custom_network):
    _, split = custom_network
    images, baseline = random_images((3, 16, 16, 2)), random_images((16, 16, 2), seed=9) * 0.1
    target = jnp.array([0, 1, 1])
    result = make_integrated_gradients(split[0], num_steps=400)(*split[1:], images, baseline, target)
    logits = jax.jit(lambda x: forward(*split, x)[0])
    ends = [log_odds(logits(x), target) for x in (images, jnp.broadcast_to(baseline, images.shape))]
    difference = np.asarray(ends[0] - ends[1])
    assert np.abs(difference).min() > 1
    np.testing.assert_allclose(np.sum(result.attributions, axis=(1, 2, 3)), difference, atol=0.02)
    np.testing.assert_allclose(result.log_odds - result.baseline_log_odds, difference, atol=1e-4)
    np.testing.assert_allclose(result.errors, np.sum(result.attributions, axis=(1, 2, 3)) - difference, atol=1e-4)


def test_grad_cam_is_its_definition():
    """In NumPy: relu(sum over features of (mean over pixels of the gradient) x feature), the gradient the weights."""
    size = 6
    graphdef, params, model_state = split_model(Tiny(size))
    images = random_images((3, size, size, 2))
    (layer,) = [m for m in layers_of((graphdef, params, model_state), (size, size, 2)) if m.name == "conv"]
    result = make_grad_cam(graphdef, layer)(params, model_state, images, ONE)
    kernel, bias = (np.asarray(params["conv"]["conv"][name], float) for name in ("kernel", "bias"))
    weights = np.asarray(params["linear"]["kernel"], float)
    gradient = (weights[:, 1] - weights[:, 0]).reshape(size - 2, size - 2, 3)
    for image, found in zip(np.asarray(images, float), result, strict=True):
        features = [
            np.maximum(sum(correlate(image[..., b], kernel[..., b, k], "valid") for b in range(2)) + bias[k], 0)
            for k in range(3)
        ]
        expected = np.maximum(sum(gradient[..., k].mean() * features[k] for k in range(3)), 0)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(result) > 1e-3


def test_the_place_that_the_network_depends_on_is_found():
    """Only band 1 counts, and only what is bright there: Grad-CAM and attributions are at the blob."""
    size, (y, x) = 24, (6, 15)
    graphdef, params, model_state = split_model(Tiny(size, mean=True, num_features=2))
    kernel = np.zeros((3, 3, 2, 2), np.float32)
    kernel[..., 1, 0] = 1 / 9
    params["conv"]["conv"] = {"kernel": jnp.asarray(kernel), "bias": jnp.array([-0.5, 0.0])}
    params["linear"] = {"kernel": jnp.array([[0.0, 80.0], [0.0, 0.0]]), "bias": jnp.zeros(2)}
    images = 0.1 * np.array(random_images((1, size, size, 2)))
    images[0, y - 1 : y + 2, x - 1 : x + 2, 1] += 3
    images[0, 18:21, 3:6, 0] += 3  # a blob in the other band
    (layer,) = layers_of((graphdef, params, model_state), (size, size, 2))[-1:]
    cam = np.asarray(make_grad_cam(graphdef, layer)(params, model_state, images, ONE[:1]))[0]
    assert np.unravel_index(cam.argmax(), cam.shape) == (y - 1, x - 1)  # a border of one pixel is gone
    assert cam[17:20, 2:5].max() == 0
    baseline = np.zeros((size, size, 2), np.float32)
    result = make_integrated_gradients(graphdef, num_steps=32)(params, model_state, images, baseline, ONE[:1])
    by_band = np.abs(np.asarray(result.attributions[0])).sum(axis=(0, 1))
    assert by_band[0] == 0
    around = np.asarray(result.attributions[0, y - 1 : y + 2, x - 1 : x + 2, 1]).sum()
    assert around / float(result.log_odds[0] - result.baseline_log_odds[0]) > 0.9


@pytest.fixture(scope="module")
def transformer():
    model = create_model(
        "vit_tiny", num_bands=2, num_classes=2, rngs=nnx.Rngs(0), dtype="float32", patch_size=4, image_size=16, width=8,
        depth=1, num_heads=2, remat=True,
    )  # fmt: skip
    model.head.linear.kernel[...] = random_images((8, 2), seed=4)
    return split_model(model)


def test_a_transformers_tokens_are_a_map(transformer):
    layers = layers_of(transformer, (16, 12, 2))
    layer = choose_grad_cam_layer(layers)
    assert layer == MapLayer("backbone.blocks.0.norm1", (4, 3, 8), True, True, False)
    images = random_images((2, 16, 12, 2))
    cam = make_grad_cam(transformer[0], layer)(*transformer[1:], images, ONE[:2])
    assert cam.shape == (2, 4, 3)
    assert np.max(cam) > 0
    # After the last attention the class token alone is read.
    last = choose_layers(layers, ["backbone.blocks.0"])[0]
    assert np.max(make_grad_cam(transformer[0], last)(*transformer[1:], images, ONE[:2])) == 0
    tokens = np.concatenate([np.full((1, 1, 8), -1), np.arange(12)[None, :, None] * np.ones(8)], axis=1)
    np.testing.assert_array_equal(layer.as_map(jnp.asarray(tokens))[0, ..., 0], np.arange(12).reshape(4, 3))


def test_layers_that_are_none_are_named(custom_network):
    layers = layers_of(custom_network[1], (16, 16, 2))
    with pytest.raises(InputError, match=r"'backbone.layers.9' gives no map.*backbone.layers.0, backbone.layers.1"):
        choose_layers(layers, ["backbone.layers.9"])
    with pytest.raises(InputError, match=r"'head.linear' gives no map"):
        choose_grad_cam_layer(layers, "head.linear")
    with pytest.raises(InputError, match=r"no layer of this network gives a map"):
        choose_layers(layers_of(split_model(Linear(8)), (2, 2, 2)))
    with pytest.raises(InputError, match=r"'conv9' is no layer"):
        tapped_forward(*custom_network[1], random_images((1, 16, 16, 2)), {"conv9": lambda x: x})


def test_layers_are_evenly_spaced_to_the_last():
    """Of six: the second, fourth and sixth, as Kosiba et al. (2020) show; what lies within another is left out."""
    layers = [MapLayer(f"layers.{i}{end}", (8, 8, 4), is_outermost=not end) for i in range(6) for end in (".conv", "")]
    assert [layer.name for layer in choose_layers(layers)] == ["layers.1", "layers.3", "layers.5"]
    assert [layer.name for layer in choose_layers(layers[:4])] == ["layers.0", "layers.1"]
    assert [layer.name for layer in choose_layers(layers, ["layers.2.conv"])] == ["layers.2.conv"]


def test_the_grad_cam_layer_is_the_last_that_is_fine_enough():
    layers = [MapLayer("a", (32, 32, 4)), MapLayer("b", (8, 8, 4)), MapLayer("c", (3, 3, 4))]
    assert choose_grad_cam_layer(layers).name == "b"
    assert choose_grad_cam_layer(layers, "c").name == "c"
    assert choose_grad_cam_layer([MapLayer("a", (6, 6, 4)), MapLayer("b", (3, 3, 4))]).name == "a"


def test_batches_leave_no_trace():
    seen = []

    def double(x, y):
        seen.append(x.shape)
        return {"sum": x + y}

    x, y = np.arange(14.0).reshape(7, 2), np.ones((7, 2))
    np.testing.assert_array_equal(in_batches(double, x, y, batch_size=3)["sum"], x + y)
    assert seen == [(3, 2)] * 3


@pytest.mark.slow
@pytest.mark.parametrize("name", model_names())
def test_every_network_has_layers_to_show(name):
    size = 96 if name.startswith(("vit", "inception")) else 64
    split = split_model(
        nnx.eval_shape(lambda: create_model(name, num_bands=2, num_classes=2, dtype="float32", rngs=nnx.Rngs(0)))
    )
    layers = layers_of(split, (size, size, 2))
    assert len(choose_layers(layers)) == 3
    assert min(choose_grad_cam_layer(layers).shape[:2]) >= 6
    shapes = jax.eval_shape(
        lambda p, m, x: make_activation_maps(split[0], layers)(p, m, x), *split[1:],
        jax.ShapeDtypeStruct((2, size, size, 2), jnp.float32),
    )  # fmt: skip
    assert {layer.name: shapes[layer.name].shape for layer in layers} == {x.name: (2, *x.shape) for x in layers}
