"""Flax nnx networks: images (batch, y, x, band) in, logits (batch, class) out."""

from clusterjax.models import (  # noqa: F401  (each registers its networks)
    alexnet,
    baseline,
    densenet,
    efficientnet,
    inception,
    kosiba,
    mobilenet,
    resnet,
    two_branch,
    vgg,
    vit,
)
from clusterjax.models.registry import check_model, create_model, model_names

__all__ = ["check_model", "create_model", "model_names"]
