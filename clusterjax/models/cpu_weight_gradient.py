"""A convolution on a large map, on a CPU: its gradient by the kernel, by each row of it or a few images at a time.

Tap (i, j) of a kernel's gradient is the sum over all outputs (y, x) of ``image[y + i, x + j] grad[y, x]``, or, with
q = x + j, of ``image[y + i, q] grad[y, q - j]``: the rows of the kernel shift the image, its columns the gradient. So
one product of matrices for each row of the kernel, (in, pixels) with (pixels, columns x out), has all of its columns,
and an output is copied only once for each column instead of once for each tap.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax import lax

# Values of the image, and of the output, that one product of Eigen's takes: 4 MB, which caches hold. With more it falls
# off a cliff. Measured at batch 32, whole and in parts, in processor time on a busy machine: 64 x 64 pixels, 64 -> 64
# features 425 and 171 ms; 32 x 32, 128 -> 128 577 and 149 ms, 64 -> 128 318 and 73 ms.
_PART_VALUES = 2**20

# By rows of the kernel it is faster for so many values of the output, or so many pairs of features, but not with a few
# bands. Measured, GFLOP/s by Eigen (in parts where these pay) and by rows, two cores, 3x3: batch 32, 64 x 64 pixels,
# 32 -> 32 features 55 and 119; 32 x 32, 64 -> 64 82 and 160, 16 -> 32 69 and 85; 16 x 16, 128 -> 128 90 and 214,
# 128 -> 32 178 and 114; 8 x 8, 512 -> 512 217 and 310, 64 -> 128 208 and 156; batch 8, 8 x 8, 256 -> 256 180 and 256;
# batch 4, 224 x 224, 64 -> 64 49 and 116.
_ROWS_OUTPUT_VALUES = 2**19
_ROWS_FEATURES = 256 * 256
_ROWS_MIN_FEATURES = 16

# Values of the image, and of the shifted outputs, in a part of the product by rows: 6 MB. Of twice and half as many
# most shapes take as long, 64 x 64 pixels at twice as many half as long again.
_ROWS_PART_VALUES = 3 * 2**19


def num_parts(image_shape, output_shape) -> int:
    """The least number of equal parts of the batch that are small enough for Eigen; 1 where it is."""
    values = max(math.prod(image_shape), math.prod(output_shape))
    return _divide_batch(image_shape[0], values, _PART_VALUES)


def by_rows(image_shape, kernel_shape, output_shape, strides) -> bool:
    """Whether its gradient is faster by rows of the kernel."""
    _, _, num_in, num_out = kernel_shape
    is_large = math.prod(output_shape) >= _ROWS_OUTPUT_VALUES or num_in * num_out >= _ROWS_FEATURES
    return is_large and num_in >= _ROWS_MIN_FEATURES and max(strides) == 1


def suits(image_shape, kernel_shape, output_shape, strides) -> bool:
    """Whether there is anything to gain over the gradient as XLA computes it."""
    return by_rows(image_shape, kernel_shape, output_shape, strides) or num_parts(image_shape, output_shape) > 1


def _divide_batch(batch: int, values: int, most: int) -> int:
    return next((n for n in range(1, batch) if batch % n == 0 and values <= n * most), max(batch, 1))


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
    if by_rows(image.shape, kernel.shape, grad.shape, strides):
        return to_image, _gradient_by_rows(image, grad, kernel.shape, padding).astype(kernel.dtype)
    number = num_parts(image.shape, grad.shape)
    images, grads = _every_nth(image, number), _every_nth(grad, number)
    to_kernel = jnp.zeros(kernel.shape, jnp.float32)
    for i in range(number):
        (part,) = jax.vjp(lambda kernel, i=i: plain(images[:, i], kernel), kernel)[1](grads[:, i])
        to_kernel += part
    return to_image, to_kernel.astype(kernel.dtype)


def _every_nth(batch, number):
    """(images, part, ...). Where devices share the batch, each has its share of every part."""
    return batch.reshape(-1, number, *batch.shape[1:])


def _gradient_by_rows(image, grad, kernel_shape, padding):
    size_y, size_x, num_in, num_out = kernel_shape
    (top, bottom), (left, _) = padding
    batch, height, width = grad.shape[:3]
    values_of_row = batch * image.shape[2] * max(size_x * num_out, num_in)
    num_batches = _divide_batch(batch, height * values_of_row, _ROWS_PART_VALUES)
    num_strips = max(1, -(-height * values_of_row // (num_batches * _ROWS_PART_VALUES)))  # where an image is large
    rows = -(-height // num_strips)
    below = num_strips * rows - height
    dtype = jnp.promote_types(grad.dtype, jnp.float32)
    images = _every_nth(_pad(image, 1, top, bottom + below) if num_strips > 1 else image, num_batches)
    grads = _every_nth(_pad(grad, 1, 0, below), num_batches)

    def add_part(i, total):
        part, row = i // num_strips, i % num_strips * rows
        seen = lax.dynamic_index_in_dim(images, part, 1, keepdims=False)
        if num_strips > 1:
            seen = lax.dynamic_slice_in_dim(seen, row, rows + size_y - 1, 1)
        else:  # only now: to pad all images first is to copy them once more
            seen = _pad(seen, 1, top, bottom)
        of = lax.dynamic_slice_in_dim(lax.dynamic_index_in_dim(grads, part, 1, keepdims=False), row, rows, 1)
        of = _pad(of, 2, size_x - 1 - left, image.shape[2] + left - width)
        shifted = [of[:, :, j : j + image.shape[2]] for j in reversed(range(size_x))]
        shifted = lax.optimization_barrier(jnp.concatenate(shifted, -1))
        over = (((0, 1, 2), (0, 1, 2)), ((), ()))
        of_rows = [  # copied apart from each other: XLA would read the image anew, value by value
            lax.dot_general(lax.optimization_barrier(row_seen), shifted, over, preferred_element_type=dtype)
            for row_seen in (seen[:, k : k + rows] for k in range(size_y))
        ]
        return total + jnp.stack(of_rows)

    total = jnp.zeros((size_y, num_in, size_x * num_out), dtype)
    total = lax.fori_loop(0, num_batches * num_strips, add_part, total)
    return total.reshape(size_y, num_in, size_x, num_out).swapaxes(1, 2)


def _pad(x, axis, before, after):
    """With zeros; a negative number cuts."""
    amounts = [(0, 0, 0)] * x.ndim
    amounts[axis] = (before, after, 0)
    return lax.pad(x, jnp.zeros((), x.dtype), amounts)


convolve_large_map.defvjp(_forward, _backward)
