"""MobileNet v1 (Howard et al. 2017, arXiv:1704.04861)."""

from collections.abc import Sequence

from flax import nnx

from clusterjax.models.layers import (
    ConvNorm,
    check_input_size,
    check_padding,
    global_average_pool,
    relu6,
    smallest_input,
)
from clusterjax.models.registry import register_model

# (features, stride) of each depthwise-separable block.
_BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip


class SeparableBlock(nnx.Module):
    """A depthwise convolution 3x3, then a 1x1; each with batch normalisation and ReLU6."""

    def __init__(self, num_in: int, num_out: int, stride: int, *, padding: str | None, dtype, rngs: nnx.Rngs):
        kwargs = {"activation": relu6, "padding": padding, "dtype": dtype, "rngs": rngs}
        self.depthwise = ConvNorm(num_in, num_in, 3, stride=stride, num_groups=num_in, **kwargs)
        self.pointwise = ConvNorm(num_in, num_out, 1, **kwargs)

    def __call__(self, x):
        return self.pointwise(self.depthwise(x))


class MobileNet(nnx.Module):
    """As timm's: symmetric padding where the Keras weights of Kosiba et al. (2020) pad at the end alone.

    ``blocks`` are the (features, stride) of each. ``padding`` "VALID" leaves the zeros at the border out: all thirteen
    blocks then take 315 px or more, fewer blocks less.
    """

    def __init__(
        self,
        *,
        num_bands: int,
        dtype,
        rngs: nnx.Rngs,
        blocks: Sequence[tuple[int, int]] = _BLOCKS,
        padding: str | None = None,
    ):
        check_padding(padding)
        options = {"padding": padding, "dtype": dtype, "rngs": rngs}
        self.stem = ConvNorm(num_bands, 32, 3, stride=2, activation=relu6, **options)
        numbers = (32, *(number for number, _ in blocks))
        self.blocks = nnx.List(
            [SeparableBlock(numbers[i], number, stride, **options) for i, (number, stride) in enumerate(blocks)]
        )
        self.num_features = numbers[-1]
        self.padding = padding
        self.smallest_input = smallest_input([(3, 2), *((3, stride) for _, stride in blocks)])

    def __call__(self, image, *, rngs: nnx.Rngs | None = None):
        if self.padding == "VALID":
            check_input_size(image, self.smallest_input, "mobilenet_v1 with padding='VALID'")
        x = self.stem(image)
        for block in self.blocks:
            x = block(x)
        return global_average_pool(x)


def _timm() -> tuple[tuple[str, str], ...]:
    """timm groups the blocks in stages that end before each stride."""
    names, stages = [], ((0,), (1, 2), (3, 4), (5, 6, 7, 8, 9, 10), (11, 12))
    for stage, numbers in enumerate(stages):
        for i, number in enumerate(numbers):
            theirs, ours = rf"blocks\.{stage}\.{i}", f"backbone.blocks.{number}"
            names += [
                (rf"{theirs}\.conv_dw", f"{ours}.depthwise.conv"),
                (rf"{theirs}\.bn1", f"{ours}.depthwise.norm"),
                (rf"{theirs}\.conv_pw", f"{ours}.pointwise.conv"),
                (rf"{theirs}\.bn2", f"{ours}.pointwise.norm"),
            ]
    stem = ((r"conv_stem", "backbone.stem.conv"), (r"bn1", "backbone.stem.norm"))
    return (*stem, *names, (r"classifier", "head.linear"))


register_model(
    "mobilenet_v1",
    MobileNet,
    paper="Howard et al. 2017, arXiv:1704.04861",
    names={"timm:mobilenetv1_100": _timm()},
)
