"""Lists the networks: ``python -m clusterjax.models [NAME ...]``.

Parameters and operations are of 3 bands and 1000 classes at the paper's input size, under the network's own head; a
multiplication and an addition are two operations.
"""

import sys

import jax
import jax.numpy as jnp
from flax import nnx

from clusterjax.errors import InputError
from clusterjax.models import create_model, model_names
from clusterjax.models.operations import count_cost
from clusterjax.models.registry import model_entry


def describe(name: str) -> dict:
    """{"parameters", "operations", "input_size", "head", "paper"} of a network."""
    entry = model_entry(name)
    model = nnx.eval_shape(lambda: create_model(name, num_bands=3, num_classes=1000, dtype="float32", rngs=nnx.Rngs(0)))
    graphdef, params, rest = nnx.split(model, nnx.Param, ...)

    def call(params, rest, image):
        merged = nnx.merge(graphdef, params, rest, copy=True)
        merged.eval()
        return merged(image)

    image = jax.ShapeDtypeStruct((1, entry.input_size, entry.input_size, 3), jnp.float32)
    return {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
        "operations": count_cost(call, params, rest, image).operations,
        "input_size": entry.input_size,
        "head": entry.head,
        "paper": entry.paper,
    }


def main(names: list[str]) -> None:
    print(f"{'network':24s} {'parameters':>12s} {'GFLOP':>8s} {'px':>4s}  {'head':8s}paper")
    for name in names or model_names():
        about = describe(name)
        print(
            f"{name:24s} {about['parameters']:12,d} {about['operations'] / 1e9:8.2f} {about['input_size']:4d}  "
            f"{about['head']:8s}{about['paper']}",
            flush=True,
        )


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except InputError as error:
        sys.exit(f"error: {error}")
