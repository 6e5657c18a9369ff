"""Matrix products and depthwise convolutions in forms that suit XLA's CPU backend. Equal to the plain ones.

On a CPU, XLA sends a convolution to Eigen, or, where it fuses an elementwise operation into a contraction, to a scalar
loop. A 1x1 convolution or dense layer is therefore a matrix product whose backward operands stand behind an
optimization barrier: nothing can be fused into it. A depthwise convolution is a sum of k x k shifted multiply-adds,
forward and backward.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from clusterjax.models.kernel_taps import blocks, taps

# Values of a kernel that no cache holds, and the most rows for which the products below are bound by reading it.
# Measured, GFLOP/s forward and by the input, plain and as here, 9216 -> 4096: batch 32 78 and 152, 174 and 256; batch
# 64 186 and 205, 237 and 277; batch 128 245 and 251, 291 and 286; 4096 -> 4096, batch 32 92 and 161, 197 and 286; but
# 3072 -> 512 143 and 91, 180 and 180.
_LARGE_KERNEL = 2**22
_FEW_ROWS = 64


def _is_bound_by_kernel(x, kernel) -> bool:
    return kernel.size >= _LARGE_KERNEL and x.size // x.shape[-1] <= _FEW_ROWS


@jax.custom_vjp
def matmul(x, kernel):
    """x (..., in), kernel (in, out) -> (..., out)."""
    if _is_bound_by_kernel(x, kernel):  # XLA then leaves it to Eigen, which reads the kernel along its rows
        turned = lax.optimization_barrier(jnp.moveaxis(x, -1, 0))
        return lax.dot_general(turned, kernel, (((0,), (0,)), ((), ())))
    return lax.dot_general(x, kernel, (((x.ndim - 1,), (0,)), ((), ())))


def _matmul_forward(x, kernel):
    return matmul(x, kernel), (x, kernel)


def _matmul_backward(residuals, grad):
    x, kernel = residuals
    x, grad = lax.optimization_barrier(x), lax.optimization_barrier(grad)
    leading = tuple(range(x.ndim - 1))
    if _is_bound_by_kernel(x, kernel):
        turned = lax.optimization_barrier(jnp.moveaxis(grad, -1, 0))
        to_x = lax.optimization_barrier(lax.dot_general(kernel, turned, (((1,), (0,)), ((), ()))))
        to_x = jnp.moveaxis(to_x, 0, -1)
    else:
        to_x = lax.dot_general(grad, kernel, (((grad.ndim - 1,), (1,)), ((), ())))
    return to_x, lax.dot_general(x, grad, ((leading, leading), ((), ())))


matmul.defvjp(_matmul_forward, _matmul_backward)


def convolve_patches(image, kernel):
    """A convolution whose strides are its kernel's size: image (batch, y, x, in), kernel (ky, kx, in, out)."""
    return matmul(blocks(image, kernel.shape[:2]), kernel.reshape(-1, kernel.shape[3]))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def depthwise(image, kernel, strides, padding):
    """image (batch, y, x, feature), kernel (ky, kx, 1, feature); padding ((before, after) of y, of x)."""
    padded = jnp.pad(image, ((0, 0), *padding, (0, 0)))
    flat = kernel.reshape(-1, kernel.shape[-1])
    num = _num_out(padded, kernel, strides)
    return sum(tap * flat[i] for i, tap in enumerate(taps(padded, kernel.shape[:2], strides, num)))


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
    seen = taps(spread, size, (1, 1), image.shape[1:3])
    to_image = sum(tap * flat[len(flat) - 1 - i] for i, tap in enumerate(seen))

    # To the kernel: image by image, so that the shifted products stay in cache.
    def add_image(total, pair):
        one, one_grad = pair
        seen = taps(one[None], size, strides, num)
        return total + jnp.stack([(tap[0] * one_grad).sum((0, 1)) for tap in seen]), None

    total = jnp.zeros(flat.shape, grad.dtype)
    return to_image, lax.scan(add_image, total, (padded, grad))[0].reshape(kernel.shape)


depthwise.defvjp(_depthwise_forward, _depthwise_backward)
