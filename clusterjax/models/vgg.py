"""VGG19, with and without batch normalisation, and SpinalNetVGG (Simonyan & Zisserman 2015, arXiv:1409.1556)."""

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

# Configuration E: convolutions before each of five poolings, and their features.
_STAGES = ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512))


class VGG19(nnx.Module):
    """Sixteen convolutions 3x3 in five stages, each ended by a pooling; 7x7 adaptive pooling.

    The adaptive pooling is torchvision's: it does nothing at 224 px and repeats values at less. ``stages`` are (number
    of convolutions, features) before each pooling: ((1, 64), (1, 128), (2, 256), (2, 512), (2, 512)) is VGG11.
    ``padding`` "VALID" leaves the zeros at the border out: VGG19 then takes 268 px or more, fewer stages less.
    """

    def __init__(
        self,
        *,
        num_bands: int,
        dtype,
        rngs: nnx.Rngs,
        use_batch_norm: bool = False,
        stages: Sequence[tuple[int, int]] = _STAGES,
        padding: str | None = None,
    ):
        check_padding(padding)
        options = {"norm": use_batch_norm, "bias": True, "padding": padding, "dtype": dtype, "rngs": rngs}
        built, steps, num_in = [], [], num_bands
        for num_layers, num_out in stages:
            layers = []
            for _ in range(num_layers):
                layers.append(ConvNorm(num_in, num_out, **options))
                num_in = num_out
            built.append(nnx.List(layers))
            steps += [*[(3, 1)] * (num_layers if padding == "VALID" else 0), (2, 2)]
        self.stages = nnx.List(built)
        self.padding = padding
        self.smallest_input = smallest_input(steps)
        self.num_features = 7 * 7 * num_in

    def __call__(self, image, *, rngs: nnx.Rngs | None = None):
        check_input_size(image, self.smallest_input, f"vgg19 with padding={self.padding!r}")
        x = image
        for stage in self.stages:
            for layer in stage:
                x = layer(x)
            x = max_pool_2x2(x)
        return flatten(adaptive_average_pool(x, 7, 7))


def _torchvision(use_batch_norm: bool) -> tuple[tuple[str, str], ...]:
    """torchvision numbers all modules in one sequence: convolutions, normalisations, ReLUs and poolings."""
    names, number = [], 0
    for stage, (num_layers, _) in enumerate(_STAGES):
        for layer in range(num_layers):
            ours = f"backbone.stages.{stage}.{layer}"
            names.append((rf"features\.{number}", f"{ours}.conv"))
            if use_batch_norm:
                names.append((rf"features\.{number + 1}", f"{ours}.norm"))
            number += 3 if use_batch_norm else 2
        number += 1
    head = ((r"classifier\.0", "head.hidden.0"), (r"classifier\.3", "head.hidden.1"), (r"classifier\.6", "head.linear"))
    return (*names, *head)


PAPER = "Simonyan & Zisserman 2015, arXiv:1409.1556"
register_model(
    "vgg19",
    VGG19,
    first_layer="backbone.stages.0.0.conv",
    head="vgg",
    paper=PAPER,
    names={"torchvision:vgg19": _torchvision(False)},
    flattened=(512, 7, 7),
)
_BN = {"torchvision:vgg19_bn": _torchvision(True)}
register_model(
    "vgg19_bn",
    VGG19,
    first_layer="backbone.stages.0.0.conv",
    use_batch_norm=True,
    head="vgg",
    paper=PAPER,
    names=_BN,
    flattened=(512, 7, 7),
)
register_model(
    "spinalnet_vgg",
    VGG19,
    first_layer="backbone.stages.0.0.conv",
    use_batch_norm=True,
    head="spinal",
    head_kwargs={"width": 512, "dropout": 0.5, "use_batch_norm": True},
    paper="Kabir et al. 2020, arXiv:2007.03347",
    names=_BN,
    flattened=(512, 7, 7),
)
