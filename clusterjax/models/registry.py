"""Name -> network: a backbone under a head. A family registers its networks where it defines them."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import nnx

from clusterjax.errors import InputError
from clusterjax.models.heads import HEADS


@dataclasses.dataclass(frozen=True)
class ModelEntry:
    """What a name stands for.

    ``backbone`` is called with (num_bands=, dtype=, rngs=, **kwargs) and gives a module with ``num_features`` that maps
    images (batch, y, x, band), and ``rngs=``, to features (batch, feature).
    """

    name: str
    backbone: Callable[..., nnx.Module]
    kwargs: dict[str, Any]
    head: str
    head_kwargs: dict[str, Any]
    input_size: int  # pixels a side in the paper
    paper: str
    # Published weights: "library:model" -> pairs (pattern of their module's name, our module's name); see pretrained.py
    names: dict[str, tuple[tuple[str, str], ...]]
    flattened: tuple[int, int, int] | None  # (feature, y, x) of the maps that are flattened for the head, if they are
    first_layer: str  # path of the layer that sees the bands


_MODELS: dict[str, ModelEntry] = {}


def register_model(
    name: str,
    backbone: Callable[..., nnx.Module],
    *,
    head: str = "linear",
    head_kwargs: dict[str, Any] | None = None,
    input_size: int = 224,
    paper: str,
    names: dict[str, tuple[tuple[str, str], ...]] | None = None,
    flattened: tuple[int, int, int] | None = None,
    first_layer: str = "backbone.stem.conv",
    **kwargs,
) -> None:
    """``kwargs`` go to the backbone; a caller's own come over them."""
    if name in _MODELS:
        raise ValueError(f"model {name!r} is registered twice")
    _MODELS[name] = ModelEntry(
        name,
        backbone,
        kwargs,
        head,
        dict(head_kwargs or {}),
        input_size,
        paper,
        dict(names or {}),
        flattened,
        first_layer,
    )


def model_names() -> list[str]:
    return sorted(_MODELS)


def model_entry(name: str) -> ModelEntry:
    if name not in _MODELS:
        raise InputError(f"config.model.name={name!r} is unknown; use one of {', '.join(model_names())}")
    return _MODELS[name]


class Classifier(nnx.Module):
    """A backbone under a head: images (batch, y, x, band) to logits (batch, class)."""

    def __init__(self, backbone: nnx.Module, head: nnx.Module):
        self.backbone = backbone
        self.head = head

    def __call__(self, image, *, rngs: nnx.Rngs | None = None):
        return self.head(self.backbone(image, rngs=rngs), rngs=rngs)


def create_model(
    name: str,
    *,
    num_bands: int,
    num_classes: int,
    dtype,
    rngs: nnx.Rngs,
    head: str | None = None,
    head_kwargs: dict[str, Any] | None = None,
    **kwargs,
) -> Classifier:
    """Build a network that maps images (batch, y, x, band) to logits (batch, class).

    ``dtype`` is that of the activations (parameters and statistics stay float32); ``kwargs`` are the backbone's own.
    ``head`` is the name of any head, None for the model's own, whose options ``head_kwargs`` change one by one.
    Raises InputError for an unknown name, head or keyword.
    """
    head_name, head_kwargs = check_model(name, head=head, head_kwargs=head_kwargs, **kwargs)
    entry = model_entry(name)
    dtype = jnp.dtype(dtype)
    backbone = entry.backbone(num_bands=num_bands, dtype=dtype, rngs=rngs, **{**entry.kwargs, **kwargs})
    return Classifier(
        backbone, HEADS[head_name](backbone.num_features, num_classes, dtype=dtype, rngs=rngs, **head_kwargs)
    )


def check_model(
    name: str, *, head: str | None = None, head_kwargs: dict[str, Any] | None = None, **kwargs
) -> tuple[str, dict[str, Any]]:
    """(name of the head, its options) that :func:`create_model` would build with; raises InputError as it does."""
    entry = model_entry(name)
    head_name = entry.head if head is None else head
    if head_name not in HEADS:
        raise InputError(f"config.model.head={head_name!r} is unknown; use one of {', '.join(sorted(HEADS))}")
    own = entry.head_kwargs if head_name == entry.head else {}
    head_kwargs = {**own, **(head_kwargs or {})}
    _check_keywords(entry.backbone, kwargs, name, "config.model.kwargs", {"head_kwargs"})
    _check_keywords(HEADS[head_name], head_kwargs, f"the {head_name} head", "config.model.kwargs.head_kwargs")
    return head_name, head_kwargs


def _check_keywords(builder: Callable, kwargs: dict[str, Any], what: str, where: str, also: set[str] = frozenset()):
    # nnx's metaclass hides the signature of the class itself.
    signature = inspect.signature(builder.__init__ if inspect.isclass(builder) else builder)
    given_by_us = {"self", "num_bands", "num_features", "num_classes", "dtype", "rngs"}
    known = (set(signature.parameters) - given_by_us) | also
    unknown = sorted(set(kwargs) - known)
    if unknown:
        raise InputError(f"{where} has {unknown}, which {what} does not take; use {sorted(known)}")
