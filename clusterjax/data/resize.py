"""Antialiased linear resampling to another size, by two small matrix products: the same on host and device."""

import functools

import numpy as np
from jaxtyping import Float


@functools.lru_cache(maxsize=16)
def resize_matrix(size: int, new_size: int) -> Float[np.ndarray, "new old"]:
    """Rows of a triangle filter, widened when shrinking (antialias): those of ``jax.image.resize(..., "linear")``."""
    step = size / new_size
    centres = (np.arange(new_size) + 0.5) * step - 0.5
    distance = np.abs(centres[:, None] - np.arange(size)) / max(step, 1.0)
    weights = np.maximum(0.0, 1.0 - distance)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def resize_images(images, size: int):
    """(batch, y, x, band) -> (batch, size, size, band); NumPy in, NumPy out, JAX in, JAX out. No NaN."""
    xp = images.__array_namespace__()
    # Accelerators else multiply in bfloat16 or TF32, three digits: not the host's numbers.
    precision = {} if xp is np else {"precision": "highest"}
    for axis in (1, 2):
        if images.shape[axis] != size:
            matrix = resize_matrix(images.shape[axis], size)
            images = xp.moveaxis(xp.tensordot(images, matrix, axes=([axis], [1]), **precision), -1, axis)
    return images


def resize_picture(image: np.ndarray, size: int) -> np.ndarray:
    """One (y, x, channel) by :func:`resize_images`; pictures of 8 bits stay such."""
    resized = resize_images(image[None].astype(np.float32), size)[0]
    return np.rint(resized).astype(image.dtype) if image.dtype.kind == "u" else resized
