"""The one normalisation: what Grain (NumPy), the train step, evaluation and the scan (JAX) do to an image alike."""

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from clusterjax.config import DataConfig
from clusterjax.data.background import image_median, subtract_local_mean
from clusterjax.data.filters import ImageFilters
from clusterjax.data.resize import resize_images
from clusterjax.data.statistics import STRETCHES, BandStatistics, stretch_pixels
from clusterjax.errors import InputError

# Metadata key of statistics fitted after each image's own median was subtracted, where a data set has them;
# simulated cutouts are made with median zero and need only "band_statistics".
MEDIAN_SUBTRACTED_STATISTICS = "band_statistics_median_subtracted"


@dataclasses.dataclass(frozen=True)
class Preprocess:
    """Raw images (batch, y, x, band) in flux units, NaN where invalid -> the network's input.

    Select bands; subtract each image's own median per band, or from each pixel the mean of the ``background_pixels``
    a side about it, which a border of half as many does not have and loses; append what ``filters`` make of the whole
    image as further channels; divide by each channel's robust scale times ``softening``; stretch; standardise to mean 0
    and variance 1 on the training split; NaN -> 0; crop; resize. NumPy in, NumPy out; JAX in, JAX out (traceable, no
    sort); both agree to float32 rounding. ``statistics`` are those of all bands of the data set, ``band_indices`` the
    bands used, in the network's order.
    """

    band_indices: tuple[int, ...]
    statistics: BandStatistics
    stretch: str = "asinh"
    softening: float = 1.0
    subtract_median: bool = True
    centre_pixels: int | None = None  # of the images' middle that are kept, a side; None: all
    input_size: int | None = None  # None: as the images are
    background_pixels: int | None = None  # None: the median, if ``subtract_median``
    filters: ImageFilters | None = None  # of the bands used, in their order
    # Of each channel, where they differ: in place of ``softening``
    softenings: tuple[float, ...] | None = None

    def __post_init__(self):
        if self.background_pixels is not None and (self.background_pixels < 3 or self.background_pixels % 2 == 0):
            raise InputError(f"config.data.background_pixels={self.background_pixels} must be odd, and 3 or more")
        if self.stretch not in STRETCHES:
            raise InputError(f"stretch={self.stretch!r} is unknown; use one of {STRETCHES}")
        num_bands = len(self.statistics.bands)
        if not self.band_indices or not all(0 <= i < num_bands for i in self.band_indices):
            raise InputError(f"band_indices={self.band_indices} must be some of 0..{num_bands - 1}")
        if self.filters is not None and any(len(bands) != len(self.band_indices) for bands in self.filters.weight):
            raise ValueError(f"the filters are not of {len(self.band_indices)} bands")

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
        used = select_band_indices(statistics.bands, config.bands)
        own = config.band_softening
        select_band_indices(statistics.bands, tuple(own) or None)  # refuses a band that is not there
        return cls(
            band_indices=used,
            softenings=tuple(own.get(statistics.bands[i], config.softening) for i in used) if own else None,
            statistics=statistics,
            stretch=config.stretch,
            softening=config.softening,
            subtract_median=config.subtract_median,
            centre_pixels=config.centre_pixels,
            input_size=config.input_size,
            background_pixels=config.background_pixels,
        )

    @property
    def bands(self) -> tuple[str, ...]:
        """Those used; ``statistics.bands`` are those of the images that come in."""
        return tuple(self.statistics.bands[i] for i in self.band_indices)

    @property
    def channels(self) -> tuple[str, ...]:
        """What the network sees: the bands, then the filtered images."""
        return self.bands + (self.filters.names if self.filters is not None else ())

    def __call__(
        self, images: Float[Array | np.ndarray, "batch y x band"]
    ) -> Float[Array | np.ndarray, "batch input_y input_x channel"]:
        return self.resize(self.normalise(images))

    def normalise(
        self, images: Float[Array | np.ndarray, "batch y x band"]
    ) -> Float[Array | np.ndarray, "batch y2 x2 channel"]:
        """All but crop and resize: float32 of mean 0 and variance 1, with 0 (an average pixel) where invalid.

        With ``background_pixels``, y and x are smaller by that less one.
        """
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
        filtered = None if self.filters is None else self.filters(images)
        if self.background_pixels is not None:
            images = subtract_local_mean(images, self.background_pixels)
        elif self.subtract_median:
            images = images - image_median(images)[:, None, None, :]
        if filtered is not None:
            border = (self.background_pixels or 1) // 2
            filtered = filtered[:, border : border + images.shape[1], border : border + images.shape[2]]
            images = xp.concat([images, filtered - self._filtered_location], axis=-1)
        images = stretch_pixels(self.stretch, images * self._inverse_scale)
        mean, inverse_std = self._standardise
        images = (images - mean) * inverse_std
        return xp.where(xp.isnan(images), np.float32(0), images)

    def margin(self, image_size: int) -> tuple[int, int, int]:
        """Along an axis of an image: pixels that :meth:`normalise` leaves out at each side, then pixels cut off before
        what the network sees, and the pixels that it sees (before any resampling)."""
        border = (self.background_pixels or 1) // 2
        seen = self.centre_pixels or image_size - 2 * border
        return border, (image_size - seen) // 2 - border, seen

    def check_pixelwise(self, image_size: int) -> None:
        """Raise :class:`InputError`, with the reason, where an input pixel depends on where its image is cut out.

        Otherwise :meth:`normalise` of a whole map, then cut into images, is what :meth:`__call__` makes of each.
        """
        if self.filters is not None:
            raise InputError(
                "config.data.matched_filter_arcmin filters each window with its mirror images beyond the edges; train "
                "without, to share convolutions between windows"
            )
        if self.subtract_median and self.background_pixels is None:
            raise InputError(
                "config.data.subtract_median=True subtracts each window's own median; train with it False, or with "
                "config.data.background_pixels, to share convolutions between windows"
            )
        if self.input_size not in (None, self.margin(image_size)[2]):
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
    def _filtered_location(self) -> np.ndarray:
        return np.array(self.filters.statistics.location, np.float32)

    @property
    def _channel_statistics(self) -> tuple[BandStatistics, ...]:
        of_bands = self.statistics.select(self.band_indices)
        return (of_bands,) if self.filters is None else (of_bands, self.filters.statistics)

    @functools.cached_property
    def _inverse_scale(self) -> np.ndarray:
        scale = np.concatenate([statistics.scale for statistics in self._channel_statistics])
        return (1 / (scale * self._softening_of_channels(len(scale)))).astype(np.float32)

    @functools.cached_property
    def _standardise(self) -> tuple[np.ndarray, np.ndarray]:
        alone = [part.select((i,)) for part in self._channel_statistics for i in range(len(part.bands))]
        softening = self._softening_of_channels(len(alone))
        moments = [part.moments(self.stretch, float(own)) for part, own in zip(alone, softening, strict=True)]
        mean, std = (np.concatenate([part[name] for part in moments]) for name in ("mean", "std"))
        return mean.astype(np.float32), (1 / std).astype(np.float32)

    def _softening_of_channels(self, number: int) -> np.ndarray:
        own = np.asarray(self.softenings or (), float)
        return np.concatenate([own, np.full(number - len(own), self.softening)])

    def to_dict(self) -> dict:
        """JSON-able, as written into checkpoints; :meth:`from_dict` is the inverse."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return values | {
            "statistics": self.statistics.to_dict(),
            "band_indices": list(self.band_indices),
            "filters": self.filters and self.filters.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Preprocess":
        filters = values.get("filters")
        read = {
            "statistics": BandStatistics.from_dict(values["statistics"]),
            "band_indices": tuple(values["band_indices"]),
            "filters": filters and ImageFilters.from_dict(filters),
            "softenings": values.get("softenings") and tuple(values["softenings"]),
        }
        return cls(**{**values, **read})


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
