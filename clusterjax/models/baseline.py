"""Baseline and CNN+MLP: the reference system's plain convolutional networks (Fomicheva 2025)."""

from collections.abc import Sequence

from flax import nnx

from clusterjax.errors import InputError
from clusterjax.models.layers import ConvNorm, adaptive_average_pool, flatten, max_pool_2x2
from clusterjax.models.registry import register_model


class PlainCNN(nnx.Module):
    """Blocks of convolution 3x3, batch normalisation, ReLU, max-pooling 2; then averages over pool x pool parts."""

    def __init__(
        self, *, num_bands: int, dtype, rngs: nnx.Rngs, widths: Sequence[int] = (32, 64, 128, 256), pool: int = 1
    ):
        # A bias before the normalisation does nothing but is the reference's.
        self.blocks = nnx.List(
            [
                ConvNorm(a, b, bias=True, dtype=dtype, rngs=rngs)
                for a, b in zip((num_bands, *widths[:-1]), widths, strict=True)
            ]
        )
        self.pool = pool
        self.num_features = pool * pool * widths[-1]

    def __call__(self, image, *, rngs: nnx.Rngs | None = None):
        least = 2 ** len(self.blocks)
        if min(image.shape[1:3]) < least:
            raise InputError(f"{len(self.blocks)} poolings need {least} px or more; got {min(image.shape[1:3])}")
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
