"""Pixels of a training split, from which its band statistics are fitted."""

import numpy as np

from clusterjax.data.statistics import fit_band_statistics

_STATISTICS_PIXELS = 4_000_000  # a band, of the training split


class PixelSample:
    """Pixels of the training split for its statistics: of all images, or evenly spaced ones where there are many."""

    def __init__(self, num_images: int, size: int):
        num_kept = min(num_images, max(_STATISTICS_PIXELS // size**2, 64))
        self._every = -(-num_images // num_kept)
        # Beyond 64 large images, each gives only evenly spaced pixels.
        self._step = max(1, round(num_kept * size**2 / _STATISTICS_PIXELS))
        self._seen = 0
        self._raw: list[np.ndarray] = []
        self._subtracted: list[np.ndarray] = []

    def add(self, image: np.ndarray) -> None:
        if self._seen % self._every == 0:
            pixels = image.reshape(-1, image.shape[-1])
            valid = np.isfinite(pixels).any(axis=0)
            median = np.zeros(image.shape[-1], np.float32)
            median[valid] = np.nanmedian(pixels[:, valid], axis=0)
            self._raw.append(pixels[:: self._step])
            self._subtracted.append(pixels[:: self._step] - median)
        self._seen += 1

    def statistics(self, bands: tuple[str, ...]) -> dict[str, dict]:
        """For pixels as stored, and after each image's own median is subtracted (``config.data.subtract_median``)."""
        return {
            "band_statistics": fit_band_statistics(np.concatenate(self._raw), bands).to_dict(),
            "band_statistics_median_subtracted": fit_band_statistics(np.concatenate(self._subtracted), bands).to_dict(),
        }
