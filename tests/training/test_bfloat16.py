"""Activations in bfloat16 with parameters and statistics in float32 learn as float32 does."""

import jax
import jax.numpy as jnp
import numpy as np

from clusterjax.config import OptimConfig
from clusterjax.training.optim import with_learning_rate


def test_loss_is_that_of_float32(make_setup, make_batches):
    losses = {}
    for dtype in ("float32", "bfloat16"):
        setup = make_setup(optim=OptimConfig(name="sgd"), dtype=dtype, dropout=0.0)
        state, losses[dtype] = setup.state, []
        for batch in make_batches().take(40):
            state, scalars = setup.train_step(with_learning_rate(state, 0.03), batch)
            losses[dtype].append(float(scalars["loss"]))
        assert {leaf.dtype for leaf in jax.tree.leaves((state.params, state.model_state))} == {jnp.dtype("float32")}
    full, half = np.array(losses["float32"]), np.array(losses["bfloat16"])
    assert full[-10:].mean() < 0.6 < full[0]  # it learns
    assert not np.array_equal(full, half)  # it is another arithmetic
    # bfloat16 has 8 bits: 0.4 % a number, less in the mean over a batch.
    np.testing.assert_allclose(half, full, rtol=0.03)
