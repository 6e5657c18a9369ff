"""A convolution on a large map, on a CPU: its gradient by the kernel is that of a few images at a time."""

import functools
import math

import jax
import jax.numpy as jnp
from jax import lax

# Values of the image, and of the output, that one product of Eigen's takes: 4 MB, which caches hold. With more it falls
# off a cliff. Measured at batch 32, whole and in parts, in processor time on a busy machine: 64 x 64 pixels, 64 -> 64
# features 425 and 171 ms; 32 x 32, 128 -> 128 577 and 149 ms, 64 -> 128 318 and 73 ms.
_PART_VALUES = 2**20


def num_parts(image_shape, output_shape) -> int:
    """The least number of equal parts of the batch that are small enough; 1 where it is."""
    batch, values = image_shape[0], max(math.prod(image_shape), math.prod(output_shape))
    return next((n for n in range(1, batch) if batch % n == 0 and values <= n * _PART_VALUES), max(batch, 1))


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
    # A part is every n-th image: where devices share the batch, each has its share of every part.
    number = num_parts(image.shape, grad.shape)
    images, grads = (x.reshape(-1, number, *x.shape[1:]) for x in (image, grad))
    to_kernel = jnp.zeros(kernel.shape, jnp.float32)
    for i in range(number):
        (part,) = jax.vjp(lambda kernel, i=i: plain(images[:, i], kernel), kernel)[1](grads[:, i])
        to_kernel += part
    return to_image, to_kernel.astype(kernel.dtype)


convolve_large_map.defvjp(_forward, _backward)
