"""Weights and images from nothing but a name and a shape, alike under every NumPy: no weights need to be stored.

Only NumPy is imported: ``make_references.py`` uses this where PyTorch is, the tests where JAX is.
"""

import zlib

import numpy as np


def uniform(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """In [-1, 1), float64, from the raw bits of PCG64, whose stream is fixed."""
    raw = np.random.PCG64(zlib.crc32(name.encode())).random_raw(int(np.prod(shape)))
    return ((raw >> np.uint64(11)) * 2.0**-52 - 1).reshape(shape)


def weight(name: str, shape: tuple[int, ...], gain: float) -> np.ndarray:
    """A PyTorch entry of that name; ``gain`` is the mean weight of the normalisations.

    Variances are small (running ones, and those of a transformer's first tokens), so that a wrong epsilon shows.
    """
    leaf = name.rsplit(".", 1)[-1]
    value = uniform(name, shape)
    if leaf == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if leaf == "running_var":
        value = 0.03 + 0.02 * value
    elif leaf in ("class_token", "cls_token", "pos_embedding", "pos_embed"):
        value = 0.03 * value
    elif len(shape) > 1:
        scale = 0.05 if name.startswith(("conv_proj", "patch_embed")) else 1.0
        value = scale * value * np.sqrt(6 / np.prod(shape[1:]))
    elif leaf == "weight":
        value = gain * (1 + 0.5 * value)
    else:
        value = 0.1 * value
    return value.astype(np.float32)


def image(size: int, num_bands: int, num: int = 2) -> np.ndarray:
    """(num, y, x, band), not square-symmetric in any way."""
    return uniform(f"image {size} {num_bands}", (num, size, size, num_bands)).astype(np.float32)


def photographs(images) -> np.ndarray:
    """The middle 224 px of photographs of 8 bits, as EfficientNet-Lite0 takes them."""
    middles = [image[(len(image) - 224) // 2 :, (image.shape[1] - 224) // 2 :][:224, :224] for image in images]
    return ((np.stack(middles).astype(np.float32) - 127) / 128).astype(np.float32)
