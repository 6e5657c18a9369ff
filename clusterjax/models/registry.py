"""Name -> network. A family registers its networks where it defines them."""

import inspect
from collections.abc import Callable

import jax.numpy as jnp
from flax import nnx

from clusterjax.errors import InputError

_MODELS: dict[str, Callable[..., nnx.Module]] = {}


def register_model(name: str):
    """Decorate a class or function ``(*, num_bands, num_classes, dtype, rngs, **kwargs) -> nnx.Module``."""

    def register(builder):
        if name in _MODELS:
            raise ValueError(f"model {name!r} is registered twice")
        _MODELS[name] = builder
        return builder

    return register


def model_names() -> list[str]:
    return sorted(_MODELS)


def create_model(name: str, *, num_bands: int, num_classes: int, dtype, rngs: nnx.Rngs, **kwargs) -> nnx.Module:
    """Build a network that maps images (batch, y, x, band) to logits (batch, class).

    ``dtype`` is that of the activations (parameters stay float32); ``kwargs`` are the network's own and are checked
    against its signature. Raises InputError for an unknown name or keyword.
    """
    if name not in _MODELS:
        raise InputError(f"config.model.name={name!r} is unknown; use one of {', '.join(model_names())}")
    builder = _MODELS[name]
    # nnx's metaclass hides the signature of the class itself.
    signature = inspect.signature(builder.__init__ if inspect.isclass(builder) else builder)
    own = set(signature.parameters) - {"self", "num_bands", "num_classes", "dtype", "rngs"}
    unknown = sorted(set(kwargs) - own)
    if unknown:
        raise InputError(f"config.model.kwargs has {unknown}, which {name} does not take; use {sorted(own)}")
    return builder(num_bands=num_bands, num_classes=num_classes, dtype=jnp.dtype(dtype), rngs=rngs, **kwargs)
