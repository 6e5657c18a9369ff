"""What in an image a network's answer rests on: activation maps, Grad-CAM and integrated gradients.

All explain the log-odds of one class, ``logit[target] - logsumexp(the other logits)``: unlike a logit by itself it
means something (adding a constant to all logits changes nothing), and unlike a score it does not saturate. Functions
of arrays, built once for a network and compiled; the images are the network's input, after the normalisation.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from clusterjax.arrays import Images, Logits, PyTree
from clusterjax.training.layers_within import MapLayer, tapped_forward
from clusterjax.training.state import forward


class Attributions(NamedTuple):
    """``attributions`` (batch, y, x, band) of every input pixel, and the log-odds of the images and of the baseline.

    The sum of an image's attributions is the difference of the two, but for the error of the sum along the path.
    """

    attributions: Array
    log_odds: Array
    baseline_log_odds: Array

    @property
    def errors(self) -> np.ndarray:
        """(batch,) by how much the sums miss the differences."""
        sums = np.asarray(self.attributions).sum(axis=(1, 2, 3))
        return sums - np.asarray(self.log_odds) + np.asarray(self.baseline_log_odds)


def log_odds(logits: Logits, target: Int[Array, " batch"]) -> Float[Array, " batch"]:
    """ln(p / (1 - p)) of the class ``target`` of each example, p its softmax probability."""
    chosen = jax.nn.one_hot(target, logits.shape[1], dtype=bool)
    others = jnp.where(chosen, -jnp.inf, logits)
    return jnp.sum(jnp.where(chosen, logits, 0), axis=1) - jax.nn.logsumexp(others, axis=1)


def make_activation_maps(
    graphdef: nnx.GraphDef, layers: Sequence[MapLayer]
) -> Callable[[PyTree, PyTree, Images], dict[str, Array]]:
    """Build ``(params, model_state, images) -> {name of a layer: (batch, y, x, feature) of its output}``, float32."""

    @jax.jit
    def activation_maps(params, model_state, images):
        seen = {}

        def keep(layer):
            def see(output):
                seen[layer.name] = layer.as_map(output).astype(jnp.float32)
                return output

            return see

        tapped_forward(graphdef, params, model_state, images, {layer.name: keep(layer) for layer in layers})
        return seen

    return activation_maps


def make_grad_cam(
    graphdef: nnx.GraphDef, layer: MapLayer
) -> Callable[[PyTree, PyTree, Images, Int[Array, " batch"]], Float[Array, "batch y x"]]:
    """Build ``(params, model_state, images, target) -> maps`` on the pixels of ``layer``, 0 or above.

    Selvaraju et al. 2017 (arXiv:1610.02391), equations 1 and 2: the layer's features, each weighted by its gradient's
    mean over the map, summed; what speaks against the class is cut off.
    """

    @jax.jit
    def grad_cam(params, model_state, images, target):
        def evidence(added):
            seen = []

            def add(output):
                seen.append(output)
                return output + added.astype(output.dtype)

            logits = tapped_forward(graphdef, params, model_state, images, {layer.name: add})
            return log_odds(logits, target).sum(), seen[-1]

        nothing = jnp.zeros((images.shape[0], *layer.output_shape), jnp.float32)
        gradient, output = jax.grad(evidence, has_aux=True)(nothing)
        weights = layer.as_map(gradient).mean(axis=(1, 2))
        return jax.nn.relu(jnp.einsum("byxf,bf->byx", layer.as_map(output).astype(jnp.float32), weights))

    return grad_cam


def make_integrated_gradients(
    graphdef: nnx.GraphDef, *, num_steps: int
) -> Callable[[PyTree, PyTree, Images, Float[Array, "y x band"], Int[Array, " batch"]], Attributions]:
    """Build ``(params, model_state, images, baseline, target) -> Attributions``.

    Sundararajan et al. 2017 (arXiv:1703.01365), equation 1: the gradient's mean along the straight path from the
    ``baseline`` to the image, times their difference; by Gauss and Legendre's rule with ``num_steps`` nodes. Memory is
    that of one gradient of the batch.
    """
    nodes, weights = np.polynomial.legendre.leggauss(num_steps)

    def evidence(params, model_state, images, target):
        return log_odds(forward(graphdef, params, model_state, images)[0], target)

    @jax.jit
    def gradient_at(params, model_state, images, baseline, target, node):
        place = baseline + node * (images - baseline)
        return jax.grad(lambda x: evidence(params, model_state, x, target).sum())(place)

    log_odds_of = jax.jit(evidence)

    def integrated_gradients(params, model_state, images, baseline, target):
        # No lax.scan: within its loop XLA's convolutions on a CPU take ten times as long.
        mean_gradient = 0.0
        for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
            gradient = gradient_at(params, model_state, images, baseline, target, np.float32(node))
            mean_gradient = mean_gradient + np.float32(weight) * gradient
        start = jnp.broadcast_to(baseline, images.shape)
        return Attributions(
            (images - baseline) * mean_gradient,
            log_odds_of(params, model_state, images, target),
            log_odds_of(params, model_state, start, target),
        )

    return integrated_gradients


def in_batches(function: Callable[..., PyTree], *arrays: np.ndarray, batch_size: int) -> PyTree:
    """``function(*arrays)`` by batches along the first axis, its results joined, as NumPy arrays.

    The last batch is filled up with its last entry, so that one compiled program serves all.
    """
    num, parts = len(arrays[0]), []
    for start in range(0, num, batch_size):
        chosen = np.minimum(np.arange(start, start + batch_size), num - 1)
        part = jax.device_get(function(*(array[chosen] for array in arrays)))
        parts.append(jax.tree.map(lambda values: np.asarray(values)[: num - start], part))  # noqa: B023
    return jax.tree.map(lambda *values: np.concatenate(values), *parts)
