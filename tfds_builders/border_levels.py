"""The level at a cutout's border: what the check for leaks sees of the sky around an object."""

import numpy as np


def border_levels(images: np.ndarray) -> np.ndarray:
    """(cutout, band): median of the outermost pixels, where an object in the middle counts least; NaN for none."""
    border = np.concatenate([images[:, 0], images[:, -1], images[:, 1:-1, 0], images[:, 1:-1, -1]], axis=1)
    border = np.sort(border, axis=1)  # NaN last
    count = np.isfinite(border).sum(axis=1, keepdims=True)
    # Of none, rank 0 is NaN; of one, ranks 0 and 0.
    lower, upper = np.maximum(count - 1, 0) // 2, count // 2
    return np.mean([np.take_along_axis(border, rank, axis=1)[:, 0] for rank in (lower, upper)], axis=0)
