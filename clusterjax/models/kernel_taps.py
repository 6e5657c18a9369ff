"""What each pixel of a kernel sees of an image."""

from jax import lax


def taps(padded, kernel_size, strides, num):
    """For each pixel of the kernel in turn, what it sees at all output pixels: (batch, *num, feature)."""
    for i in range(kernel_size[0]):
        for j in range(kernel_size[1]):
            stop = (i + strides[0] * (num[0] - 1) + 1, j + strides[1] * (num[1] - 1) + 1)
            yield lax.slice(
                padded, (0, i, j, 0), (padded.shape[0], *stop, padded.shape[3]), (1, strides[0], strides[1], 1)
            )
