"""A network whose every parameter and statistic counts, and whose outputs are of order one."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from clusterjax.models import create_model


def make_random_network(name, *, num_bands=2, seed=0, **kwargs):
    """Kernels that keep the variance, biases and normalisations that change it, none the same; nothing is compiled."""
    model = nnx.eval_shape(
        lambda: create_model(name, num_bands=num_bands, num_classes=2, dtype="float32", rngs=nnx.Rngs(0), **kwargs)
    )
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return np.zeros(leaf.shape, leaf.dtype)
        if leaf.ndim > 1:
            return (rng.normal(size=leaf.shape) * np.sqrt(2 / np.prod(leaf.shape[:-1]))).astype(np.float32)
        if "'var'" in str(path) or "'scale'" in str(path):
            return rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
        return rng.normal(0, 0.3, leaf.shape).astype(np.float32)

    nnx.update(model, jax.tree_util.tree_map_with_path(draw, nnx.state(model)))
    model.eval()
    return model
