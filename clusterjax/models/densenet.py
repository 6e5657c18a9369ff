"""DenseNet121 under a linear or a Spinal head (Huang et al. 2017, arXiv:1608.06993)."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from clusterjax.models.layers import (
    ConvNorm,
    apply_block,
    average_pool,
    batch_norm,
    batch_statistics,
    check_input_size,
    check_padding,
    conv,
    global_average_pool,
    max_pool,
    relu,
    smallest_input,
)
from clusterjax.models.registry import register_model


class Stack(NamedTuple):
    """The features of a block so far: arrays (batch, y, x, feature) to be put side by side; in training also the (mean,
    variance) of each.

    Every layer normalises all of them anew, with weights of its own; their mean and variance are the same each time.
    """

    parts: tuple[Array, ...]
    statistics: tuple[Array, Array] | None

    @classmethod
    def of(cls, x, *, in_training: bool) -> "Stack":
        return cls((x,), batch_statistics(x) if in_training else None)

    def and_beside(self, y, *, margin: int) -> "Stack":
        """``margin`` pixels at each side, which a convolution without padding has cost ``y``, are cut off."""
        if margin:  # their statistics are those of fewer pixels
            inner = slice(margin, -margin)
            parts = [*(x[:, inner, inner] for x in self.parts), y]
            return Stack.of(jnp.concatenate(parts, axis=-1), in_training=self.statistics is not None)
        if self.statistics is None:
            return Stack((*self.parts, y), None)
        mean, variance = (jnp.concatenate(pair) for pair in zip(self.statistics, batch_statistics(y), strict=True))
        return Stack((*self.parts, y), (mean, variance))

    def normalised(self, norm: nnx.Module):
        return norm(jnp.concatenate(self.parts, axis=-1), self.statistics)


class DenseLayer(nnx.Module):
    """Twice normalisation, ReLU, convolution (1x1 to four times the growth, then 3x3) of all features before it.

    Without padding, these lose as many pixels at each side as the convolution.
    """

    def __init__(self, num_in: int, growth: int, *, padding: str | None, dtype, rngs: nnx.Rngs):
        self.norm1 = batch_norm(num_in, dtype=dtype, rngs=rngs)
        self.conv1 = conv(num_in, 4 * growth, 1, bias=False, dtype=dtype, rngs=rngs)
        self.norm2 = batch_norm(4 * growth, dtype=dtype, rngs=rngs)
        self.conv2 = conv(4 * growth, growth, 3, padding=padding or 1, bias=False, dtype=dtype, rngs=rngs)
        self.margin = 1 if padding == "VALID" else 0

    def __call__(self, features: Stack, *, rngs: nnx.Rngs | None = None) -> Array:
        return self.conv2(relu(self.norm2(self.conv1(relu(features.normalised(self.norm1))))))


class Transition(nnx.Module):
    """Normalisation, ReLU, convolution 1x1 to half the features, average-pooling 2."""

    def __init__(self, num_in: int, *, dtype, rngs: nnx.Rngs):
        self.norm = batch_norm(num_in, dtype=dtype, rngs=rngs)
        self.conv = conv(num_in, num_in // 2, 1, bias=False, dtype=dtype, rngs=rngs)

    def __call__(self, features: Stack) -> Array:
        return average_pool(self.conv(relu(features.normalised(self.norm))), 2, 2)


class DenseNet(nnx.Module):
    """``num_layers`` per block, each adding ``growth`` features.

    ``padding`` "VALID" leaves the zeros at the border out. DenseNet121 then takes 2071 px or more; two blocks of 4
    layers take 119.
    """

    def __init__(
        self,
        *,
        num_bands: int,
        dtype,
        rngs: nnx.Rngs,
        num_layers: Sequence[int] = (6, 12, 24, 16),
        growth: int = 32,
        remat: bool = False,
        padding: str | None = None,
    ):
        check_padding(padding)
        num = 2 * growth
        self.stem = ConvNorm(num_bands, num, 7, stride=2, padding=padding, dtype=dtype, rngs=rngs)
        blocks, transitions = [], []
        for i, number in enumerate(num_layers):
            if i > 0:
                transitions.append(Transition(num, dtype=dtype, rngs=rngs))
                num //= 2
            blocks.append(
                nnx.List(
                    [
                        DenseLayer(num + j * growth, growth, padding=padding, dtype=dtype, rngs=rngs)
                        for j in range(number)
                    ]
                )
            )
            num += number * growth
        self.blocks = nnx.List(blocks)
        self.transitions = nnx.List(transitions)
        self.norm = batch_norm(num, dtype=dtype, rngs=rngs)
        self.num_features = num
        self.remat = remat
        self.padding = padding
        inner = [step for number in num_layers for step in (*[(3, 1)] * number, (2, 2))]
        self.smallest_input = smallest_input([(7, 2), (3, 2), *inner[:-1]])

    def __call__(self, image, *, rngs: nnx.Rngs | None = None):
        if self.padding == "VALID":
            check_input_size(image, self.smallest_input, "this DenseNet with padding='VALID'")
        x = max_pool(self.stem(image), 3, 2, padding=0 if self.padding == "VALID" else 1)
        for i, block in enumerate(self.blocks):
            x = x if i == 0 else self.transitions[i - 1](features)
            features = Stack.of(x, in_training=not self.norm.use_running_average)
            for layer in block:
                features = features.and_beside(apply_block(layer, features, remat=self.remat), margin=layer.margin)
        return global_average_pool(relu(features.normalised(self.norm)))


TORCHVISION = (
    (r"features\.conv0", "backbone.stem.conv"),
    (r"features\.norm0", "backbone.stem.norm"),
    # Older files have "norm.1" for "norm1".
    (r"features\.denseblock(\d)\.denselayer(\d+)\.(norm|conv)\.?(\d)", r"backbone.blocks.{\1-1}.{\2-1}.\3\4"),
    (r"features\.transition(\d)\.(norm|conv)", r"backbone.transitions.{\1-1}.\2"),
    (r"features\.norm5", "backbone.norm"),
    (r"classifier", "head.linear"),
)

PAPER = "Huang et al. 2017, arXiv:1608.06993"
_NAMES = {"torchvision:densenet121": TORCHVISION}
register_model("densenet121", DenseNet, paper=PAPER, names=_NAMES)
register_model("spinalnet_densenet", DenseNet, head="spinal", head_kwargs={"width": 200}, paper=PAPER, names=_NAMES)
