"""Layers that flax does not have, with PyTorch's conventions where the reference systems used them."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

# He et al. 2015: keeps the variance through ReLU layers.
he_normal = nnx.initializers.variance_scaling(2.0, "fan_in", "truncated_normal")


def conv(num_in: int, num_out: int, size: int, *, stride: int = 1, padding: int = 0, bias: bool = True, dtype, rngs):
    """A square convolution with explicit zero padding, as PyTorch's ``Conv2d`` of the same arguments."""
    return nnx.Conv(
        num_in,
        num_out,
        (size, size),
        strides=(stride, stride),
        padding=[(padding, padding)] * 2,
        use_bias=bias,
        kernel_init=he_normal,
        dtype=dtype,
        rngs=rngs,
    )


def dense(num_in: int, num_out: int, *, kernel_init: Callable = he_normal, dtype, rngs) -> nnx.Linear:
    return nnx.Linear(num_in, num_out, kernel_init=kernel_init, dtype=dtype, rngs=rngs)


def batch_norm(num_features: int, *, dtype, rngs) -> nnx.BatchNorm:
    """PyTorch's ``BatchNorm2d``: eps 1e-5, and its momentum 0.1 is 0.9 in flax's meaning."""
    return nnx.BatchNorm(num_features, momentum=0.9, epsilon=1e-5, dtype=dtype, rngs=rngs)


def max_pool(x: Float[Array, "batch y x feature"], size: int, stride: int) -> Float[Array, "batch y2 x2 feature"]:
    """Without padding; the last rows that fill no window are dropped, as in PyTorch."""
    return nnx.max_pool(x, (size, size), strides=(stride, stride), padding="VALID")


def _bin_weights(num_in: int, num_out: int) -> np.ndarray:
    """(num_out, num_in): row i averages inputs floor(i n/m) to ceil((i+1) n/m), PyTorch's adaptive bins."""
    weights = np.zeros((num_out, num_in), np.float32)
    for i in range(num_out):
        first, last = i * num_in // num_out, -(-(i + 1) * num_in // num_out)
        weights[i, first:last] = 1 / (last - first)
    return weights


def adaptive_average_pool(
    x: Float[Array, "batch y x feature"], num_y: int, num_x: int
) -> Float[Array, "batch num_y num_x feature"]:
    """PyTorch's ``AdaptiveAvgPool2d((num_y, num_x))``; repeats values where the input is smaller."""
    if x.shape[1:3] == (num_y, num_x):
        return x
    along_y = jnp.asarray(_bin_weights(x.shape[1], num_y), x.dtype)
    along_x = jnp.asarray(_bin_weights(x.shape[2], num_x), x.dtype)
    return jnp.einsum("iy,byxf,jx->bijf", along_y, x, along_x)


def global_average_pool(x: Float[Array, "batch y x feature"]) -> Float[Array, "batch feature"]:
    return jnp.mean(x, axis=(1, 2))


class ConvNormReLU(nnx.Module):
    """Convolution 3x3 (padding 1), batch normalisation, ReLU."""

    def __init__(self, num_in: int, num_out: int, *, dtype, rngs: nnx.Rngs):
        self.conv = conv(num_in, num_out, 3, padding=1, dtype=dtype, rngs=rngs)
        self.norm = batch_norm(num_out, dtype=dtype, rngs=rngs)

    def __call__(self, x):
        return jax.nn.relu(self.norm(self.conv(x)))


relu = jax.nn.relu
max_pool_2x2 = partial(max_pool, size=2, stride=2)
