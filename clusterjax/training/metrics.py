"""Metrics that merge over batches and leave padded examples out."""

import flax.struct
import jax
import jax.numpy as jnp
import optax
from clu import metrics
from jaxtyping import Array, Float

from clusterjax.arrays import Labels, Logits, Valid

Losses = Float[Array, " batch"]
Weights = Float[Array, " class"]


@flax.struct.dataclass
class EpochMetrics(metrics.Collection):
    """Mean cross-entropy (nats) and accuracy over the valid examples."""

    loss: metrics.Average.from_output("loss")
    accuracy: metrics.Average.from_output("correct")


def weighted_mean(losses: Losses, labels: Labels, valid: Valid, class_weights: Weights) -> jax.Array:
    """The mean loss of the valid examples, each weighed by its class, over the sum of weights (as PyTorch's)."""
    weights = class_weights[labels] * valid
    return jnp.sum(weights * losses) / jnp.maximum(jnp.sum(weights), 1e-12)


def example_outputs(logits: Logits, labels: Labels, valid: Valid, label_smoothing: float = 0.0) -> dict:
    """Per-example loss and correctness, with ``mask``: what EpochMetrics is made of."""
    if label_smoothing:
        targets = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1]), label_smoothing)
        loss = optax.softmax_cross_entropy(logits, targets)
    else:
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return {"loss": loss, "correct": (logits.argmax(-1) == labels).astype(loss.dtype), "mask": valid}
