"""Convolutions, matrix products and max-pooling in forms that suit the platform, chosen while tracing. All are equal.

On a CPU:

1. 1x1 convolutions, dense layers, convolutions over patches that do not overlap, and depthwise ones:
   :mod:`clusterjax.models.cpu_kernels`.
2. A convolution on a map hardly larger than its kernel is a matrix product for each pixel of the kernel, on the part of
   the image that this pixel sees: on 2x2 pixels a 3x3 kernel under padding sees zeros 20 times out of 36.
3. The gradient of a convolution by its kernel is a matrix product for each row of the kernel, or, with strides or few
   bands, that of a few images at a time, as many as caches hold (:mod:`clusterjax.models.cpu_weight_gradient`).

On a CPU and a GPU max-pooling has a gradient of its own (:mod:`clusterjax.models.max_pooling`). On a GPU and a TPU a
strided first layer goes over blocks of pixels (:mod:`clusterjax.models.few_bands`). On NVIDIA's GPUs attention is fused
(:mod:`clusterjax.models.attention`). On a GPU the convolutions of several networks at once are products of matrices:
with a kernel for each network they would be one convolution in groups, which cuDNN computes group by group.

``benchmarks/models.py`` measures them beside PyTorch.
"""

import contextlib
import math

import jax
import jax.numpy as jnp
from jax import lax

from clusterjax.models import cpu_weight_gradient, few_bands
from clusterjax.models.cpu_kernels import convolve_patches, depthwise, matmul
from clusterjax.models.cpu_small_maps import SMALL_MAP, convolve_small_map
from clusterjax.models.cpu_weight_gradient import convolve_large_map
from clusterjax.models.kernel_taps import pixels_seen
from clusterjax.models.max_pooling import max_pool as max_pool_by_winners

_plain_everywhere = False
_products_of_many: list[int] | None = None


@contextlib.contextmanager
def plain_kernels():
    """Within it (at trace time), XLA's plain operations are used on every platform: for exports, tests, benchmarks."""
    global _plain_everywhere
    before, _plain_everywhere = _plain_everywhere, True
    try:
        yield
    finally:
        _plain_everywhere = before


@contextlib.contextmanager
def many_networks():
    """Within it (at trace time), what is traced is of several networks, each with weights of its own, as one
    ``jax.vmap``. Yields a list of the bytes that each convolution as a product reads, of one network, as it grows."""
    global _products_of_many
    before, _products_of_many = _products_of_many, []
    try:
        yield _products_of_many
    finally:
        _products_of_many = before


def _on(*platforms: str) -> bool:
    return jax.default_backend() in platforms and not _plain_everywhere


def has_fused_attention(dtype) -> bool:
    """On NVIDIA's GPUs since Ampere, in two bytes."""
    if not _on("gpu") or dtype not in (jnp.bfloat16, jnp.float16):
        return False
    capability = getattr(jax.devices()[0], "compute_capability", "")  # AMD's is a name
    return capability.replace(".", "").isdigit() and float(capability) >= 8


def convolve(
    image,
    kernel,
    strides,
    padding,
    *,
    lhs_dilation=(1, 1),
    rhs_dilation=(1, 1),
    dimension_numbers,
    feature_group_count=1,
    precision=None,
    out_sharding=None,
):
    """``lax.conv_general_dilated`` of images (batch, y, x, feature) and kernels (ky, kx, in, out)."""
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(image.shape[1:3], kernel.shape[:2], strides, padding)
    is_simple = out_sharding is None and rhs_dilation == lhs_dilation == (1, 1)
    if _on("cpu") and is_simple:
        num_y, num_x = (
            (size + sum(pad) - k) // stride + 1
            for size, pad, k, stride in zip(image.shape[1:3], padding, kernel.shape[:2], strides, strict=True)
        )
        if feature_group_count == 1 and kernel.shape[:2] == (1, 1) and not any(map(any, padding)):
            return matmul(image[:, :: strides[0], :: strides[1]], kernel[0, 0])
        if feature_group_count == 1 and kernel.shape[:2] == tuple(strides) and not any(map(any, padding)):
            return convolve_patches(image, kernel)
        if feature_group_count == image.shape[-1] == kernel.shape[-1] > 1:
            return depthwise(image, kernel, tuple(strides), tuple(map(tuple, padding)))
        if feature_group_count == 1 and math.prod(kernel.shape[:2]) > 1 and num_y * num_x <= SMALL_MAP:
            return convolve_small_map(image, kernel, tuple(strides), tuple(map(tuple, padding)))
        output_shape = (image.shape[0], num_y, num_x, kernel.shape[3])
        if feature_group_count == 1 and cpu_weight_gradient.suits(image.shape, kernel.shape, output_shape, strides):
            return convolve_large_map(image, kernel, tuple(strides), tuple(map(tuple, padding)))
    if _products_of_many is not None and _on("gpu") and is_simple and feature_group_count == 1:
        seen = pixels_seen(image, kernel.shape[:2], strides, padding)
        _products_of_many.append(seen.size * seen.dtype.itemsize)
        return lax.dot_general(seen, kernel.reshape(-1, kernel.shape[3]), (((3,), (0,)), ((), ())))
    if (
        _on("gpu", "tpu")
        and is_simple
        and feature_group_count == 1
        and few_bands.suits(image.shape, kernel.shape, strides)
    ):
        return few_bands.convolve_few_bands(image, kernel, tuple(strides), tuple(map(tuple, padding)))
    return lax.conv_general_dilated(
        image,
        kernel,
        strides,
        padding,
        lhs_dilation=lhs_dilation,
        rhs_dilation=rhs_dilation,
        dimension_numbers=dimension_numbers,
        feature_group_count=feature_group_count,
        precision=precision,
        out_sharding=out_sharding,
    )


def dot_general(x, kernel, dimension_numbers, precision=None, preferred_element_type=None, out_sharding=None):
    """``lax.dot_general`` as nnx.Linear calls it: over the last axis of ``x`` and the first of ``kernel``."""
    if _on("cpu") and out_sharding is None and preferred_element_type is None:
        return matmul(x, kernel)
    return lax.dot_general(
        x,
        kernel,
        dimension_numbers,
        precision=precision,
        preferred_element_type=preferred_element_type,
        out_sharding=out_sharding,
    )


def max_pool(image, size: int, stride: int, padding):
    """image (batch, y, x, feature); padding with -infinity: ((before, after) of y, of x), or "SAME"."""
    window, strides = (1, size, size, 1), (1, stride, stride, 1)
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(image.shape, window, strides, padding)[1:3]
    if _on("cpu", "gpu"):
        return max_pool_by_winners(image, size, stride, tuple(map(tuple, padding)))
    return lax.reduce_window(image, -jnp.inf, lax.max, window, strides, ((0, 0), *padding, (0, 0)))
