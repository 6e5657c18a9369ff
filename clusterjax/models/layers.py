"""Layers with PyTorch's conventions, which the reference systems used: explicit padding, its epsilons and momenta."""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

from clusterjax.errors import InputError
from clusterjax.models import kernels, sliding

# He et al. 2015: keeps the variance through ReLU layers.
he_normal = nnx.initializers.variance_scaling(2.0, "fan_in", "truncated_normal")

relu = jax.nn.relu
relu6 = jax.nn.relu6
silu = jax.nn.silu


def conv(
    num_in: int,
    num_out: int,
    size: int | tuple[int, int],
    *,
    stride: int = 1,
    padding: int | str | Sequence[tuple[int, int]] = 0,
    num_groups: int = 1,
    bias: bool = True,
    dtype,
    rngs: nnx.Rngs,
) -> nnx.Conv:
    """A convolution with explicit zero padding, as PyTorch's ``Conv2d`` of the same arguments.

    ``size`` is (y, x) or one for both; ``padding`` one number for all sides, ((before, after) of y, of x), or
    "SAME" for TensorFlow's, which pads strided convolutions more at the end; "VALID" is none.
    """
    if isinstance(padding, int):
        padding = [(padding, padding)] * 2
    elif not isinstance(padding, str):
        padding = [tuple(pair) for pair in padding]
    return nnx.Conv(
        num_in,
        num_out,
        (size, size) if isinstance(size, int) else size,
        strides=(stride, stride),
        padding=padding,
        feature_group_count=num_groups,
        use_bias=bias,
        kernel_init=he_normal,
        conv_general_dilated=sliding.convolve,
        dtype=dtype,
        rngs=rngs,
    )


def _without_bias(conv: nnx.Conv, x):
    """What a :func:`conv` gives, but for its bias."""
    x, kernel = conv.promote_dtype((x, conv.kernel[...]), dtype=conv.dtype)
    return conv.conv_general_dilated(
        x,
        kernel,
        conv.strides,
        conv.padding,
        dimension_numbers=lax.conv_dimension_numbers(x.shape, kernel.shape, ("NHWC", "HWIO", "NHWC")),
        feature_group_count=conv.feature_group_count,
    )


def dense(num_in: int, num_out: int, *, kernel_init: Callable = he_normal, dtype, rngs: nnx.Rngs) -> nnx.Linear:
    return nnx.Linear(num_in, num_out, kernel_init=kernel_init, dot_general=kernels.dot_general, dtype=dtype, rngs=rngs)


def batch_statistics(x: Float[Array, "*batch feature"]) -> tuple[Float[Array, " feature"], Float[Array, " feature"]]:
    """(mean, variance) of each feature over all other axes, in float32, as flax computes them."""
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    others = tuple(range(x.ndim - 1))
    mean, of_squares = jnp.mean(x, axis=others), jnp.mean(x**2, axis=others)
    return mean, jnp.maximum(of_squares - mean**2, 0)


class BatchNorm(nnx.BatchNorm):
    """flax's, with fewer passes over the pixels: a scale and a shift for each feature, and nothing else to keep.

    What :func:`batch_statistics` gave of ``x`` is not computed again when ``statistics`` hands it over. ``bias`` is one
    that ``x`` lacks: it would move the batch's mean, and nothing else, so that the running mean alone gets it. Its
    gradient in training is 0, as it is of a bias that is added (but for rounding).
    """

    def __call__(self, x, statistics: tuple[Array, Array] | None = None, *, bias: Array | None = None):
        if self.use_running_average:
            mean, variance = self.mean[...], self.var[...]
            mean = mean if bias is None else mean - bias
        else:
            mean, variance = batch_statistics(x) if statistics is None else statistics
            with_bias = mean if bias is None else mean + bias
            for running, of_batch in ((self.mean, with_bias), (self.var, variance)):
                running[...] = jax.lax.stop_gradient(self.momentum * running[...] + (1 - self.momentum) * of_batch)
        scale = jax.lax.rsqrt(variance + self.epsilon) * self.scale[...]
        shift = self.bias[...] - mean * scale
        return (x * scale + shift).astype(self.dtype)


def batch_norm(num_features: int, *, epsilon: float = 1e-5, dtype, rngs: nnx.Rngs) -> BatchNorm:
    """PyTorch's ``BatchNorm2d``: its momentum 0.1 is 0.9 in flax's meaning."""
    return BatchNorm(num_features, momentum=0.9, epsilon=epsilon, dtype=dtype, rngs=rngs)


def max_pool(
    x: Float[Array, "batch y x feature"], size: int, stride: int, padding: int | str = 0
) -> Float[Array, "batch2 y2 x2 feature"]:
    """Padding is with -infinity: a number for all sides, or "SAME" for TensorFlow's; without it the last rows that fill
    no window are dropped, as in PyTorch.

    The batch is another in a dense evaluation alone (:mod:`clusterjax.models.sliding`), of all layers that stride.
    """
    around = padding if isinstance(padding, str) else ((padding, padding),) * 2
    x = sliding.before_layer(x, stride, around)
    return kernels.max_pool(x, size, stride, around)


def average_pool(
    x: Float[Array, "batch y x feature"], size: int, stride: int, padding: int = 0
) -> Float[Array, "batch2 y2 x2 feature"]:
    """Zeros of the padding count, as in PyTorch's ``avg_pool2d``."""
    around = ((padding, padding),) * 2
    x = sliding.before_layer(x, stride, around)
    return nnx.avg_pool(x, (size, size), strides=(stride, stride), padding=around)


max_pool_2x2 = partial(max_pool, size=2, stride=2)


