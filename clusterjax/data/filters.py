"""Filtered images as further channels: linear filters of all bands together, the same in every direction.

An image is continued beyond its edges by its mirror image. There a symmetric filter multiplies each coefficient of the
cosine transform (DCT-II) by the filter's own transform (Martucci 1994, IEEE Trans. Signal Process. 42, 1038): a few
small matrix products, the same on host and device.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.fft
from jaxtyping import Array, Float

from clusterjax.data.statistics import BandStatistics


@dataclasses.dataclass(frozen=True)
class ImageFilters:
    """Filters by their transforms: ``weight[filter][band]`` at each of ``frequency``, radians a pixel from 0 ascending.

    Beyond the last frequency the weight is 0. ``statistics`` are those of the
    filtered training split, whose ``bands`` name the channels.
    """

    frequency: tuple[float, ...]
    weight: tuple[tuple[tuple[float, ...], ...], ...]
    statistics: BandStatistics

    def __post_init__(self):
        if not len(self.weight) == len(self.statistics.bands) > 0:
            raise ValueError(f"{len(self.weight)} filters, statistics of {len(self.statistics.bands)}")
        if any(len(band) != len(self.frequency) for bands in self.weight for band in bands):
            raise ValueError("a filter's weights must be given at each frequency")

    @property
    def names(self) -> tuple[str, ...]:
        return self.statistics.bands

    def __call__(
        self, images: Float[Array | np.ndarray, "batch y x band"]
    ) -> Float[Array | np.ndarray, "batch y x filter"]:
        """Filtered float32 images; NaN counts as its image's and band's mean. NumPy in, NumPy out; JAX in, JAX out."""
        return filter_images(images, self._grid_weight(images.shape[1:3]))

    @functools.cached_property
    def _grids(self) -> dict[tuple[int, int], np.ndarray]:
        return {}

    def _grid_weight(self, shape: tuple[int, int]) -> Float[np.ndarray, "filter band ky kx"]:
        if shape not in self._grids:
            self._grids[shape] = interpolate_weight(np.array(self.frequency), np.array(self.weight), shape)
        return self._grids[shape]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; :meth:`from_dict` is the inverse."""
        return {"frequency": self.frequency, "weight": self.weight, "statistics": self.statistics.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ImageFilters":
        weight = tuple(tuple(tuple(band) for band in bands) for bands in values["weight"])
        return cls(tuple(values["frequency"]), weight, BandStatistics.from_dict(values["statistics"]))


def interpolate_weight(
    frequency: Float[np.ndarray, " n"], weight: Float[np.ndarray, "filter band n"], shape: tuple[int, int]
) -> Float[np.ndarray, "filter band ky kx"]:
    """The filters' transforms at the modes of the cosine transform of an image of ``shape``."""
    ky, kx = (np.pi / side * np.arange(side) for side in shape)
    k = np.hypot(ky[:, None], kx[None, :])
    grid = np.stack([[np.interp(k, frequency, band, right=0.0) for band in bands] for bands in weight])
    return grid.astype(np.float32)


def filter_images(
    images: Float[Array | np.ndarray, "batch y x band"], weight: Float[np.ndarray, "filter band ky kx"]
) -> Float[Array | np.ndarray, "batch y x filter"]:
    """See :class:`ImageFilters`; ``weight`` as from :func:`interpolate_weight`."""
    xp = images.__array_namespace__()
    images = images.astype(np.float32)
    finite = xp.isfinite(images)
    number = xp.maximum(xp.sum(finite, axis=(1, 2), keepdims=True), 1).astype(np.float32)
    mean = xp.sum(xp.where(finite, images, np.float32(0)), axis=(1, 2), keepdims=True) / number
    modes = xp.where(finite, images - mean, np.float32(0))
    cosines = [_cosines(side) for side in images.shape[1:3]]
    modes = _transform(xp.moveaxis(modes, -1, 1), *cosines)  # planes of contiguous pixels: products of large matrices
    # Sums written out: XLA reduces over an axis of three a hundred times as slowly on CPU.
    filtered = xp.stack([sum(modes[:, i] * band for i, band in enumerate(bands)) for bands in weight], axis=1)
    return xp.moveaxis(_transform(filtered, *(matrix.T for matrix in cosines)), 1, -1)


def _transform(planes, of_y: np.ndarray, of_x: np.ndarray):
    """(batch, plane, y, x), each plane times ``of_y`` from the left and the transposed ``of_x`` from the right."""
    xp = planes.__array_namespace__()
    # Accelerators else multiply in bfloat16 or TF32, three digits: not the host's numbers.
    precision = {} if xp is np else {"precision": "highest"}
    for matrix in (of_x, of_y):
        planes = xp.swapaxes(xp.tensordot(planes, matrix, axes=([-1], [1]), **precision), -1, -2)
    return planes


@functools.lru_cache(maxsize=8)
def _cosines(size: int) -> Float[np.ndarray, "mode pixel"]:
    """The orthonormal DCT-II."""
    return scipy.fft.dct(np.eye(size), axis=0, norm="ortho").astype(np.float32)
