"""Fitting converted weights to a network: its number of bands, its head, its image size."""

import jax.numpy as jnp
import numpy as np

from clusterjax.errors import InputError
from clusterjax.models.registry import ModelEntry
from clusterjax.models.vit import resize_position

BAND_RULES = ("mean", "first")


def adapt_bands(kernel: np.ndarray, num_bands: int, rule: str = "mean") -> np.ndarray:
    """A first layer's kernel (y, x, band, feature) for another number of bands.

    "mean": each band gets the mean over the old bands, times old/new, so that an image whose bands are all alike gives
    the response that its grey original gave. "first": the first of the old bands, as the reference system takes them
    (with fewer bands the response falls), repeated from the first on where there are more.
    """
    old = kernel.shape[2]
    if rule == "mean":
        return np.repeat(kernel.mean(axis=2, keepdims=True) * (old / num_bands), num_bands, axis=2)
    if rule == "first":
        return kernel[:, :, np.arange(num_bands) % old]
    raise InputError(f"config.model.pretrained_bands={rule!r} is unknown; use one of {', '.join(BAND_RULES)}")


def start_from(
    weights: dict[str, np.ndarray],
    expected: dict[str, tuple[int, ...]],
    entry: ModelEntry,
    *,
    bands: str = "mean",
    keep_head: bool = False,
) -> dict[str, np.ndarray]:
    """The part of ``weights`` that a network with ``expected`` shapes begins with, fitted to it.

    Without ``keep_head`` the head is left out, and stays as it was initialised. Raises InputError, by name, for what is
    missing, mis-shaped or has no place.
    """

    def wanted(name: str) -> bool:
        return keep_head or not name.startswith("head.")

    fitted = {}
    for name, shape in expected.items():
        if not wanted(name):
            continue
        if name not in weights:
            raise InputError(f"the pretrained weights have no {name}, which model {entry.name} as configured needs")
        value = np.asarray(weights[name])
        if name == f"{entry.first_layer}.kernel" and value.shape[2] != shape[2]:
            value = adapt_bands(value, shape[2], bands)
        elif name == "backbone.position" and value.shape != shape:
            side = round((shape[1] - 1) ** 0.5)
            value = np.asarray(resize_position(jnp.asarray(value), (side, side)))
        if value.shape != shape:
            hint = "; set config.model.pretrained_head=False" if name.startswith("head.") else ""
            raise InputError(f"the pretrained {name} has shape {value.shape}; the network needs {shape}{hint}")
        fitted[name] = value
    unused = [name for name in weights if wanted(name) and name not in expected]
    if unused:
        raise InputError(
            f"the pretrained weights hold {unused[0]}, for which model {entry.name} as configured has no place"
        )
    return fitted
