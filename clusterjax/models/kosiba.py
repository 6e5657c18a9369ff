"""CN: the custom network of Kosiba et al. 2020 (MNRAS 496, 4141; arXiv:2006.05998) for X-ray + optical images."""

import itertools
from collections.abc import Sequence

from flax import nnx

from clusterjax.models.layers import (
    ConvNorm,
    adaptive_average_pool,
    check_input_size,
    check_padding,
    flatten,
    max_pool,
    max_pool_2x2,
    smallest_input,
)
from clusterjax.models.registry import register_model

_WIDTHS = (64, 32, 32, 32, 32, 32)


class CustomNetwork(nnx.Module):
    """Six convolutions 3x3, each with ReLU and max-pooling 2x2 with padding SAME (356-178-89-45-23-12-6); flattened.

    At inputs other than 321 to 384 px the last maps are pooled, or repeated, to 6x6 for the 1152 features. ``padding``
    "VALID" leaves the border's zeros out, of the poolings too: six layers then take 190 px or more, fewer ``widths``
    less.
    """

    def __init__(
        self,
        *,
        num_bands: int,
        dtype,
        rngs: nnx.Rngs,
        widths: Sequence[int] = _WIDTHS,
        padding: str | None = None,
    ):
        check_padding(padding)
        options = {"norm": False, "padding": padding, "dtype": dtype, "rngs": rngs}
        self.layers = nnx.List([ConvNorm(a, b, **options) for a, b in itertools.pairwise((num_bands, *widths))])
        self.padding = padding
        self.num_features = 6 * 6 * widths[-1]

    def __call__(self, image, *, rngs: nnx.Rngs | None = None):
        if self.padding == "VALID":
            least = smallest_input(((3, 1), (2, 2)) * len(self.layers))
            check_input_size(image, least, "kosiba_cn with padding='VALID'")
        x = image
        for layer in self.layers:
            x = layer(x)
            x = max_pool_2x2(x) if self.padding == "VALID" else max_pool(x, 2, 2, "SAME")
        return flatten(adaptive_average_pool(x, 6, 6))


register_model(
    "kosiba_cn",
    CustomNetwork,
    first_layer="backbone.layers.0.conv",
    head="mlp",
    head_kwargs={"widths": (256,), "dropout": 0.65},
    input_size=356,
    paper="Kosiba et al. 2020, arXiv:2006.05998",
)
