"""AlexNetVGG: AlexNet's features under VGG's head (Fomicheva 2025; Krizhevsky 2014, arXiv:1404.5997)."""

from flax import nnx

from clusterjax.errors import InputError
from clusterjax.models.heads import VGGHead
from clusterjax.models.layers import adaptive_average_pool, batch_norm, conv, max_pool, relu
from clusterjax.models.registry import register_model


@register_model("alexnet_vgg")
class AlexNetVGG(nnx.Module):
    """Five convolutions, max-pooling 3/2 after the first, second and fifth, 6x6 adaptive pooling, VGG head.

    ``stem_stride`` is 4 in the original, made for 224 px. At native survey resolution (64 px of 2.75") a stride of 4
    steps over a whole point-spread function, and the 6x6 pooling repeats one and the same feature 36 times: use 1 to 3.
    ``use_batch_norm`` puts batch normalisation after each convolution, as VGG-BN does to VGG: the original, which was
    made before it, learns slowly from scratch. ImageNet's weights need it False.
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
        use_batch_norm: bool = False,
    ):
        def layer(num_in, num_out, size, *, stride=1):
            # The stem's padding is 2 in torchvision's AlexNet; all others keep the size.
            padding = 2 if size == 11 else size // 2
            return conv(num_in, num_out, size, stride=stride, padding=padding, dtype=dtype, rngs=rngs)

        def norm(num_features):
            return batch_norm(num_features, dtype=dtype, rngs=rngs) if use_batch_norm else None

        self.stem_stride = stem_stride
        self.conv1, self.norm1 = layer(num_bands, 64, 11, stride=stem_stride), norm(64)
        self.conv2, self.norm2 = layer(64, 192, 5), norm(192)
        self.conv3, self.norm3 = layer(192, 384, 3), norm(384)
        self.conv4, self.norm4 = layer(384, 256, 3), norm(256)
        self.conv5, self.norm5 = layer(256, 256, 3), norm(256)
        self.head = VGGHead(6 * 6 * 256, num_classes, width=head_width, dropout=dropout, dtype=dtype, rngs=rngs)

    def __call__(self, image, *, rngs: nnx.Rngs | None = None):
        size, least = (
            min(image.shape[1:3]),
            14 * self.stem_stride + 7,
        )  # three poolings need 15 pixels after the stem
        if size < least:
            raise InputError(f"alexnet_vgg with stem_stride={self.stem_stride} needs {least} px or more; got {size}")
        x = max_pool(_activate(self.conv1, self.norm1, image), 3, 2)
        x = max_pool(_activate(self.conv2, self.norm2, x), 3, 2)
        x = _activate(self.conv3, self.norm3, x)
        x = _activate(self.conv4, self.norm4, x)
        x = max_pool(_activate(self.conv5, self.norm5, x), 3, 2)
        x = adaptive_average_pool(x, 6, 6)
        return self.head(x.reshape(x.shape[0], -1), rngs=rngs)


def _activate(convolution, norm, x):
    x = convolution(x)
    return relu(x if norm is None else norm(x))
