"""ResNet18, ResNet50, wide ResNet-101-2 and SpinalNet+ResNet.

He et al. 2016 (arXiv:1512.03385), with the stride of a bottleneck in its 3x3 convolution as torchvision has it
("v1.5"); Zagoruyko & Komodakis 2016 (arXiv:1605.07146) for the width.
"""

from collections.abc import Sequence

from flax import nnx

from clusterjax.models.layers import (
    ConvNorm,
    apply_block,
    check_input_size,
    check_padding,
    global_average_pool,
    max_pool,
    relu,
    smallest_input,
)
from clusterjax.models.registry import register_model
from clusterjax.models.sliding import in_parallel


class ResidualBlock(nnx.Module):
    """relu(x + layers(x)); where the shape changes, x goes through a 1x1 convolution.

    Layers without padding leave ``margin`` pixels of x at each side out: x is cropped at the centre to match.
    """

    def __init__(self, layers: list[ConvNorm], shortcut: ConvNorm | None, margin: int = 0):
        self.layers = nnx.List(layers)
        self.shortcut = shortcut
        self.margin = margin

    def __call__(self, x, *, rngs: nnx.Rngs | None = None):
        y, x = in_parallel(x, self._residual, self._identity)
        return relu(y + x[:, : y.shape[1], : y.shape[2]])

    def _residual(self, x):
        for layer in self.layers:
            x = layer(x)
        return x

    def _identity(self, x):
        x = x[:, self.margin :, self.margin :]
        return x if self.shortcut is None else self.shortcut(x)


class ResNet(nnx.Module):
    """``num_blocks`` per stage. A bottleneck's inner layers are ``width_factor`` times as wide as the paper's.

    ``padding`` "VALID" leaves the zeros at the border out: ResNet18 and ResNet50 then take 435 and 427 px or more,
    fewer stages less ((1, 1): 59).
    """

    def __init__(
        self,
        *,
        num_bands: int,
        dtype,
        rngs: nnx.Rngs,
        num_blocks: Sequence[int] = (2, 2, 2, 2),
        bottleneck: bool = False,
        width_factor: int = 1,
        remat: bool = False,
        padding: str | None = None,
    ):
        check_padding(padding)
        steps = [(7, 2), (3, 2)]

        def layer(num_in, num_out, size, **kwargs):
            return ConvNorm(num_in, num_out, size, padding=padding, dtype=dtype, rngs=rngs, **kwargs)

        def block(num_in, width, stride):
            if bottleneck:
                inner, num_out = width * width_factor, 4 * width
                layers = [
                    layer(num_in, inner, 1),
                    layer(inner, inner, 3, stride=stride),
                    layer(inner, num_out, 1, activation=None),
                ]
                margin = 1
                steps.append((3, stride))
            else:
                num_out = width
                layers = [layer(num_in, width, 3, stride=stride), layer(width, width, 3, activation=None)]
                margin = 1 + stride
                steps.extend([(3, stride), (3, 1)])
            changes = stride != 1 or num_in != num_out
            shortcut = layer(num_in, num_out, 1, stride=stride, activation=None) if changes else None
            return ResidualBlock(layers, shortcut, margin if padding == "VALID" else 0), num_out

        self.stem = layer(num_bands, 64, 7, stride=2)
        stages, num_in = [], 64
        for stage, number in enumerate(num_blocks):
            blocks = []
            for i in range(number):
                one, num_in = block(num_in, 64 * 2**stage, 2 if stage > 0 and i == 0 else 1)
                blocks.append(one)
            stages.append(nnx.List(blocks))
        self.stages = nnx.List(stages)
        self.num_features = num_in
        self.remat = remat
        self.padding = padding
        self.smallest_input = smallest_input(steps)

    def __call__(self, image, *, rngs: nnx.Rngs | None = None):
        if self.padding == "VALID":
            check_input_size(image, self.smallest_input, "this ResNet with padding='VALID'")
        x = max_pool(self.stem(image), 3, 2, padding=0 if self.padding == "VALID" else 1)
        for stage in self.stages:
            for block in stage:
                x = apply_block(block, x, remat=self.remat)
        return global_average_pool(x)


# torchvision counts stages from 1, and layers and normalisations apart.
def _layers(number: int) -> tuple[tuple[str, str], ...]:
    ours = r"backbone.stages.{\1-1}.\2.layers"
    return tuple(
        pair
        for i in range(number)
        for pair in (
            (rf"layer(\d)\.(\d+)\.conv{i + 1}", rf"{ours}.{i}.conv"),
            (rf"layer(\d)\.(\d+)\.bn{i + 1}", rf"{ours}.{i}.norm"),
        )
    )


TORCHVISION = (
    (r"conv1", "backbone.stem.conv"),
    (r"bn1", "backbone.stem.norm"),
    *_layers(3),
    (r"layer(\d)\.(\d+)\.downsample\.0", r"backbone.stages.{\1-1}.\2.shortcut.conv"),
    (r"layer(\d)\.(\d+)\.downsample\.1", r"backbone.stages.{\1-1}.\2.shortcut.norm"),
    (r"fc", "head.linear"),
)

PAPER = "He et al. 2016, arXiv:1512.03385"
register_model(
    "resnet18",
    ResNet,
    num_blocks=(2, 2, 2, 2),
    head="mlp",
    head_kwargs={"widths": (512,), "dropout": 0.5},  # the reference system's; ImageNet's is linear
    paper=PAPER,
    names={"torchvision:resnet18": TORCHVISION},
)
register_model(
    "resnet50",
    ResNet,
    num_blocks=(3, 4, 6, 3),
    bottleneck=True,
    paper=PAPER,
    names={"torchvision:resnet50": TORCHVISION},
)
_WIDE = {"num_blocks": (3, 4, 23, 3), "bottleneck": True, "width_factor": 2}
_WIDE_NAMES = {"torchvision:wide_resnet101_2": TORCHVISION}
register_model(
    "wide_resnet101_2",
    ResNet,
    **_WIDE,
    paper="Zagoruyko & Komodakis 2016, arXiv:1605.07146",
    names=_WIDE_NAMES,
)
register_model(
    "spinalnet_resnet",
    ResNet,
    **_WIDE,
    head="spinal",
    head_kwargs={"width": 200},
    paper="Kabir et al. 2020, arXiv:2007.03347",
    names=_WIDE_NAMES,
)
