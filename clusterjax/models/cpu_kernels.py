"""Convolutions and matrix products in forms that suit XLA's CPU backend. Equal to the plain ones; other platforms
never come here.

On a CPU, XLA sends a convolution to Eigen, or, where it fuses an elementwise operation into a contraction, to a scalar
loop; the gradient of a maximum over windows is a scalar loop too. Five rewrites keep the work in matrix products and
vector arithmetic:

1. A 1x1 convolution or dense layer is a matrix product whose backward operands stand behind an optimization barrier:
   nothing can be fused into it.
2. A depthwise convolution is a sum of k x k shifted multiply-adds, forward and backward.
3. A convolution on a map hardly larger than its kernel is a matrix product for each pixel of the kernel, on the part of
   the image that this pixel sees: on 2x2 pixels a 3x3 kernel under padding sees zeros 20 times out of 36.
4. The gradient of a convolution by its kernel is that of a few images at a time, as many as caches hold.
5. Max-pooling remembers which pixel of each window won; its gradient is a sum of shifted, masked copies (the layer
   by itself takes a tenth of the time of XLA's select-and-scatter).

``benchmarks/models.py`` measures them beside PyTorch.
"""

import contextlib
import functools
import math

import jax
import jax.numpy as jnp
from jax import lax

from clusterjax.models.cpu_small_maps import SMALL_MAP, convolve_small_map
from clusterjax.models.cpu_weight_gradient import convolve_large_map, num_parts

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
        if feature_group_count == 1 and math.prod(kernel.shape[:2]) > 1 and num_y * num_x <= SMALL_MAP:
            return convolve_small_map(image, kernel, tuple(strides), tuple(map(tuple, padding)))
        output_shape = (image.shape[0], num_y, num_x, kernel.shape[3])
        if feature_group_count == 1 and num_parts(image.shape, output_shape) > 1:
            return convolve_large_map(image, kernel, tuple(strides), tuple(map(tuple, padding)))
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


def max_pool(image, size: int, stride: int, padding):
    """image (batch, y, x, feature); padding with -infinity: ((before, after) of y, of x), or "SAME"."""
    window, strides = (1, size, size, 1), (1, stride, stride, 1)
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(image.shape, window, strides, padding)[1:3]
    if _on_cpu():
        return _max_pool(image, size, stride, tuple(map(tuple, padding)))
    return lax.reduce_window(image, -jnp.inf, lax.max, window, strides, ((0, 0), *padding, (0, 0)))


def _max_pool_taps(image, size, stride, padding):
    """As :func:`_taps` of the padded image."""
    around = [(low, high, 0) for low, high in padding]
    padded = lax.pad(image, jnp.asarray(-jnp.inf, image.dtype), ((0, 0, 0), *around, (0, 0, 0)))
    num = tuple((padded.shape[i] - size) // stride + 1 for i in (1, 2))
    return _taps(padded, (size, size), (stride, stride), num)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _max_pool(image, size, stride, padding):
    return functools.reduce(jnp.maximum, _max_pool_taps(image, size, stride, padding))


def _max_pool_forward(image, size, stride, padding):
    taps = _max_pool_taps(image, size, stride, padding)
    best = next(taps)
    winner = jnp.zeros(best.shape, jnp.uint8)  # the first of equals, as in PyTorch and in XLA's own gradient
    for i, tap in enumerate(taps, start=1):
        better = tap > best
        best, winner = jnp.where(better, tap, best), jnp.where(better, jnp.uint8(i), winner)
    return best, (winner, image.shape[1:3])


def _max_pool_backward(size, stride, padding, residuals, grad):
    winner, shape = residuals
    grad = lax.optimization_barrier(grad)
    # Rows s * i + p of the padded image, and columns likewise, for each phase p < s; interleaved at the end.
    num = tuple(-(-(n + sum(pad)) // stride) for n, pad in zip(shape, padding, strict=True))

    def phase(py, px):
        total = jnp.zeros((), grad.dtype)
        for i in range(py, size, stride):
            for j in range(px, size, stride):
                of_this = jnp.where(winner == jnp.uint8(i * size + j), grad, 0)
                lows = i // stride, j // stride
                spreads = [(low, n - m - low, 0) for low, n, m in zip(lows, num, grad.shape[1:3], strict=True)]
                total += lax.pad(of_this, jnp.zeros((), grad.dtype), ((0, 0, 0), *spreads, (0, 0, 0)))
        return jnp.broadcast_to(total, (grad.shape[0], *num, grad.shape[3]))

    rows = [jnp.stack([phase(py, px) for px in range(stride)], axis=3) for py in range(stride)]
    padded = jnp.stack(rows, axis=2).reshape(grad.shape[0], num[0] * stride, num[1] * stride, grad.shape[3])
    (top, _), (left, _) = padding
    return (padded[:, top : top + shape[0], left : left + shape[1]],)


_max_pool.defvjp(_max_pool_forward, _max_pool_backward)
