"""EfficientNet-B0 to B7 by its scaling rule, and EfficientNet-Lite0 (Tan & Le 2019, arXiv:1905.11946)."""

import math
from collections.abc import Callable

from flax import nnx

from clusterjax.models.layers import (
    ConvNorm,
    SqueezeExcite,
    StochasticDepth,
    apply_block,
    global_average_pool,
    relu6,
    silu,
)
from clusterjax.models.registry import register_model

# Of B0: expansion, kernel, stride of the first block, features, blocks.
_STAGES = (
    (1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3), (6, 5, 2, 192, 4), (6, 3, 1, 320, 1),
)  # fmt: skip


class InvertedResidual(nnx.Module):
    """1x1 to more features, depthwise, squeeze and excite, 1x1 to few; added to the input where the shape allows."""

    def __init__(
        self,
        num_in: int,
        num_out: int,
        *,
        expansion: int,
        size: int,
        stride: int,
        squeeze: bool,
        drop_path: float,
        activation: Callable,
        padding: str | None,
        epsilon: float,
        dtype,
        rngs: nnx.Rngs,
    ):
        def layer(a, b, k, **kwargs):
            kwargs = {"activation": activation, "padding": padding, **kwargs}
            return ConvNorm(a, b, k, epsilon=epsilon, dtype=dtype, rngs=rngs, **kwargs)

        wide = expansion * num_in
        self.expand = layer(num_in, wide, 1) if expansion > 1 else None
        self.depthwise = layer(wide, wide, size, stride=stride, num_groups=wide)
        self.excite = SqueezeExcite(wide, max(1, num_in // 4), dtype=dtype, rngs=rngs) if squeeze else None
        self.project = layer(wide, num_out, 1, activation=None)
        self.drop_path = StochasticDepth(drop_path) if stride == 1 and num_in == num_out else None

    def __call__(self, x, *, rngs: nnx.Rngs | None = None):
        y = x if self.expand is None else self.expand(x)
        y = self.depthwise(y)
        y = y if self.excite is None else self.excite(y)
        y = self.project(y)
        return y if self.drop_path is None else x + self.drop_path(y, rngs=rngs)


class EfficientNet(nnx.Module):
    """B0 with ``width`` times the features and ``depth`` times the blocks.

    ``lite`` is the variant for small devices: no squeeze and excite, ReLU6, a stem and a top that do not scale.
    ``padding`` "SAME" pads strided convolutions at the end, as TensorFlow does and as weights that come from it need;
    None is PyTorch's.
    """

    def __init__(
        self,
        *,
        num_bands: int,
        dtype,
        rngs: nnx.Rngs,
        width: float = 1.0,
        depth: float = 1.0,
        lite: bool = False,
        padding: str | None = None,
        epsilon: float = 1e-5,
        drop_path: float = 0.2,
        remat: bool = False,
    ):
        activation = relu6 if lite else silu
        common = {"padding": padding, "epsilon": epsilon, "activation": activation, "dtype": dtype, "rngs": rngs}
        num_in = 32 if lite else round_width(32 * width)
        self.stem = ConvNorm(num_bands, num_in, 3, stride=2, **common)
        total = sum(_num_blocks(number, depth) for *_, number in _STAGES)
        blocks: list[InvertedResidual] = []
        for expansion, size, stride, features, number in _STAGES:
            num_out = round_width(features * width)
            for i in range(_num_blocks(number, depth)):
                blocks.append(
                    InvertedResidual(
                        num_in,
                        num_out,
                        expansion=expansion,
                        size=size,
                        stride=stride if i == 0 else 1,
                        squeeze=not lite,
                        drop_path=drop_path * len(blocks) / total,
                        **common,
                    )
                )
                num_in = num_out
        self.blocks = nnx.List(blocks)
        self.num_features = 1280 if lite else 4 * num_in
        self.top = ConvNorm(num_in, self.num_features, 1, **common)
        self.remat = remat

    def __call__(self, image, *, rngs: nnx.Rngs | None = None):
        x = self.stem(image)
        for block in self.blocks:
            x = apply_block(block, x, remat=self.remat, rngs=rngs)
        return global_average_pool(self.top(x))


def round_width(features: float) -> int:
    """The nearest multiple of 8, or the next if that is more than 10 % below."""
    rounded = max(8, int(features + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * features else rounded


def _num_blocks(number: int, depth: float) -> int:
    return math.ceil(number * depth)


def _names(depth: float) -> dict[str, tuple[tuple[str, str], ...]]:
    """torchvision and timm number blocks by stage; torchvision counts the layers of a block."""
    torchvision: list[tuple[str, str]] = [
        (r"features\.0\.0", "backbone.stem.conv"),
        (r"features\.0\.1", "backbone.stem.norm"),
        (r"features\.8\.0", "backbone.top.conv"),
        (r"features\.8\.1", "backbone.top.norm"),
        (r"classifier\.1", "head.linear"),
    ]
    timm: list[tuple[str, str]] = [
        (r"conv_stem", "backbone.stem.conv"),
        (r"bn1", "backbone.stem.norm"),
        (r"conv_head", "backbone.top.conv"),
        (r"bn2", "backbone.top.norm"),
        (r"classifier", "head.linear"),
    ]
    number = 0
    for stage, (expansion, *_, blocks) in enumerate(_STAGES):
        for i in range(_num_blocks(blocks, depth)):
            ours = f"backbone.blocks.{number}"
            layers = (
                ["depthwise", "excite", "project"] if expansion == 1 else ["expand", "depthwise", "excite", "project"]
            )
            for j, layer in enumerate(layers):
                theirs = rf"features\.{stage + 1}\.{i}\.block\.{j}"
                if layer == "excite":
                    torchvision += [
                        (rf"{theirs}\.fc1", f"{ours}.excite.reduce"),
                        (rf"{theirs}\.fc2", f"{ours}.excite.expand"),
                    ]
                else:
                    torchvision += [
                        (rf"{theirs}\.0", f"{ours}.{layer}.conv"),
                        (rf"{theirs}\.1", f"{ours}.{layer}.norm"),
                    ]
            theirs = rf"blocks\.{stage}\.{i}"
            timm += [
                (rf"{theirs}\.se\.conv_reduce", f"{ours}.excite.reduce"),
                (rf"{theirs}\.se\.conv_expand", f"{ours}.excite.expand"),
            ]
            timm.append((rf"{theirs}\.conv_dw", f"{ours}.depthwise.conv"))
            if expansion == 1:
                timm += [
                    (rf"{theirs}\.conv_pw", f"{ours}.project.conv"),
                    (rf"{theirs}\.bn1", f"{ours}.depthwise.norm"),
                    (rf"{theirs}\.bn2", f"{ours}.project.norm"),
                ]
            else:
                timm += [
                    (rf"{theirs}\.conv_pw", f"{ours}.expand.conv"),
                    (rf"{theirs}\.conv_pwl", f"{ours}.project.conv"),
                    (rf"{theirs}\.bn1", f"{ours}.expand.norm"),
                    (rf"{theirs}\.bn2", f"{ours}.depthwise.norm"),
                    (rf"{theirs}\.bn3", f"{ours}.project.norm"),
                ]
            number += 1
    return {"torchvision": tuple(torchvision), "timm": tuple(timm)}


_LITE_BLOCK = r"backbone.blocks.\1"
LITE = (
    (r"_conv_stem", "backbone.stem.conv"),
    (r"_bn0", "backbone.stem.norm"),
    (r"_blocks\.(\d+)\._expand_conv", f"{_LITE_BLOCK}.expand.conv"),
    (r"_blocks\.(\d+)\._bn0", f"{_LITE_BLOCK}.expand.norm"),
    (r"_blocks\.(\d+)\._depthwise_conv", f"{_LITE_BLOCK}.depthwise.conv"),
    (r"_blocks\.(\d+)\._bn1", f"{_LITE_BLOCK}.depthwise.norm"),
    (r"_blocks\.(\d+)\._project_conv", f"{_LITE_BLOCK}.project.conv"),
    (r"_blocks\.(\d+)\._bn2", f"{_LITE_BLOCK}.project.norm"),
    (r"_conv_head", "backbone.top.conv"),
    (r"_bn1", "backbone.top.norm"),
    (r"_fc", "head.linear"),
)

PAPER = "Tan & Le 2019, arXiv:1905.11946"
# Width, depth, pixels of the paper's table of scaled networks.
_SCALES = {
    0: (1.0, 1.0, 224), 1: (1.0, 1.1, 240), 2: (1.1, 1.2, 260), 3: (1.2, 1.4, 300),
    4: (1.4, 1.8, 380), 5: (1.6, 2.2, 456), 6: (1.8, 2.6, 528), 7: (2.0, 3.1, 600),
}  # fmt: skip
for _number, (_width, _depth, _size) in _SCALES.items():
    _tables = _names(_depth)
    _scaled = {
        "width": _width,
        "depth": _depth,
        "input_size": _size,
        # torchvision trained the large ones with TensorFlow's epsilon.
        "epsilon": 1e-5 if _number < 5 else 1e-3,
        "paper": PAPER,
        "names": {f"{library}:efficientnet_b{_number}": names for library, names in _tables.items()},
    }
    register_model(f"efficientnet_b{_number}", EfficientNet, head_kwargs={"dropout": 0.2}, **_scaled)
    if _number == 0:
        register_model("spinalnet_efficientnet", EfficientNet, head="spinal", head_kwargs={"width": 200}, **_scaled)

register_model(
    "efficientnet_lite0",
    EfficientNet,
    lite=True,
    padding="SAME",
    epsilon=1e-3,
    head_kwargs={"dropout": 0.2},
    paper=PAPER + "; Lite: its authors' TPU repository",
    names={"efficientnet_lite_pytorch:efficientnet-lite0": LITE, "timm:tf_efficientnet_lite0": _names(1.0)["timm"]},
)
