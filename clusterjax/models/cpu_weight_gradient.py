"""A convolution on a large map, on a CPU: its gradient by the kernel, by each pixel of it or a few images at a time."""

import functools
import math

import jax
import jax.numpy as jnp
from jax import lax

from clusterjax.models.kernel_taps import taps

# Values of the image, and of the output, that one product of Eigen's takes: 4 MB, which caches hold. With more it falls
# off a cliff. Measured at batch 32, whole and in parts, in processor time on a busy machine: 64 x 64 pixels, 64 -> 64
# features 425 and 171 ms; 32 x 32, 128 -> 128 577 and 149 ms, 64 -> 128 318 and 73 ms.
_PART_VALUES = 2**20

# Of many features a matrix product for each pixel of the kernel is faster from this size of the image or the output on.
# Measured, GFLOP/s whole and by pixels, two cores, 3x3: batch 32, 16 x 16 pixels, 64 -> 128 features 69 and 169; 8 x 8,
# 256 -> 256 129 and 234, 512 -> 512 88 and 252; 32 x 32, 64 -> 128 in parts 58 and 93; batch 8, 28 x 28, 512 -> 512
# 59 and 231; but 16 x 16, 128 -> 32 158 and 30; 8 x 8, 64 -> 128 191 and 99; with a stride of 2 no more.
_BY_PIXELS_VALUES = 3 * 2**17
_BY_PIXELS_FEATURES = 64 * 128


def num_parts(image_shape, output_shape) -> int:
    """The least number of equal parts of the batch that are small enough; 1 where it is."""
    batch, values = image_shape[0], max(math.prod(image_shape), math.prod(output_shape))
    return next((n for n in range(1, batch) if batch % n == 0 and values <= n * _PART_VALUES), max(batch, 1))


def by_pixels(image_shape, kernel_shape, output_shape, strides) -> bool:
    """Whether its gradient is faster pixel by pixel of the kernel."""
    values = max(math.prod(image_shape), math.prod(output_shape))
    is_wide = kernel_shape[2] * kernel_shape[3] >= _BY_PIXELS_FEATURES
    return is_wide and values >= _BY_PIXELS_VALUES and max(strides) == 1


def suits(image_shape, kernel_shape, output_shape, strides) -> bool:
    """Whether the map is large enough to gain by either."""
    return by_pixels(image_shape, kernel_shape, output_shape, strides) or num_parts(image_shape, output_shape) > 1


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def convolve_large_map(image, kernel, strides, padding):
    """image (batch, y, x, in), kernel (ky, kx, in, out); padding ((before, after) of y, of x)."""
    return lax.conv_general_dilated(image, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _forward(image, kernel, strides, padding):
    return convolve_large_map(image, kernel, strides, padding), (image, kernel)


def _backward(strides, padding, residuals, grad):
    image, kernel = residuals
    image, grad = lax.optimization_barrier(image), lax.optimization_barrier(grad)
    plain = functools.partial(convolve_large_map.fun, strides=strides, padding=padding)
    (to_image,) = jax.vjp(lambda image: plain(image, kernel), image)[1](grad)
    if by_pixels(image.shape, kernel.shape, grad.shape, strides):
        return to_image, _gradient_by_pixels(image, kernel, grad, strides, padding)
    # A part is every n-th image: where devices share the batch, each has its share of every part.
    number = num_parts(image.shape, grad.shape)
    images, grads = (x.reshape(-1, number, *x.shape[1:]) for x in (image, grad))
    to_kernel = jnp.zeros(kernel.shape, jnp.float32)
    for i in range(number):
        (part,) = jax.vjp(lambda kernel, i=i: plain(images[:, i], kernel), kernel)[1](grads[:, i])
        to_kernel += part
    return to_image, to_kernel.astype(kernel.dtype)


def _gradient_by_pixels(image, kernel, grad, strides, padding):
    padded = lax.optimization_barrier(jnp.pad(image, ((0, 0), *padding, (0, 0))))
    products = [  # copied apart from each other: XLA would read the image anew, value by value
        lax.dot_general(lax.optimization_barrier(seen), grad, (((0, 1, 2), (0, 1, 2)), ((), ())))
        for seen in taps(padded, kernel.shape[:2], strides, grad.shape[1:3])
    ]
    return jnp.stack(products).reshape(kernel.shape)


convolve_large_map.defvjp(_forward, _backward)
