"""An image's background: the median of each image, or the mean about each pixel."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from clusterjax.errors import InputError


def subtract_local_mean(
    images: Float[Array | np.ndarray, "batch y x band"], side: int
) -> Float[Array | np.ndarray, "batch inner_y inner_x band"]:
    """From each pixel, the mean of the pixels that are not NaN in the ``side`` x ``side`` about it: a high-pass filter.

    Pixels whose square is not whole are left out. Sums of shifted images, so that a pixel comes out the same, bit for
    bit, whatever image it is cut out in. Raises :class:`InputError` for smaller images.
    """
    if min(images.shape[1:3]) < side:
        raise InputError(f"config.data.background_pixels={side} is more than the cutouts' {images.shape[1:3]} pixels")
    xp = images.__array_namespace__()

    def box_sum(values):
        for axis in (1, 2):
            number = values.shape[axis] - side + 1
            along = [values[:, k : k + number] if axis == 1 else values[:, :, k : k + number] for k in range(side)]
            values = sum(along[1:], along[0])
        return values

    invalid = xp.isnan(images)
    total = box_sum(xp.where(invalid, np.float32(0), images))
    number = box_sum((~invalid).astype(np.float32))
    ny, nx = total.shape[1:3]
    middle = images[:, side // 2 : side // 2 + ny, side // 2 : side // 2 + nx]
    return middle - total / xp.maximum(number, np.float32(1))


def image_median(
    images: Float[Array | np.ndarray, "batch y x band"],
) -> Float[Array | np.ndarray, "batch band"]:
    """Median of the pixels that are not NaN, per image and band; 0 where all are NaN.

    The mean of the two middle pixels for an even count, as in NumPy. On JAX no sort (30 times slower on CPU): the
    lower of the two is found bit by bit, by counting, in 32 passes; the upper is then one more pass.
    """
    pixels = images.__array_namespace__().moveaxis(images, -1, 1)
    pixels = pixels.reshape(*pixels.shape[:2], -1)  # contiguous pixels: the counting vectorises
    if not isinstance(images, jax.Array):
        return _median_numpy(pixels)
    return _median_by_sort(pixels) if _sort else _median_by_bits(pixels)


_sort = False


@contextlib.contextmanager
def medians_by_sort():
    """Within it (at trace time), medians are found by a sort: for formats that know no bits and no loops."""
    global _sort
    before, _sort = _sort, True
    try:
        yield
    finally:
        _sort = before


def _median_by_sort(pixels: Float[Array, "batch band pixel"]) -> Float[Array, "batch band"]:
    invalid = jnp.isnan(pixels)
    ordered = jnp.sort(jnp.where(invalid, np.float32(np.inf), pixels), axis=-1)
    num_valid = pixels.shape[-1] - jnp.sum(invalid, axis=-1, dtype=jnp.int32)
    places = jnp.arange(pixels.shape[-1], dtype=jnp.int32)

    def at(place):
        return jnp.sum(jnp.where(places == place[..., None], ordered, np.float32(0)), axis=-1)

    two = jnp.full_like(num_valid, 2)
    median = 0.5 * at(jax.lax.div(num_valid - 1, two)) + 0.5 * at(jax.lax.div(num_valid, two))
    return jnp.where(num_valid > 0, median, np.float32(0))


def _median_numpy(pixels: Float[np.ndarray, "batch band pixel"]) -> Float[np.ndarray, "batch band"]:
    invalid = np.isnan(pixels)
    if not invalid.any():
        return np.median(pixels, axis=-1)
    median = np.zeros(pixels.shape[:2], pixels.dtype)
    for i, j in np.ndindex(*median.shape):
        valid = pixels[i, j][~invalid[i, j]]
        if valid.size:
            median[i, j] = np.median(valid)
    return median


_SIGN_FLIP = np.int32(0x7FFFFFFF)


def _median_by_bits(pixels: Float[Array, "batch band pixel"]) -> Float[Array, "batch band"]:
    # The bits of a float32, read as an integer, are in the order of the floats once negatives are flipped.
    bits = jax.lax.bitcast_convert_type(pixels, jnp.int32)
    bits = jnp.where(bits < 0, bits ^ _SIGN_FLIP, bits)
    invalid = jnp.isnan(pixels)
    bits = jnp.where(invalid, np.int32(2**31 - 1), bits)
    num_valid = pixels.shape[-1] - jnp.sum(invalid, axis=-1, dtype=jnp.int32)
    wanted = (num_valid + 1) // 2  # the lower median is the least value with so many pixels up to it

    def set_bit(i, lower):
        trial = lower + jnp.left_shift(jnp.int32(1), 31 - i)
        num_below = jnp.sum((bits < trial[..., None]).astype(jnp.int32), axis=-1)
        return jnp.where(num_below < wanted, trial, lower)

    lower = jax.lax.fori_loop(0, 32, set_bit, jnp.full(num_valid.shape, -(2**31), jnp.int32))
    at_most = bits <= lower[..., None]
    above = jnp.min(jnp.where(at_most, np.int32(2**31 - 1), bits), axis=-1)
    num_at_most = jnp.sum(at_most.astype(jnp.int32), axis=-1)
    upper = jnp.where((num_valid % 2 == 0) & (num_at_most == wanted), above, lower)

    def to_float(bits):
        return jax.lax.bitcast_convert_type(jnp.where(bits < 0, bits ^ _SIGN_FLIP, bits), jnp.float32)

    median = 0.5 * to_float(lower) + 0.5 * to_float(upper)
    return jnp.where(num_valid > 0, median, np.float32(0))
