"""Augmentation inside the jitted step: one affine resample an image by an own bilinear gather.

On 2 CPU cores 50 000 to 80 000 cutouts a second of 64x64 pixels and two bands (``benchmarks/augment.py``), twenty times
the host's rate; there are no shapes or branches that depend on values, so it runs as it is on GPU and TPU.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from clusterjax.config import AugmentConfig
from clusterjax.data.affine import affine_matrix, affine_offset, bilinear_taps
from clusterjax.data.preprocess import Preprocess


def make_train_transform(preprocess: Preprocess, config: AugmentConfig) -> Callable:
    """``transform(raw_images, key) -> network input``: shift the background, normalise, augment and resize.

    The augmentation runs at the larger of the two sizes, where its interpolation smooths the noise least: after the
    resize when that enlarges, before it when it shrinks.
    """

    def transform(
        images: Float[Array, "batch y x band"], key: PRNGKeyArray
    ) -> Float[Array, "batch input_y input_x input_band"]:
        if config.background:
            background_key, key = jax.random.split(key)
            level = jax.random.normal(background_key, (images.shape[0], 1, 1, images.shape[3]), images.dtype)
            images = images + level * (config.background * np.asarray(preprocess.statistics.scale, np.float32))
        images = preprocess.normalise(images)
        if preprocess.input_size is not None and preprocess.input_size > images.shape[1]:
            return augment(preprocess.resize(images), key, config)
        return preprocess.resize(augment(images, key, config))

    return transform


def augment(
    images: Float[Array, "batch y x band"], key: PRNGKeyArray, config: AugmentConfig
) -> Float[Array, "batch y x band"]:
    """Each image turned, flipped, scaled and shifted at random, mirrored at the edges; NaN spreads to neighbours.

    The draws depend on ``key`` and on an image's place in the (global) batch alone, not on how many devices share it.
    """
    still = AugmentConfig(rotation_deg=0.0, quarter_turns=False, flip=False, shift_fraction=0.0, scale=1.0)
    if config == dataclasses.replace(still, background=config.background):
        return images
    _, ny, nx, _ = images.shape
    # Else XLA fuses whatever made the images into the gather and computes it anew for each of the four pixels: 9 times
    # slower on CPU after the normalisation.
    images = jax.lax.optimization_barrier(images)
    matrix, offset = random_affine(key, images.shape[0], (ny, nx), config)
    return resample_batch(images, matrix, offset)


def random_affine(
    key: PRNGKeyArray, batch_size: int, size: tuple[int, int], config: AugmentConfig
) -> tuple[Float[Array, "batch 2 2"], Float[Array, "batch 2"]]:
    """Draw (matrix, offset), in scipy's convention, for each image of a batch of ``size`` (ny, nx) pixels."""
    angle_key, flip_key, shift_key, scale_key, turn_key = jax.random.split(key, 5)
    limit = jnp.deg2rad(config.rotation_deg)
    angle = jax.random.uniform(angle_key, (batch_size,), minval=-limit, maxval=limit)
    if config.quarter_turns:
        angle = angle + jnp.pi / 2 * jax.random.randint(turn_key, (batch_size,), 0, 4)
    sign = jnp.where(jax.random.bernoulli(flip_key, 0.5, (batch_size, 2)), 1.0, -1.0)
    flip_x = sign[:, 0] if config.flip else jnp.ones(batch_size)
    flip_y = sign[:, 1] if config.flip and config.rotation_deg >= 180 else jnp.ones(batch_size)
    shift = jax.random.uniform(shift_key, (batch_size, 2), minval=-1.0, maxval=1.0)
    shift = shift * config.shift_fraction * jnp.asarray(size, jnp.float32)
    if config.rotation_deg == 0 and config.scale == 1:
        shift = jnp.round(shift)
    exponent = jax.random.uniform(scale_key, (batch_size,), minval=-1.0, maxval=1.0)
    matrix = affine_matrix(angle, flip_x, flip_y, jnp.float32(config.scale) ** exponent, xp=jnp)
    return matrix, affine_offset(matrix, shift, size, xp=jnp)


def resample_batch(
    images: Float[Array, "batch y x band"],
    matrix: Float[Array, "batch 2 2"],
    offset: Float[Array, "batch 2"],
) -> Float[Array, "batch y x band"]:
    """:func:`clusterjax.data.affine.resample` of each image of a batch."""

    def one(image, matrix, offset):
        ny, nx, num_bands = image.shape
        index, wy, wx = bilinear_taps(matrix, offset, (ny, nx), xp=jnp)
        flat = image.reshape(ny * nx, num_bands)
        wy, wx = wy[..., None], wx[..., None]

        def pixels(step: int):
            return flat.at[index + step].get(mode="promise_in_bounds")

        top = pixels(0) * (1 - wx) + pixels(1) * wx
        bottom = pixels(nx) * (1 - wx) + pixels(nx + 1) * wx
        return top * (1 - wy) + bottom * wy

    return jax.vmap(one)(images, matrix, offset)
