"""TFDS builders. They never import jax, and need no TensorFlow."""
