"""One pass over a split: mean loss and accuracy, and every example's scores."""

from collections.abc import Callable, Iterable

import jax
import numpy as np
from jax.sharding import Mesh

from clusterjax.parallel import gather_batches, put, replicated, to_global
from clusterjax.training.metrics import EpochMetrics
from clusterjax.training.state import TrainState

STEP_FIELDS = ("image", "label", "valid")  # of a batch: what the compiled steps read


def evaluate(
    eval_step: Callable, state: TrainState, batches: Iterable[dict[str, np.ndarray]], mesh: Mesh
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Returns ({'loss', 'accuracy'}, columns): the batches' fields but the images, without padding, plus ``scores``.

    ``scores`` has shape (example, class). ``batches`` are this host's, the columns those of all hosts.
    """
    # On the mesh from the start: the step's own results are, and another placement would be another program.
    metrics = put(EpochMetrics.empty(), replicated(mesh))
    columns, scores = [], []
    for batch in batches:
        metrics, batch_scores = eval_step(
            state.params,
            state.model_state,
            metrics,
            to_global({name: batch[name] for name in STEP_FIELDS}, mesh),
        )
        columns.append({name: values for name, values in batch.items() if name != "image"})
        scores.append(batch_scores)
    result = {name: float(value) for name, value in metrics.compute().items()}
    scores = [np.asarray(part) for part in jax.device_get(scores)]
    merged = {name: np.concatenate([part[name] for part in columns]) for name in columns[0]}
    merged = gather_batches(merged, len(columns[0]["valid"]), mesh)
    merged["scores"] = np.concatenate(scores)
    keep = merged.pop("valid")
    return result, {name: values[keep] for name, values in merged.items()}
