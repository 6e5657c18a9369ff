"""Heads: features (batch, feature) to logits (batch, class). Any backbone takes any.

The last layer of each starts at zero: a fresh network gives every class the same probability, so the LR range test
begins at the loss ln(classes) instead of at the scatter of random logits.
"""

import itertools
from collections.abc import Sequence

import jax.numpy as jnp
from flax import nnx

from clusterjax.models.layers import batch_norm, dense, relu

_ZERO = nnx.initializers.zeros_init()


class LinearHead(nnx.Module):
    """Dropout, then one linear layer."""

    def __init__(self, num_features: int, num_classes: int, *, dropout: float = 0.5, dtype, rngs: nnx.Rngs):
        self.dropout = nnx.Dropout(dropout)
        self.linear = dense(num_features, num_classes, kernel_init=_ZERO, dtype=dtype, rngs=rngs)

    def __call__(self, features, *, rngs: nnx.Rngs | None = None):
        return self.linear(self.dropout(features, rngs=rngs))


class MLPHead(nnx.Module):
    """Hidden layers of ``widths``, each linear, ReLU, dropout; then linear. VGG's classifier is 4096, 4096."""

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        *,
        widths: Sequence[int] = (512, 128),
        dropout: float = 0.5,
        dtype,
        rngs: nnx.Rngs,
    ):
        self.hidden = nnx.List(
            [dense(a, b, dtype=dtype, rngs=rngs) for a, b in itertools.pairwise((num_features, *widths))]
        )
        self.dropout = nnx.Dropout(dropout)
        self.linear = dense((num_features, *widths)[-1], num_classes, kernel_init=_ZERO, dtype=dtype, rngs=rngs)

    def __call__(self, features, *, rngs: nnx.Rngs | None = None):
        for layer in self.hidden:
            features = self.dropout(relu(layer(features)), rngs=rngs)
        return self.linear(features)


class VGGHead(MLPHead):
    """VGG's classifier (Simonyan & Zisserman 2015, arXiv:1409.1556): twice linear, ReLU, dropout; then linear."""

    def __init__(
        self, num_features: int, num_classes: int, *, width: int = 4096, dropout: float = 0.5, dtype, rngs: nnx.Rngs
    ):
        super().__init__(num_features, num_classes, widths=(width, width), dropout=dropout, dtype=dtype, rngs=rngs)


class SpinalHead(nnx.Module):
    """SpinalNet (Kabir et al. 2020, arXiv:2007.03347): four layers see half the features each, and the layer before.

    With halves h1, h2 of the features: x1 = L(h1), x2 = L([h2, x1]), x3 = L([h1, x2]), x4 = L([h2, x3]); the logits
    are linear in [x1, x2, x3, x4]. L is dropout, linear, batch normalisation where ``use_batch_norm``, ReLU.
    """

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        *,
        width: int = 200,
        dropout: float = 0.0,
        use_batch_norm: bool = False,
        dtype,
        rngs: nnx.Rngs,
    ):
        self.half = num_features // 2
        rest = num_features - self.half  # of an odd number, the second half is the larger
        sizes = (self.half, rest + width, self.half + width, rest + width)
        self.layers = nnx.List([dense(size, width, dtype=dtype, rngs=rngs) for size in sizes])
        norms = [batch_norm(width, dtype=dtype, rngs=rngs) for _ in sizes] if use_batch_norm else []
        self.norms = nnx.List(norms)
        self.dropout = nnx.Dropout(dropout)
        self.linear = dense(4 * width, num_classes, kernel_init=_ZERO, dtype=dtype, rngs=rngs)

    def __call__(self, features, *, rngs: nnx.Rngs | None = None):
        halves = features[:, : self.half], features[:, self.half :]
        outputs: list = []
        for i, layer in enumerate(self.layers):
            x = jnp.concatenate([halves[i % 2], *outputs[-1:]], axis=-1)
            x = layer(self.dropout(x, rngs=rngs))
            outputs.append(relu(self.norms[i](x) if self.norms else x))
        return self.linear(self.dropout(jnp.concatenate(outputs, axis=-1), rngs=rngs))


HEADS = {"linear": LinearHead, "mlp": MLPHead, "spinal": SpinalHead, "vgg": VGGHead}
