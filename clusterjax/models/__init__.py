"""Flax nnx networks: arrays in, logits out."""