def _bin_weights(num_in: int, num_out: int) -> np.ndarray:
    """(num_out, num_in): row i averages inputs floor(i n/m) to ceil((i+1) n/m), PyTorch's adaptive bins."""
    weights = np.zeros((num_out, num_in), np.float32)
    for i in range(num_out):
        first, last = i * num_in // num_out, -(-(i + 1) * num_in // num_out)
        weights[i, first:last] = 1 / (last - first)
    return weights


def adaptive_average_pool(
    x: Float[Array, "batch y x feature"], num_y: int, num_x: int
) -> Float[Array, "batch2 num_y num_x feature"]:
    """PyTorch's ``AdaptiveAvgPool2d((num_y, num_x))``; repeats values where the input is smaller."""
    windows = sliding.pool_windows(x, partial(_bin_weights, num_out=num_y), partial(_bin_weights, num_out=num_x))
    if windows is not None:
        return windows
    if x.shape[1:3] == (num_y, num_x):
        return x
    along_y = jnp.asarray(_bin_weights(x.shape[1], num_y), x.dtype)
    along_x = jnp.asarray(_bin_weights(x.shape[2], num_x), x.dtype)
    return jnp.einsum("iy,byxf,jx->bijf", along_y, x, along_x)


def global_average_pool(x: Float[Array, "batch y x feature"]) -> Float[Array, "batch2 feature"]:
    windows = sliding.pool_windows(x, *(partial(_bin_weights, num_out=1),) * 2)
    return jnp.mean(x, axis=(1, 2)) if windows is None else windows[:, 0, 0]


def flatten(x: Float[Array, "batch y x feature"]) -> Float[Array, "batch flat"]:
    """In the order (y, x, feature); PyTorch's is (feature, y, x)."""
    return x.reshape(x.shape[0], -1)


def check_padding(padding: str | None) -> None:
    """Raise InputError for what a family without TensorFlow's weights does not take."""
    if padding not in (None, "VALID"):
        raise InputError(
            f"config.model.kwargs padding={padding!r} is unknown; use None (PyTorch's zero padding) or 'VALID' (none)"
        )


def smallest_input(steps: Sequence[tuple[int, int]]) -> int:
    """Pixels a side that leave one pixel after convolutions and poolings, each (size, stride), without padding."""
    pixels = 1
    for size, stride in reversed(steps):
        pixels = (pixels - 1) * stride + size
    return pixels


def check_input_size(image: Float[Array, "batch y x band"], least: int, what: str) -> None:
    """Raise InputError for an image of less than ``least`` pixels a side."""
    if min(image.shape[1:3]) < least:
        raise InputError(f"{what} needs {least} px or more; got {min(image.shape[1:3])}")


class ConvNorm(nnx.Module):
    """Convolution without bias where a normalisation follows, batch normalisation, activation.

    ``padding`` None keeps the size of an odd kernel at stride 1, PyTorch's ``k // 2``, "VALID" is none; ``norm`` False
    leaves the normalisation out and gives the convolution a bias; ``bias`` True gives it one all the same.
    """

    def __init__(
        self,
        num_in: int,
        num_out: int,
        size: int | tuple[int, int] = 3,
        *,
        stride: int = 1,
        padding: str | Sequence[tuple[int, int]] | None = None,
        num_groups: int = 1,
        norm: bool = True,
        bias: bool = False,
        epsilon: float = 1e-5,
        activation: Callable | None = relu,
        dtype,
        rngs: nnx.Rngs,
    ):
        if padding is None:
            padding = [(k // 2, k // 2) for k in ((size, size) if isinstance(size, int) else size)]
        self.conv = conv(
            num_in,
            num_out,
            size,
            stride=stride,
            padding=padding,
            num_groups=num_groups,
            bias=bias or not norm,
            dtype=dtype,
            rngs=rngs,
        )
        self.norm = batch_norm(num_out, epsilon=epsilon, dtype=dtype, rngs=rngs) if norm else None
        self.has_idle_bias = norm and bias
        self.activation = activation

    def __call__(self, x):
        if self.has_idle_bias and not self.norm.use_running_average:  # two passes over all pixels less, of training's
            x = self.norm(_without_bias(self.conv, x), bias=self.conv.bias[...])
        else:
            x = self.conv(x)
            x = x if self.norm is None else self.norm(x)
        return x if self.activation is None else self.activation(x)


class SqueezeExcite(nnx.Module):
    """Scales each feature by a gate that sees the mean of all (Hu et al. 2018, arXiv:1709.01507)."""

    def __init__(self, num_features: int, num_squeezed: int, *, activation: Callable = silu, dtype, rngs: nnx.Rngs):
        self.reduce = dense(num_features, num_squeezed, dtype=dtype, rngs=rngs)
        self.expand = dense(num_squeezed, num_features, dtype=dtype, rngs=rngs)
        self.activation = activation

    def __call__(self, x):
        gate = self.expand(self.activation(self.reduce(global_average_pool(x))))
        return x * jax.nn.sigmoid(gate)[:, None, None, :]


class StochasticDepth(nnx.Module):
    """Drops a residual branch whole, example by example, in training (Huang et al. 2016, arXiv:1603.09382)."""

    def __init__(self, rate: float):
        self.dropout = nnx.Dropout(rate)

    def __call__(self, branch, *, rngs: nnx.Rngs | None = None):
        one_each = jnp.ones((branch.shape[0],) + (1,) * (branch.ndim - 1), branch.dtype)
        return branch * self.dropout(one_each, rngs=rngs)


def apply_block(block, x, *, remat: bool, rngs: nnx.Rngs | None = None):
    """``block(x, rngs=rngs)``; with ``remat`` its activations are computed again in the backward pass, not kept."""
    if not remat or sliding.is_running():
        return block(x, rngs=rngs)
    return nnx.remat(lambda block, x, rngs: block(x, rngs=rngs))(block, x, rngs)
