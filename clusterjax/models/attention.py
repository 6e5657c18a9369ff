"""Attention of all tokens to all, by the platform.

XLA writes the map of weights (batch, head, token, token) to memory in float32 and reads it back several times: a third
of the training step of ViT-B/16 on an H200. On NVIDIA's GPUs, in bfloat16, cuDNN's fused kernel never does (Dao et al.
2022, arXiv:2205.14135). It takes tokens by eights; ``pad_tokens`` adds what is missing, and they are masked.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from clusterjax.models import kernels

_TOKENS = 8


def pad_tokens(x: Float[Array, "batch token feature"]) -> Float[Array, "batch token2 feature"]:
    """With zeros to as many tokens as :func:`attend` takes; as it is where that does not matter."""
    missing = -x.shape[1] % _TOKENS if kernels.has_fused_attention(x.dtype) else 0
    return jnp.pad(x, ((0, 0), (0, missing), (0, 0))) if missing else x


def attend(
    query: Float[Array, "batch token head feature"],
    key: Float[Array, "batch token head feature"],
    value: Float[Array, "batch token head feature"],
    *,
    num_tokens: int,
) -> Float[Array, "batch token head feature"]:
    """softmax(query · key / √features) · value over the first ``num_tokens``; what the others get means nothing."""
    lengths, fused = None, kernels.has_fused_attention(query.dtype) and query.shape[-1] % 8 == 0
    if num_tokens < query.shape[1]:
        lengths = jnp.full(len(query), num_tokens, jnp.int32)
    return jax.nn.dot_product_attention(
        query, key, value, key_value_seq_lengths=lengths, implementation="cudnn" if fused else "xla"
    )
