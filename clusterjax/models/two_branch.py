"""Two surveys in one network: a branch each, whose features are seen together by the head (late fusion).

The bands of the two have pixels of different scales, so no convolution may mix them; the head sees both. After the
two-stream networks of Simonyan & Zisserman (2014, arXiv:1406.2199), here with features in place of scores.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx

from clusterjax.errors import InputError
from clusterjax.models.registry import model_entry, register_model


class TwoBranch(nnx.Module):
    """The first ``first_bands`` bands go through one backbone, the others through another.

    ``branches`` are names of networks, without their heads; ``branch_kwargs`` each one's own options; of each branch's
    bands it sees the middle ``centre_pixels``, or all for None. ``first_bands`` None is half of the bands.
    """

    def __init__(
        self,
        *,
        num_bands: int,
        dtype,
        rngs: nnx.Rngs,
        branches: Sequence[str] = ("baseline", "cnn_mlp"),
        first_bands: int | None = None,
        centre_pixels: Sequence[int | None] = (None, None),
        branch_kwargs: Sequence[Mapping[str, Any]] = ({}, {}),
    ):
        first = num_bands // 2 if first_bands is None else first_bands
        if not 0 < first < num_bands:
            raise InputError(
                f"config.model.kwargs first_bands={first_bands} of {num_bands} bands leaves a branch without any; give "
                "the number of bands of the first survey"
            )
        for name, values in (
            ("branches", branches), ("centre_pixels", centre_pixels), ("branch_kwargs", branch_kwargs)
        ):  # fmt: skip
            if len(values) != 2:
                raise InputError(f"config.model.kwargs {name}={values!r} must be two, one a branch")
        self.first_bands = first
        self.centre_pixels = tuple(centre_pixels)
        parts = []
        for name, bands, kwargs in zip(branches, (first, num_bands - first), branch_kwargs, strict=True):
            entry = model_entry(name)
            parts.append(entry.backbone(num_bands=bands, dtype=dtype, rngs=rngs, **{**entry.kwargs, **kwargs}))
        self.branches = nnx.List(parts)
        self.num_features = sum(part.num_features for part in parts)

    def __call__(self, image, *, rngs: nnx.Rngs | None = None):
        groups = image[..., : self.first_bands], image[..., self.first_bands :]
        features = [
            branch(_middle(group, side), rngs=rngs)
            for branch, group, side in zip(self.branches, groups, self.centre_pixels, strict=True)
        ]
        return jnp.concatenate(features, axis=-1)


def _middle(image, side: int | None):
    if side is None:
        return image
    ny, nx = image.shape[1:3]
    if side > min(ny, nx):
        raise InputError(f"config.model.kwargs centre_pixels={side} is more than the input's {ny} x {nx} pixels")
    top, left = (ny - side) // 2, (nx - side) // 2
    return image[:, top : top + side, left : left + side]


register_model(
    "two_branch",
    TwoBranch,
    first_layer="backbone.branches.0.blocks.0.conv",
    head="mlp",
    head_kwargs={"widths": (512, 128), "dropout": 0.5},
    paper="arXiv:1406.2199 (streams)",
)
