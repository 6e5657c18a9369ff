"""A strided convolution of few bands as an unstrided one of many: space to depth. Exact, on GPUs and TPUs.

Their matrix units take features by eights or more, and an image has two or three bands: most of the first layer's
products would be with padding. Blocks of stride x stride pixels become features of one pixel instead (Ying et al. 2018,
arXiv:1811.06992, of ResNet's first layer); a kernel as large as its stride, as of a vision transformer, becomes a
matrix product.
"""

import jax.numpy as jnp
from jax import lax

from clusterjax.models.kernel_taps import blocks

FEW = 4


def suits(image_shape, kernel_shape, strides) -> bool:
    stride, (ky, kx) = strides[0], kernel_shape[:2]
    return image_shape[-1] <= FEW and strides[1] == stride > 1 and min(ky, kx) >= stride


def convolve_few_bands(image, kernel, strides, padding):
    """image (batch, y, x, band), kernel (ky, kx, band, out); padding ((before, after) of y, of x)."""
    stride, (_, *size, bands), num_out = strides[0], image.shape, kernel.shape[3]
    of_kernel = [-(-k // stride) for k in kernel.shape[:2]]
    num = [(n + sum(pad) - k) // stride + 1 for n, pad, k in zip(size, padding, kernel.shape, strict=False)]
    lengths = [stride * (n + k - 1) for n, k in zip(num, of_kernel, strict=True)]
    around = [(low, length - n - low, 0) for (low, _), length, n in zip(padding, lengths, size, strict=True)]
    image = lax.pad(image, jnp.zeros((), image.dtype), ((0, 0, 0), *around, (0, 0, 0)))
    image = blocks(image, (stride, stride))

    after = [(0, stride * k - n) for k, n in zip(of_kernel, kernel.shape[:2], strict=True)]
    kernel = jnp.pad(kernel, (*after, (0, 0), (0, 0)))
    kernel = kernel.reshape(of_kernel[0], stride, of_kernel[1], stride, bands, num_out).transpose(0, 2, 1, 3, 4, 5)

    features = stride * stride * bands
    by_eights = (0, -features % 8)
    image = jnp.pad(image, ((0, 0), (0, 0), (0, 0), by_eights))
    kernel = jnp.pad(kernel.reshape(*of_kernel, features, num_out), ((0, 0), (0, 0), by_eights, (0, 0)))
    return lax.conv_general_dilated(image, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
