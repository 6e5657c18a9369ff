"""AlexNetVGG: AlexNet's features under VGG's head (Fomicheva 2025; Krizhevsky 2014, arXiv:1404.5997)."""

from flax import nnx

from clusterjax.models.layers import (
    ConvNorm,
    adaptive_average_pool,
    check_input_size,
    check_padding,
    flatten,
    max_pool,
    smallest_input,
)
from clusterjax.models.registry import register_model


class AlexNet(nnx.Module):
    """Five convolutions, max-pooling 3/2 after the first, second and fifth, 6x6 adaptive pooling.

    As torchvision's, which is the one-tower network of the 2014 paper with 64 instead of 96 features in its stem.
    ``stem_stride`` is 4 in the original, made for 224 px. At native survey resolution (64 px of 2.75") a stride of 4
    steps over a whole point-spread function, and the 6x6 pooling repeats one and the same feature 36 times: use 1 to 3.
    ``use_batch_norm`` puts batch normalisation after each convolution, as VGG-BN does to VGG: the original, which was
    made before it, learns slowly from scratch. ImageNet's weights need it False.
    ``padding`` "VALID" leaves the zeros at the border out: with a stem of stride 1 it takes 57 px or more.
    """

    num_features = 6 * 6 * 256

    def __init__(
        self,
        *,
        num_bands: int,
        dtype,
        rngs: nnx.Rngs,
        stem_stride: int = 4,
        use_batch_norm: bool = False,
        padding: str | None = None,
    ):
        check_padding(padding)

        def layer(num_in, num_out, size, **kwargs):
            # The bias before a normalisation does nothing, but keeps one tree of parameters for both.
            kwargs = {"padding": padding, "norm": use_batch_norm, "bias": True, "dtype": dtype, "rngs": rngs} | kwargs
            return ConvNorm(num_in, num_out, size, **kwargs)

        self.stem_stride = stem_stride
        self.padding = padding
        self.conv1 = layer(num_bands, 64, 11, stride=stem_stride, padding=padding or [(2, 2), (2, 2)])
        self.conv2 = layer(64, 192, 5)
        self.conv3 = layer(192, 384, 3)
        self.conv4 = layer(384, 256, 3)
        self.conv5 = layer(256, 256, 3)

    def __call__(self, image, *, rngs: nnx.Rngs | None = None):
        least = 14 * self.stem_stride + 7  # three poolings need 15 pixels after the stem
        if self.padding == "VALID":
            pool, stem = (3, 2), (11, self.stem_stride)
            least = smallest_input([stem, pool, (5, 1), pool, (3, 1), (3, 1), (3, 1), pool])
        what = f"alexnet_vgg with stem_stride={self.stem_stride} and padding={self.padding!r}"
        check_input_size(image, least, what)
        x = max_pool(self.conv1(image), 3, 2)
        x = max_pool(self.conv2(x), 3, 2)
        x = max_pool(self.conv5(self.conv4(self.conv3(x))), 3, 2)
        return flatten(adaptive_average_pool(x, 6, 6))


# torchvision's name of each layer with weights -> ours.
TORCHVISION = (
    (r"features\.0", "backbone.conv1.conv"),
    (r"features\.3", "backbone.conv2.conv"),
    (r"features\.6", "backbone.conv3.conv"),
    (r"features\.8", "backbone.conv4.conv"),
    (r"features\.10", "backbone.conv5.conv"),
    (r"classifier\.1", "head.hidden.0"),
    (r"classifier\.4", "head.hidden.1"),
    (r"classifier\.6", "head.linear"),
)

register_model(
    "alexnet_vgg",
    AlexNet,
    first_layer="backbone.conv1.conv",
    head="vgg",
    paper="Krizhevsky 2014, arXiv:1404.5997",
    names={"torchvision:alexnet": TORCHVISION},
    flattened=(256, 6, 6),
)
