"""AlexNetVGG: AlexNet's features under VGG's head (Fomicheva 2025; Krizhevsky 2014, arXiv:1404.5997)."""

from flax import nnx

from clusterjax.errors import InputError
from clusterjax.models.heads import VGGHead
from clusterjax.models.layers import adaptive_average_pool, conv, max_pool, relu
from clusterjax.models.registry import register_model


@register_model("alexnet_vgg")
class AlexNetVGG(nnx.Module):
    """Five convolutions, max-pooling 3/2 after the first, second and fifth, 6x6 adaptive pooling, VGG head.

    ``stem_stride`` is 4 in the original, made for 224 px. At native survey resolution (64 px of 2.75") a stride of 4
    steps over a whole point-spread function, and the 6x6 pooling repeats one and the same feature 36 times: use 1 or 2.
    """

    def __init__(
        self,
        *,
        num_bands: int,
        num_classes: int,
        dtype,
        rngs: nnx.Rngs,
        stem_stride: int = 4,
        head_width: int = 4096,
        dropout: float = 0.5,
    ):
        def layer(num_in, num_out, size, *, stride=1):
            # The stem's padding is 2 in torchvision's AlexNet; all others keep the size.
            padding = 2 if size == 11 else size // 2
            return conv(num_in, num_out, size, stride=stride, padding=padding, dtype=dtype, rngs=rngs)

        self.stem_stride = stem_stride
        self.conv1 = layer(num_bands, 64, 11, stride=stem_stride)
        self.conv2 = layer(64, 192, 5)
        self.conv3 = layer(192, 384, 3)
        self.conv4 = layer(384, 256, 3)
        self.conv5 = layer(256, 256, 3)
        self.head = VGGHead(
            6 * 6 * 256, num_classes, width=head_width, dropout=dropout, dtype=dtype, rngs=rngs
        )

    def __call__(self, image, *, rngs: nnx.Rngs | None = None):
        size, least = (
            min(image.shape[1:3]),
            14 * self.stem_stride + 7,
        )  # three poolings need 15 pixels after the stem
        if size < least:
            raise InputError(
                f"alexnet_vgg with stem_stride={self.stem_stride} needs {least} px or more; got {size}"
            )
        x = max_pool(relu(self.conv1(image)), 3, 2)
        x = max_pool(relu(self.conv2(x)), 3, 2)
        x = relu(self.conv5(relu(self.conv4(relu(self.conv3(x))))))
        x = adaptive_average_pool(max_pool(x, 3, 2), 6, 6)
        return self.head(x.reshape(x.shape[0], -1), rngs=rngs)
