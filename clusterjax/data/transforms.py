"""Grain transforms of single records on the host: frozen dataclasses, each record with a random generator of its own.

They hold the same formulas as the device (:mod:`clusterjax.data.preprocess`, :mod:`clusterjax.data.affine`), so moving
the augmentation from host to device changes speed, not meaning.
"""

import dataclasses
from typing import Any

import grain
import numpy as np
from jaxtyping import Float

from clusterjax.config import AugmentConfig
from clusterjax.data.affine import affine_matrix, affine_offset, resample
from clusterjax.data.preprocess import Preprocess
from clusterjax.data.resize import resize_images
from clusterjax.errors import InputError

Record = dict[str, Any]


def _with_image(record: Record, image: np.ndarray) -> Record:
    return {**record, "image": image}


@dataclasses.dataclass(frozen=True)
class SelectBands(grain.transforms.Map):
    """Keep some bands, in the order of ``indices``."""

    indices: tuple[int, ...]

    def map(self, element: Record) -> Record:
        num_bands = element["image"].shape[-1]
        if not all(0 <= index < num_bands for index in self.indices):
            raise InputError(f"band indices {self.indices} asked for, the image has {num_bands} bands")
        return _with_image(element, element["image"][..., list(self.indices)])


@dataclasses.dataclass(frozen=True)
class Resize(grain.transforms.Map):
    """Antialiased linear resampling to ``size`` pixels a side."""

    size: int

    def map(self, element: Record) -> Record:
        return _with_image(element, resize_images(element["image"][None], self.size)[0])


@dataclasses.dataclass(frozen=True)
class Normalise(grain.transforms.Map):
    """Bands selected, median subtracted, stretched, standardised, NaN -> 0: :meth:`Preprocess.normalise`."""

    preprocess: Preprocess

    def map(self, element: Record) -> Record:
        return _with_image(element, self.preprocess.normalise(element["image"][None])[0])


@dataclasses.dataclass(frozen=True)
class RandomAffine(grain.transforms.RandomMap):
    """Rotation, flips, reflect-padded shift and scale, drawn anew for each record, in one resample.

    Rotation is uniform in +-``rotation_deg``; ``flip_x`` mirrors left-right and ``flip_y`` up-down, each for half of
    the records; the shift is uniform in +-``shift_fraction`` of the size in y and x, in whole pixels where nothing else
    interpolates; the scale log-uniform in [1/``scale``, ``scale``]; ``quarter_turns`` adds 0, 90, 180 or 270 degrees.
    """

    rotation_deg: float = 0.0
    flip_x: bool = False
    flip_y: bool = False
    shift_fraction: float = 0.0
    scale: float = 1.0
    quarter_turns: bool = False

    @classmethod
    def from_config(cls, config: AugmentConfig) -> "RandomAffine":
        any_angle = config.rotation_deg >= 180
        return cls(
            rotation_deg=config.rotation_deg,
            flip_x=config.flip,
            flip_y=config.flip and any_angle,
            shift_fraction=config.shift_fraction,
            scale=config.scale,
            quarter_turns=config.quarter_turns,
        )

    def draw(
        self, rng: np.random.Generator, size: tuple[int, int]
    ) -> tuple[Float[np.ndarray, "2 2"], Float[np.ndarray, "2"]]:
        """(matrix, offset) in scipy's convention for an image of ``size`` (ny, nx); seven draws, in one order."""
        angle, sign_x, sign_y, shift_y, shift_x, exponent, turn = rng.uniform(-1.0, 1.0, 7)
        quarters = int(2 * (turn + 1)) if self.quarter_turns else 0
        matrix = affine_matrix(
            np.deg2rad(self.rotation_deg * angle) + np.pi / 2 * quarters,
            -1.0 if self.flip_x and sign_x < 0 else 1.0,
            -1.0 if self.flip_y and sign_y < 0 else 1.0,
            self.scale**exponent,
        )
        shift = self.shift_fraction * np.array([shift_y * size[0], shift_x * size[1]])
        if self.rotation_deg == 0 and self.scale == 1:
            shift = np.round(shift)
        return matrix, affine_offset(matrix, shift, size)

    def random_map(self, element: Record, rng: np.random.Generator) -> Record:
        image = element["image"]
        matrix, offset = self.draw(rng, image.shape[:2])
        return _with_image(element, resample(image, matrix, offset))


def RandomRotation(max_deg: float) -> RandomAffine:  # noqa: N802 - reads as the transform that it makes
    """Rotation about the centre, uniform in +-``max_deg``; 180 is any angle."""
    return RandomAffine(rotation_deg=max_deg)


def RandomFlip(vertical: bool = False) -> RandomAffine:  # noqa: N802
    """Left-right for half of the records; with ``vertical`` up-down too, independently."""
    return RandomAffine(flip_x=True, flip_y=vertical)


def RandomShift(max_fraction: float) -> RandomAffine:  # noqa: N802
    """Shift in y and x, uniform in +-``max_fraction`` of the size, the gap filled by reflection."""
    return RandomAffine(shift_fraction=max_fraction)


def RandomScale(max_scale: float) -> RandomAffine:  # noqa: N802
    """Magnification about the centre, log-uniform in [1/``max_scale``, ``max_scale``]."""
    return RandomAffine(scale=max_scale)


@dataclasses.dataclass(frozen=True)
class TrainTransform(grain.transforms.RandomMap):
    """Raw record -> augmented network input: what the train step otherwise does on the device, in the same order.

    The augmentation runs at the larger of the two sizes, as in
    :func:`clusterjax.data.device_augment.make_train_transform`.
    """

    preprocess: Preprocess
    affine: RandomAffine
    background: float = 0.0  # standard deviation of a constant added to each band, in its robust scale

    def random_map(self, element: Record, rng: np.random.Generator) -> Record:
        if self.background:
            scale = np.asarray(self.preprocess.statistics.scale, np.float32)
            level = rng.standard_normal(len(scale), np.float32) * (self.background * scale)
            element = _with_image(element, element["image"] + level)
        element = Normalise(self.preprocess).map(element)
        size = self.preprocess.input_size
        if size is not None and size > element["image"].shape[0]:
            return self.affine.random_map(self._resize(element), rng)
        return self._resize(self.affine.random_map(element, rng))

    def _resize(self, element: Record) -> Record:
        return _with_image(element, self.preprocess.resize(element["image"][None])[0])
