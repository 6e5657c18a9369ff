"""Training: state, step, loop, learning-rate range test, checkpoints, metrics."""
