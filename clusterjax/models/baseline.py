"""Baseline and CNN+MLP: the reference system's plain convolutional networks (Fomicheva 2025)."""

from collections.abc import Sequence

from flax import nnx

from clusterjax.models.layers import (
    ConvNorm,
    adaptive_average_pool,
    check_input_size,
    check_padding,
    flatten,
    max_pool_2x2,
    smallest_input,
)
from clusterjax.models.registry import register_model


class PlainCNN(nnx.Module):
    """Blocks of convolution 3x3, batch normalisation, ReLU, max-pooling 2; then averages over pool x pool parts.

    ``padding`` "VALID" leaves the zeros at the border out.
    """

    def __init__(
        self,
        *,
        num_bands: int,
        dtype,
        rngs: nnx.Rngs,
        widths: Sequence[int] = (32, 64, 128, 256),
        pool: int = 1,
        padding: str | None = None,
    ):
        check_padding(padding)
        # A bias before the normalisation does nothing but is the reference's.
        self.blocks = nnx.List(
            [
                ConvNorm(a, b, bias=True, padding=padding, dtype=dtype, rngs=rngs)
                for a, b in zip((num_bands, *widths[:-1]), widths, strict=True)
            ]
        )
        self.pool = pool
        self.padding = padding
        self.num_features = pool * pool * widths[-1]

    def __call__(self, image, *, rngs: nnx.Rngs | None = None):
        steps = ((2, 2),) if self.padding is None else ((3, 1), (2, 2))
        what = f"a network of {len(self.blocks)} poolings and padding={self.padding!r}"
        check_input_size(image, smallest_input(steps * len(self.blocks)), what)
        x = image
        for block in self.blocks:
            x = max_pool_2x2(block(x))
        return flatten(adaptive_average_pool(x, self.pool, self.pool))


PAPER = "Fomicheva 2025"
register_model(
    "baseline", PlainCNN, first_layer="backbone.blocks.0.conv", head="linear", head_kwargs={"dropout": 0.5}, paper=PAPER
)
# The reference names it and no more than "a small CNN with a multilayer perceptron at its end"; the sizes are ours.
# Pooled to 4x4, the perceptron sees where in the cutout something is, which a global average cannot tell it.
register_model(
    "cnn_mlp",
    PlainCNN,
    first_layer="backbone.blocks.0.conv",
    widths=(32, 64, 128),
    pool=4,
    head="mlp",
    head_kwargs={"widths": (512, 128), "dropout": 0.5},
    paper=PAPER,
)
