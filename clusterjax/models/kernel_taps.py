"""What a kernel, or each pixel of it, sees of an image."""

import jax.numpy as jnp
from jax import lax


def taps(padded, kernel_size, strides, num):
    """For each pixel of the kernel in turn, what it sees at all output pixels: (batch, *num, feature)."""
    for i in range(kernel_size[0]):
        for j in range(kernel_size[1]):
            stop = (i + strides[0] * (num[0] - 1) + 1, j + strides[1] * (num[1] - 1) + 1)
            yield lax.slice(
                padded, (0, i, j, 0), (padded.shape[0], *stop, padded.shape[3]), (1, strides[0], strides[1], 1)
            )


def pixels_seen(image, kernel_size, strides, padding):
    """For each output pixel all that the kernel sees, in its order: (batch, *num, ky * kx * feature)."""
    num = [
        (n + sum(pad) - k) // stride + 1
        for n, pad, k, stride in zip(image.shape[1:3], padding, kernel_size, strides, strict=True)
    ]
    padded = jnp.pad(image, ((0, 0), *padding, (0, 0)))
    return jnp.concatenate(list(taps(padded, kernel_size, strides, num)), axis=-1)


def blocks(image, size):
    """Blocks of (y, x) pixels that do not overlap, each as one pixel: (batch, y // size, x // size, size y * size x *
    feature). Pixels that fill none are left out."""
    batch, *shape, features = image.shape
    ny, nx = (n // k for n, k in zip(shape, size, strict=True))
    image = image[:, : ny * size[0], : nx * size[1]].reshape(batch, ny, size[0], nx, size[1], features)
    return image.swapaxes(2, 3).reshape(batch, ny, nx, size[0] * size[1] * features)
