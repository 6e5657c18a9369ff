"""Baseline: the reference system's plain convolutional network (Fomicheva 2025)."""

from collections.abc import Sequence

from flax import nnx

from clusterjax.models.heads import LinearHead
from clusterjax.models.layers import ConvNormReLU, global_average_pool, max_pool_2x2
from clusterjax.models.registry import register_model


@register_model("baseline")
class Baseline(nnx.Module):
    """Four times convolution 3x3, batch normalisation, ReLU, max-pooling 2; global average; dropout; linear."""

    def __init__(
        self,
        *,
        num_bands: int,
        num_classes: int,
        dtype,
        rngs: nnx.Rngs,
        widths: Sequence[int] = (32, 64, 128, 256),
        dropout: float = 0.5,
    ):
        num_in = (num_bands, *widths[:-1])
        self.blocks = nnx.List(
            [ConvNormReLU(a, b, dtype=dtype, rngs=rngs) for a, b in zip(num_in, widths, strict=True)]
        )
        self.head = LinearHead(widths[-1], num_classes, dropout=dropout, dtype=dtype, rngs=rngs)

    def __call__(self, image, *, rngs: nnx.Rngs | None = None):
        x = image
        for block in self.blocks:
            x = max_pool_2x2(block(x))
        return self.head(global_average_pool(x), rngs=rngs)
