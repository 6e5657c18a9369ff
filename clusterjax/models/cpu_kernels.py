"""Convolutions and matrix products in forms that suit XLA's CPU backend. Equal to the plain ones; other platforms
never come here.

On a CPU, XLA sends a convolution to Eigen, or, where it fuses an elementwise operation into a contraction, to a scalar
loop. Three rewrites keep the work in matrix products and vector arithmetic:

1. A 1x1 convolution or dense layer is a matrix product whose backward operands stand behind an optimization barrier:
   nothing can be fused into it.
2. A depthwise convolution is a sum of k x k shifted multiply-adds, forward and backward.
3. A convolution on a map hardly larger than its kernel is im2col by concatenation, then one matrix product.

``benchmarks/models.py`` measures them beside PyTorch.
"""

import contextlib
import functools
import math

import jax
import jax.numpy as jnp
from jax import lax

_SMALL_MAP = 16  # output pixels up to which im2col is used: the last stages at 64 px; not tuned
_plain_everywhere = False


@contextlib.contextmanager
def plain_kernels():
    """Within it (at trace time), the plain XLA convolutions are used on the CPU too: for tests and benchmarks."""
    global _plain_everywhere
    before, _plain_everywhere = _plain_everywhere, True
    try:
        yield
    finally:
        _plain_everywhere = before


def _on_cpu() -> bool:
    return jax.default_backend() == "cpu" and not _plain_everywhere


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
    if _on_cpu() and out_sharding is None and rhs_dilation == lhs_dilation == (1, 1):
        num_y, num_x = (
            (size + sum(pad) - k) // stride + 1
            for size, pad, k, stride in zip(image.shape[1:3], padding, kernel.shape[:2], strides, strict=True)
        )
        if feature_group_count == 1 and kernel.shape[:2] == (1, 1) and not any(map(any, padding)):
            return matmul(image[:, :: strides[0], :: strides[1]], kernel[0, 0])
        if feature_group_count == image.shape[-1] == kernel.shape[-1] > 1:
            return depthwise(image, kernel, tuple(strides), tuple(map(tuple, padding)))
        if feature_group_count == 1 and math.prod(kernel.shape[:2]) > 1 and num_y * num_x <= _SMALL_MAP:
            padded = jnp.pad(image, ((0, 0), *padding, (0, 0)))
            columns = jnp.concatenate(list(_taps(padded, kernel.shape[:2], strides, (num_y, num_x))), axis=-1)
            return matmul(columns, kernel.reshape(-1, kernel.shape[-1]))
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
    if _on_cpu() and out_sharding is None and preferred_element_type is None:
        return matmul(x, kernel)
    return lax.dot_general(
        x,
        kernel,
        dimension_numbers,
        precision=precision,
        preferred_element_type=preferred_element_type,
        out_sharding=out_sharding,
    )


@jax.custom_vjp
def matmul(x, kernel):
    """x (..., in), kernel (in, out) -> (..., out)."""
    return lax.dot_general(x, kernel, (((x.ndim - 1,), (0,)), ((), ())))


def _matmul_forward(x, kernel):
    return matmul(x, kernel), (x, kernel)


def _matmul_backward(residuals, grad):
    x, kernel = residuals
    x, grad = lax.optimization_barrier(x), lax.optimization_barrier(grad)
    leading = tuple(range(x.ndim - 1))
    return (
        lax.dot_general(grad, kernel, (((grad.ndim - 1,), (1,)), ((), ()))),
        lax.dot_general(x, grad, ((leading, leading), ((), ()))),
    )


matmul.defvjp(_matmul_forward, _matmul_backward)


def _taps(padded, kernel_size, strides, num):
    """For each pixel of the kernel in turn, what it sees at all output pixels: (batch, *num, feature)."""
    for i in range(kernel_size[0]):
        for j in range(kernel_size[1]):
            stop = (i + strides[0] * (num[0] - 1) + 1, j + strides[1] * (num[1] - 1) + 1)
            yield lax.slice(
                padded, (0, i, j, 0), (padded.shape[0], *stop, padded.shape[3]), (1, strides[0], strides[1], 1)
            )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def depthwise(image, kernel, strides, padding):
    """image (batch, y, x, feature), kernel (ky, kx, 1, feature); padding ((before, after) of y, of x)."""
    padded = jnp.pad(image, ((0, 0), *padding, (0, 0)))
    flat = kernel.reshape(-1, kernel.shape[-1])
    num = _num_out(padded, kernel, strides)
    return sum(tap * flat[i] for i, tap in enumerate(_taps(padded, kernel.shape[:2], strides, num)))


def _num_out(padded, kernel, strides):
    return tuple((padded.shape[1 + i] - kernel.shape[i]) // strides[i] + 1 for i in range(2))


def _depthwise_forward(image, kernel, strides, padding):
    return depthwise(image, kernel, strides, padding), (image, kernel)


def _depthwise_backward(strides, padding, residuals, grad):
    image, kernel = residuals
    size = kernel.shape[:2]
    flat = kernel.reshape(-1, kernel.shape[-1])
    image, grad = lax.optimization_barrier(image), lax.optimization_barrier(grad)
    padded = lax.optimization_barrier(jnp.pad(image, ((0, 0), *padding, (0, 0))))
    num = _num_out(padded, kernel, strides)

    # To the image: the gradient, spread out by the strides, under the kernel turned by half a turn.
    spreads = []
    for i in range(2):
        low = size[i] - 1 - padding[i][0]
        spread = strides[i] * (num[i] - 1) + 1
        spreads.append((low, image.shape[1 + i] + size[i] - 1 - spread - low, strides[i] - 1))
    spread = lax.pad(grad, jnp.zeros((), grad.dtype), ((0, 0, 0), *spreads, (0, 0, 0)))
    spread = lax.optimization_barrier(spread)
    taps = _taps(spread, size, (1, 1), image.shape[1:3])
    to_image = sum(tap * flat[len(flat) - 1 - i] for i, tap in enumerate(taps))

    # To the kernel: image by image, so that the shifted products stay in cache.
    def add_image(total, pair):
        one, one_grad = pair
        taps = _taps(one[None], size, strides, num)
        return total + jnp.stack([(tap[0] * one_grad).sum((0, 1)) for tap in taps]), None

    total = jnp.zeros(flat.shape, grad.dtype)
    return to_image, lax.scan(add_image, total, (padded, grad))[0].reshape(kernel.shape)


depthwise.defvjp(_depthwise_forward, _depthwise_backward)
