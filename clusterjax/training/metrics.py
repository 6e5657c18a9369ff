"""Metrics that merge over batches and leave padded examples out."""

import flax.struct
import jax
import optax
from clu import metrics

from clusterjax.arrays import Labels, Logits, Valid


@flax.struct.dataclass
class EpochMetrics(metrics.Collection):
    """Mean cross-entropy (nats) and accuracy over the valid examples."""

    loss: metrics.Average.from_output("loss")
    accuracy: metrics.Average.from_output("correct")


def example_outputs(logits: Logits, labels: Labels, valid: Valid, label_smoothing: float = 0.0) -> dict:
    """Per-example loss and correctness, with ``mask``: what EpochMetrics is made of."""
    if label_smoothing:
        targets = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1]), label_smoothing)
        loss = optax.softmax_cross_entropy(logits, targets)
    else:
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return {"loss": loss, "correct": (logits.argmax(-1) == labels).astype(loss.dtype), "mask": valid}
