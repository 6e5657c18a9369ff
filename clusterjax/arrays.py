"""Aliases for the shapes that cross module borders, in jaxtyping's notation."""

from typing import Any

import jax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

Images = Float[Array, "batch y x band"]
Logits = Float[Array, "batch class"]
Labels = Int[Array, " batch"]
Valid = Bool[Array, " batch"]
Key = PRNGKeyArray
PyTree = Any
Batch = dict[str, jax.Array]
