"""The one normalisation: what Grain (NumPy), the train step, evaluation and the scan (JAX) do to an image alike."""

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from clusterjax.config import DataConfig
from clusterjax.data.resize import resize_images
from clusterjax.data.statistics import STRETCHES, BandStatistics, stretch_pixels
from clusterjax.errors import InputError

# Metadata key of statistics fitted after each image's own median was subtracted, where a data set has them;
# simulated cutouts are made with median zero and need only "band_statistics".
MEDIAN_SUBTRACTED_STATISTICS = "band_statistics_median_subtracted"


@dataclasses.dataclass(frozen=True)
class Preprocess:
    """Raw images (batch, y, x, band) in flux units, NaN where invalid -> the network's input.

    Select bands; subtract each image's own median per band; divide by the band's robust scale times ``softening``;
    stretch; standardise to mean 0 and variance 1 on the training split; NaN -> 0; crop; resize. NumPy in, NumPy out;
    JAX in, JAX out (traceable, no sort); both agree to float32 rounding. ``statistics`` are those of all bands of the
    data set, ``band_indices`` the bands used, in the network's order.
    """

    band_indices: tuple[int, ...]
    statistics: BandStatistics
    stretch: str = "asinh"
    softening: float = 1.0
    subtract_median: bool = True
    centre_pixels: int | None = None  # of the images' middle that are kept, a side; None: all
    input_size: int | None = None  # None: as the images are

    def __post_init__(self):
        if self.stretch not in STRETCHES:
            raise InputError(f"stretch={self.stretch!r} is unknown; use one of {STRETCHES}")
        num_bands = len(self.statistics.bands)
        if not self.band_indices or not all(0 <= i < num_bands for i in self.band_indices):
            raise InputError(f"band_indices={self.band_indices} must be some of 0..{num_bands - 1}")

    def __hash__(self):
        return hash(json.dumps(self.to_dict(), sort_keys=True))

    @classmethod
    def from_metadata(cls, config: DataConfig, metadata: Mapping[str, Any]) -> "Preprocess":
        """From the experiment's ``config.data`` and the data set's metadata.

        Raises :class:`InputError` for a band that the data set does not have.
        """
        raw = metadata["band_statistics"]
        if config.subtract_median:
            raw = metadata.get(MEDIAN_SUBTRACTED_STATISTICS) or raw
        statistics = BandStatistics.from_dict(raw)
        return cls(
            band_indices=select_band_indices(statistics.bands, config.bands),
            statistics=statistics,
            stretch=config.stretch,
            softening=config.softening,
            subtract_median=config.subtract_median,
            centre_pixels=config.centre_pixels,
            input_size=config.input_size,
        )

    @property
    def bands(self) -> tuple[str, ...]:
        """As the network sees them; ``statistics.bands`` are those of the images that come in."""
        return tuple(self.statistics.bands[i] for i in self.band_indices)

    def __call__(
        self, images: Float[Array | np.ndarray, "batch y x band"]
    ) -> Float[Array | np.ndarray, "batch input_y input_x input_band"]:
        return self.resize(self.normalise(images))

    def normalise(
        self, images: Float[Array | np.ndarray, "batch y x band"]
    ) -> Float[Array | np.ndarray, "batch y x input_band"]:
        """All but crop and resize: float32 of mean 0 and variance 1, with 0 (an average pixel) where invalid."""
        if images.shape[-1] != len(self.statistics.bands):
            raise InputError(
                f"the image has {images.shape[-1]} bands; the data set has {len(self.statistics.bands)}: "
                f"{', '.join(self.statistics.bands)}"
            )
        xp = images.__array_namespace__()
        if self.band_indices != tuple(range(images.shape[-1])):
            # Slices, not a fancy index: XLA turns a constant gather into slow scalar code.
            images = xp.stack([images[..., i] for i in self.band_indices], axis=-1)
        images = images.astype(np.float32)
        images = xp.where(xp.isfinite(images), images, np.float32(np.nan))
        # Location first: float32 has few digits left for a signal on top of a large background.
        images = images - self._location
        if self.subtract_median:
            images = images - image_median(images)[:, None, None, :]
        images = stretch_pixels(self.stretch, images * self._inverse_scale)
        mean, inverse_std = self._standardise
        images = (images - mean) * inverse_std
        return xp.where(xp.isnan(images), np.float32(0), images)

    def check_pixelwise(self, image_size: int) -> None:
        """Raise :class:`InputError`, with the reason, where an input pixel depends on where its image is cut out.

        Otherwise :meth:`normalise` of a whole map, then cut into images, is what :meth:`__call__` makes of each.
        """
        if self.subtract_median:
            raise InputError(
                "config.data.subtract_median=True subtracts each window's own median; train with it False to share "
                "convolutions between windows"
            )
        if self.input_size not in (None, self.centre_pixels or image_size):
            raise InputError(f"config.data.input_size={self.input_size} resamples each window")

    def resize(
        self, images: Float[Array | np.ndarray, "batch y x band"]
    ) -> Float[Array | np.ndarray, "batch input_y input_x band"]:
        """The middle ``centre_pixels``, by antialiased linear resampling brought to ``input_size``.

        Two small matrix products, the same on host and device.
        """
        if self.centre_pixels is not None:
            images = crop_centre(images, self.centre_pixels)
        if self.input_size is None:
            return images
        return resize_images(images, self.input_size)

    @functools.cached_property
    def _location(self) -> np.ndarray:
        return np.array([self.statistics.location[i] for i in self.band_indices], np.float32)

    @functools.cached_property
    def _inverse_scale(self) -> np.ndarray:
        scale = np.array([self.statistics.scale[i] for i in self.band_indices])
        return (1 / (scale * self.softening)).astype(np.float32)

    @functools.cached_property
    def _standardise(self) -> tuple[np.ndarray, np.ndarray]:
        moments = self.statistics.moments(self.stretch, self.softening)
        mean, std = (np.array([moments[name][i] for i in self.band_indices]) for name in ("mean", "std"))
        return mean.astype(np.float32), (1 / std).astype(np.float32)

    def to_dict(self) -> dict:
        """JSON-able, as written into checkpoints; :meth:`from_dict` is the inverse."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return values | {"statistics": self.statistics.to_dict(), "band_indices": list(self.band_indices)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Preprocess":
        statistics = BandStatistics.from_dict(values["statistics"])
        return cls(**{**values, "statistics": statistics, "band_indices": tuple(values["band_indices"])})


def select_band_indices(available: Sequence[str], wanted: Sequence[str] | None) -> tuple[int, ...]:
    """Indices of ``wanted`` among ``available``; all for None. :class:`InputError` names a band that is not there."""
    if wanted is None:
        return tuple(range(len(available)))
    if not wanted:
        raise InputError(f"config.data.bands is empty; the data set has {', '.join(available)}")
    for band in wanted:
        if band not in available:
            raise InputError(f"config.data.bands has {band!r}; the data set has {', '.join(available)}")
    return tuple(list(available).index(band) for band in wanted)


def crop_centre(
    images: Float[Array | np.ndarray, "batch y x band"], side: int
) -> Float[Array | np.ndarray, "batch crop_y crop_x band"]:
    """The middle ``side`` x ``side`` pixels. Raises :class:`InputError` for smaller images."""
    ny, nx = images.shape[1:3]
    if side > min(ny, nx):
        raise InputError(f"config.data.centre_pixels={side} is more than the cutouts' {ny} x {nx} pixels")
    top, left = (ny - side) // 2, (nx - side) // 2
    return images[:, top : top + side, left : left + side]


def image_median(
    images: Float[Array | np.ndarray, "batch y x band"],
) -> Float[Array | np.ndarray, "batch band"]:
    """Median of the pixels that are not NaN, per image and band; 0 where all are NaN.

    The mean of the two middle pixels for an even count, as in NumPy. On JAX no sort (30 times slower on CPU): the
    lower of the two is found bit by bit, by counting, in 32 passes; the upper is then one more pass.
    """
    pixels = images.__array_namespace__().moveaxis(images, -1, 1)
    pixels = pixels.reshape(*pixels.shape[:2], -1)  # contiguous pixels: the counting vectorises
    return _median_by_bits(pixels) if isinstance(images, jax.Array) else _median_numpy(pixels)


def _median_numpy(pixels: Float[np.ndarray, "batch band pixel"]) -> Float[np.ndarray, "batch band"]:
    invalid = np.isnan(pixels)
    if not invalid.any():
        return np.median(pixels, axis=-1)
    median = np.zeros(pixels.shape[:2], pixels.dtype)
    for i, j in np.ndindex(*median.shape):
        valid = pixels[i, j][~invalid[i, j]]
        if valid.size:
            median[i, j] = np.median(valid)
    return median


_SIGN_FLIP = np.int32(0x7FFFFFFF)


def _median_by_bits(pixels: Float[Array, "batch band pixel"]) -> Float[Array, "batch band"]:
    # The bits of a float32, read as an integer, are in the order of the floats once negatives are flipped.
    bits = jax.lax.bitcast_convert_type(pixels, jnp.int32)
    bits = jnp.where(bits < 0, bits ^ _SIGN_FLIP, bits)
    invalid = jnp.isnan(pixels)
    bits = jnp.where(invalid, np.int32(2**31 - 1), bits)
    num_valid = pixels.shape[-1] - jnp.sum(invalid, axis=-1, dtype=jnp.int32)
    wanted = (num_valid + 1) // 2  # the lower median is the least value with so many pixels up to it

    def set_bit(i, lower):
        trial = lower + jnp.left_shift(jnp.int32(1), 31 - i)
        num_below = jnp.sum((bits < trial[..., None]).astype(jnp.int32), axis=-1)
        return jnp.where(num_below < wanted, trial, lower)

    lower = jax.lax.fori_loop(0, 32, set_bit, jnp.full(num_valid.shape, -(2**31), jnp.int32))
    at_most = bits <= lower[..., None]
    above = jnp.min(jnp.where(at_most, np.int32(2**31 - 1), bits), axis=-1)
    num_at_most = jnp.sum(at_most.astype(jnp.int32), axis=-1)
    upper = jnp.where((num_valid % 2 == 0) & (num_at_most == wanted), above, lower)

    def to_float(bits):
        return jax.lax.bitcast_convert_type(jnp.where(bits < 0, bits ^ _SIGN_FLIP, bits), jnp.float32)

    median = 0.5 * to_float(lower) + 0.5 * to_float(upper)
    return jnp.where(num_valid > 0, median, np.float32(0))
