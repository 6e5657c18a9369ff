"""Inception v3 (Szegedy et al. 2016, arXiv:1512.00567), without the auxiliary classifier."""

import jax.numpy as jnp
from flax import nnx

from clusterjax.errors import InputError
from clusterjax.models.layers import ConvNorm, average_pool, global_average_pool, max_pool
from clusterjax.models.registry import register_model

_EPSILON = 1e-3


class Fork(nnx.Module):
    """Several layers over one input, their features side by side."""

    def __init__(self, layers: dict[str, nnx.Module]):
        self.layers = nnx.Dict(layers)

    def __call__(self, x):
        return jnp.concatenate([layer(x) for layer in self.layers.values()], axis=-1)


class Mixed(nnx.Module):
    """Branches over one input, each a chain of layers; ``pool`` goes before the chain of branch "pool"."""

    def __init__(self, branches: dict[str, list[nnx.Module]], pool):
        self.names = tuple(branches)
        self.branches = nnx.Dict({name: nnx.List(chain) for name, chain in branches.items()})
        self.pool = pool

    def __call__(self, x):
        outputs = []
        for name in self.names:
            y = self.pool(x) if name == "pool" else x
            for layer in self.branches[name]:
                y = layer(y)
            outputs.append(y)
        return jnp.concatenate(outputs, axis=-1)


def _mean(x):
    return average_pool(x, 3, 1, padding=1)


def _halve(x):
    return max_pool(x, 3, 2)


class InceptionV3(nnx.Module):
    """As torchvision's; the first convolutions have no padding, so the input needs 75 px or more."""

    num_features = 2048

    def __init__(self, *, num_bands: int, dtype, rngs: nnx.Rngs):
        def layer(num_in, num_out, size, *, stride=1, padding=None):
            padding = [(padding, padding)] * 2 if padding is not None else None
            return ConvNorm(
                num_in, num_out, size, stride=stride, padding=padding, epsilon=_EPSILON, dtype=dtype, rngs=rngs
            )

        def chain(num_in, *layers):
            """Of (features, kernel); a stride of 2 comes without padding."""
            made = []
            for num_out, size, *stride in layers:
                made.append(
                    layer(num_in, num_out, size, stride=2, padding=0) if stride else layer(num_in, num_out, size)
                )
                num_in = num_out
            return made

        def fork(num_in, num_out):
            return Fork({"a": layer(num_in, num_out, (1, 3)), "b": layer(num_in, num_out, (3, 1))})

        def mixed_5(num_in, num_pooled):
            return Mixed(
                {
                    "1x1": chain(num_in, (64, 1)),
                    "5x5": chain(num_in, (48, 1), (64, 5)),
                    "3x3dbl": chain(num_in, (64, 1), (96, 3), (96, 3)),
                    "pool": chain(num_in, (num_pooled, 1)),
                },
                _mean,
            )

        def mixed_6(n):
            across, down = (1, 7), (7, 1)
            return Mixed(
                {
                    "1x1": chain(768, (192, 1)),
                    "7x7": chain(768, (n, 1), (n, across), (192, down)),
                    "7x7dbl": chain(768, (n, 1), (n, down), (n, across), (n, down), (192, across)),
                    "pool": chain(768, (192, 1)),
                },
                _mean,
            )

        def mixed_7(num_in):
            return Mixed(
                {
                    "1x1": chain(num_in, (320, 1)),
                    "3x3": [*chain(num_in, (384, 1)), fork(384, 384)],
                    "3x3dbl": [*chain(num_in, (448, 1), (384, 3)), fork(384, 384)],
                    "pool": chain(num_in, (192, 1)),
                },
                _mean,
            )

        self.stem = nnx.List(
            [
                layer(num_bands, 32, 3, stride=2, padding=0),
                layer(32, 32, 3, padding=0),
                layer(32, 64, 3),
                layer(64, 80, 1),
                layer(80, 192, 3, padding=0),
            ]
        )
        reduce_6 = {
            "3x3": chain(288, (384, 3, 2)),
            "3x3dbl": chain(288, (64, 1), (96, 3), (96, 3, 2)),
            "pool": [],
        }
        reduce_7 = {
            "3x3": chain(768, (192, 1), (320, 3, 2)),
            "7x7x3": chain(768, (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, 2)),
            "pool": [],
        }
        self.mixed = nnx.Dict(
            {
                "5b": mixed_5(192, 32),
                "5c": mixed_5(256, 64),
                "5d": mixed_5(288, 64),
                "6a": Mixed(reduce_6, _halve),
                "6b": mixed_6(128),
                "6c": mixed_6(160),
                "6d": mixed_6(160),
                "6e": mixed_6(192),
                "7a": Mixed(reduce_7, _halve),
                "7b": mixed_7(1280),
                "7c": mixed_7(2048),
            }
        )

    def __call__(self, image, *, rngs: nnx.Rngs | None = None):
        if min(image.shape[1:3]) < 75:
            raise InputError(
                f"inception_v3 needs 75 px or more; got {min(image.shape[1:3])}; set config.data.input_size=96"
            )
        x = image
        for i, layer in enumerate(self.stem):
            x = layer(x)
            if i in (2, 4):
                x = _halve(x)
        for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"):
            x = self.mixed[name](x)
        return global_average_pool(x)


def _torchvision() -> tuple[tuple[str, str], ...]:
    """torchvision counts the layers of a branch from 1; branches of one layer, and a reduction's, have no number."""
    stem = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3")
    modules = [(name, f"backbone.stem.{i}") for i, name in enumerate(stem)]
    ours = r"backbone.mixed.\1.branches"
    modules += [
        (r"Mixed_(\w\w)\.branch1x1", f"{ours}.1x1.0"),
        (r"Mixed_(\w\w)\.branch_pool", f"{ours}.pool.0"),
        (r"Mixed_(6a)\.branch3x3", f"{ours}.3x3.0"),
        (r"Mixed_(7[bc])\.branch3x3_2([ab])", rf"{ours}.3x3.1.layers.\2"),
        (r"Mixed_(7[bc])\.branch3x3dbl_3([ab])", rf"{ours}.3x3dbl.2.layers.\2"),
        (r"Mixed_(\w\w)\.branch(3x3|5x5|7x7|3x3dbl|7x7dbl|7x7x3)_(\d)", rf"{ours}.\2.{{\3-1}}"),
    ]
    names = []
    for theirs, mine in modules:
        names += [(rf"{theirs}\.conv", f"{mine}.conv"), (rf"{theirs}\.bn", f"{mine}.norm")]
    # Its auxiliary classifier serves training alone.
    return (*names, (r"AuxLogits\..*", ""), (r"fc", "head.linear"))


register_model(
    "inception_v3",
    InceptionV3,
    first_layer="backbone.stem.0.conv",
    input_size=299,
    paper="Szegedy et al. 2016, arXiv:1512.00567",
    names={"torchvision:inception_v3": _torchvision()},
)
