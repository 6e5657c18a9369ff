"""One affine resample for all augmentation, on the host (NumPy) and on the device (JAX) by the same formulas.

The convention is that of ``scipy.ndimage.affine_transform(image, matrix, offset, order=1, mode="mirror")``: the output
pixel at (y, x) takes the input at ``matrix @ (y, x) + offset``, bilinearly; outside the image it goes on as its mirror
image about the centre of the edge pixel (d c b | a b c d | c b a), which OpenCV and PyTorch call "reflect". NumPy
only at import: Grain worker processes need no JAX.
"""

import numpy as np
from jaxtyping import Float, Int


def affine_matrix(angle_rad, flip_x, flip_y, scale, xp=np):
    """Matrix (..., 2, 2) in (y, x) that takes output to input offsets from the centre. Scalars or arrays (...).

    The content is flipped (``flip_x``: left-right, -1 or 1), magnified by ``scale``, then turned by ``angle_rad``
    from the +x axis towards +y.
    """
    cos, sin = xp.cos(angle_rad) / scale, xp.sin(angle_rad) / scale
    rows = [xp.stack([cos * flip_y, -sin * flip_y], axis=-1), xp.stack([sin * flip_x, cos * flip_x], axis=-1)]
    return xp.stack(rows, axis=-2)


def affine_offset(matrix, shift_pixels, size, xp=np):
    """Offset (..., 2) so that ``matrix`` acts about the centre and the result moves by ``shift_pixels`` (..., 2)."""
    centre = xp.asarray([(size[0] - 1) / 2, (size[1] - 1) / 2], dtype=matrix.dtype)
    moved = centre + shift_pixels
    return centre - (matrix[..., 0] * moved[..., :1] + matrix[..., 1] * moved[..., 1:])


def _mirror(coordinate, size: int, xp):
    """Coordinates reflected about the centres of the edge pixels into [0, size - 1]."""
    period = 2.0 * (size - 1)
    coordinate = xp.abs(coordinate)
    coordinate = coordinate - period * xp.floor(coordinate / period)
    return xp.minimum(coordinate, period - coordinate)


def bilinear_taps(matrix, offset, shape: tuple[int, int], xp=np):
    """Where an affine resample reads: flat index of the upper left of four pixels, and the weights within them.

    Returns (index (y, x) int32, wy (y, x), wx (y, x)); the four pixels are index + 0, 1, nx and nx + 1. Needs at least
    2 pixels a side.
    """
    ny, nx = shape
    y = xp.arange(ny, dtype=matrix.dtype)[:, None]
    x = xp.arange(nx, dtype=matrix.dtype)[None, :]
    source_y = _mirror(matrix[0, 0] * y + matrix[0, 1] * x + offset[0], ny, xp)
    source_x = _mirror(matrix[1, 0] * y + matrix[1, 1] * x + offset[1], nx, xp)
    # The last pixel is read as the far end of the last pair, so that all four pixels always exist.
    upper = xp.minimum(xp.floor(source_y), np.float32(ny - 2))
    left = xp.minimum(xp.floor(source_x), np.float32(nx - 2))
    index = upper.astype(np.int32) * np.int32(nx) + left.astype(np.int32)
    return index, source_y - upper, source_x - left


def resample(
    image: Float[np.ndarray, "y x band"],
    matrix: Float[np.ndarray, "2 2"],
    offset: Float[np.ndarray, "2"],
) -> Float[np.ndarray, "y x band"]:
    """The affine resample of one image on the host."""
    ny, nx, num_bands = image.shape
    index, wy, wx = bilinear_taps(matrix.astype(np.float32), offset.astype(np.float32), (ny, nx))
    flat = image.reshape(ny * nx, num_bands)
    wy, wx = wy[..., None], wx[..., None]

    def pixels(step: int):
        return flat.take(_stepped(index, step), axis=0)

    top = pixels(0) * (1 - wx) + pixels(1) * wx
    bottom = pixels(nx) * (1 - wx) + pixels(nx + 1) * wx
    return top * (1 - wy) + bottom * wy


def _stepped(index: Int[np.ndarray, "y x"], step: int) -> Int[np.ndarray, "y x"]:
    return index + np.int32(step)
