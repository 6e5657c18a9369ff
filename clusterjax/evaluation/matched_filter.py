"""The classical observer of microwave cutouts: the signal-to-noise ratio of a cluster's profile at the centre.

No network. It is what SZ surveys find clusters with, and the ceiling for networks that see the same maps.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from clusterjax.evaluation.logistic import fit_logistic
from clusterjax.odds import logistic

CENTRE_PIXELS = 1.0  # the best S/N within so many pixels of the centre, along each axis
_CHUNK = 256  # images filtered at a time


@dataclasses.dataclass(frozen=True, eq=False)
class MatchedFilterObserver:
    """A fitted observer."""

    matched_filter: Callable[[np.ndarray], np.ndarray]  # images -> S/N at each pixel, as sky.MatchedFilter
    slope: float  # of the logistic that turns the S/N into a score
    intercept: float

    def __call__(self, images: Float[np.ndarray, "n y x band"]) -> Float[np.ndarray, " n"]:
        """Scores in [0, 1] of cutouts in µK; above 0.5 is a cluster. NaN pixels count as the mean."""
        return self.score(self.snr(images))

    def snr(self, images: Float[np.ndarray, "n y x band"]) -> Float[np.ndarray, " n"]:
        """The statistic itself: see :func:`central_snr`."""
        return central_snr(self.matched_filter, images)

    def score(self, snr: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """The score of a signal-to-noise ratio."""
        return logistic(self.slope * snr + self.intercept)

    def columns(self, images: Float[np.ndarray, "n y x band"]) -> dict[str, np.ndarray]:
        """What goes into a table of predictions."""
        snr = self.snr(images)
        return {"snr": snr, "matched_filter": self.score(snr)}


def fit_matched_filter(
    matched_filter: Callable, images: Float[np.ndarray, "n y x band"], label: Int[np.ndarray, " n"]
) -> MatchedFilterObserver:
    """Fit the score's scale on training cutouts with both labels (1: cluster). The filter itself is given."""
    positive = np.asarray(label) == 1
    if positive.all() or not positive.any():
        raise ValueError("the matched filter's score needs training cutouts with and without clusters")
    return MatchedFilterObserver(matched_filter, *fit_logistic(central_snr(matched_filter, images), positive))


def central_snr(
    matched_filter: Callable, images: Float[np.ndarray, "n y x band"], *, within_pixels: float = CENTRE_PIXELS
) -> Float[np.ndarray, " n"]:
    """The greatest signal-to-noise ratio within ``within_pixels`` of each cutout's centre, along each axis."""
    box = tuple(
        np.abs(np.arange(size) - (size - 1) / 2) <= within_pixels + (0.5 if size % 2 == 0 else 0.0)
        for size in images.shape[1:3]
    )
    best = np.empty(len(images))
    for start in range(0, len(images), _CHUNK):
        snr = matched_filter(images[start : start + _CHUNK])
        best[start : start + _CHUNK] = snr[:, box[0]][:, :, box[1]].max(axis=(1, 2))
    return best
