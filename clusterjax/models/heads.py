"""Heads: features (batch, feature) to logits (batch, class). Dropout is given its rngs at the call.

The last layer of each starts at zero: a fresh network gives every class the same probability, so the LR range test
begins at the loss ln(classes) instead of at the scatter of random logits.
"""

from flax import nnx

from clusterjax.models.layers import dense, relu

_ZERO = nnx.initializers.zeros_init()


class LinearHead(nnx.Module):
    """Dropout, then one linear layer."""

    def __init__(self, num_features: int, num_classes: int, *, dropout: float = 0.5, dtype, rngs: nnx.Rngs):
        self.dropout = nnx.Dropout(dropout)
        self.linear = dense(num_features, num_classes, kernel_init=_ZERO, dtype=dtype, rngs=rngs)

    def __call__(self, features, *, rngs: nnx.Rngs | None = None):
        return self.linear(self.dropout(features, rngs=rngs))


class VGGHead(nnx.Module):
    """VGG's classifier (Simonyan & Zisserman 2015): twice linear, ReLU, dropout; then linear."""

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        *,
        width: int = 4096,
        dropout: float = 0.5,
        dtype,
        rngs: nnx.Rngs,
    ):
        self.hidden1 = dense(num_features, width, dtype=dtype, rngs=rngs)
        self.hidden2 = dense(width, width, dtype=dtype, rngs=rngs)
        self.dropout = nnx.Dropout(dropout)
        self.linear = dense(width, num_classes, kernel_init=_ZERO, dtype=dtype, rngs=rngs)

    def __call__(self, features, *, rngs: nnx.Rngs | None = None):
        x = self.dropout(relu(self.hidden1(features)), rngs=rngs)
        x = self.dropout(relu(self.hidden2(x)), rngs=rngs)
        return self.linear(x)
