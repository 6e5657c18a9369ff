"""How far a peak stands out of the map it was found in."""

import dataclasses

import numpy as np
from jaxtyping import Float
from scipy import signal

_BLOCK_PIXELS = 128
_MOST_BLOCKS = 64  # a million pixels tell the correlation better than it is constant over a map
_CLIP = 3.0  # in spreads: what stands out further is no noise


@dataclasses.dataclass(frozen=True)
class NullDistribution:
    """What the smoothed log-odds of a map are where nothing is: taken as Gaussian of ``centre`` and ``spread``.

    Both are of the lower half alone: the median, and its distance from the 15.87 % quantile. So neither clusters nor
    the many things that look a little like one are in it, as long as they are few: a fraction f of the map on objects
    raises the centre by about 1.25 f spreads. ``asymmetry`` is the same distance above the median over that below it: 1
    where the upper half is like the lower. Above 1, peaks of the same significance are more often of nothing than a
    Gaussian would have it.

    ``spread`` is 0, and every significance NaN, where the scores of more than a third of the map are at their limit.
    """

    centre: float
    spread: float
    asymmetry: float

    def significance(self, log_odds) -> np.ndarray:
        """(log_odds - centre) / spread: like a S/N, but no false-alarm probability, for a map has many peaks, its
        noise is not Gaussian, and its depth may vary from place to place."""
        above = np.asarray(log_odds, np.float64) - self.centre
        return np.asarray(above / (self.spread if self.spread > 0 else np.nan))


def fit_null(odds: Float[np.ndarray, "ny nx"]) -> NullDistribution:
    """The null distribution of a map of smoothed log-odds, whose NaN are left out."""
    low, centre, high = np.quantile(odds[np.isfinite(odds)], [0.158655, 0.5, 0.841345])
    spread = float(centre - low)
    return NullDistribution(float(centre), spread, float(high - centre) / spread if spread > 0 else np.nan)


def null_autocorrelation(
    odds: Float[np.ndarray, "ny nx"], null: NullDistribution, max_lag: int
) -> Float[np.ndarray, "lag lag"]:
    """The correlation of a map's noise at lags from -``max_lag`` to ``max_lag`` pixels in y and x; 1 at lag 0.

    Measured on the map, whose values are clipped at 3 spreads from the centre; over at most 64 blocks of it, spread
    evenly, so that the memory in use is that of a block.
    """
    side = max(_BLOCK_PIXELS, 4 * max_lag)
    starts = [(y, x) for y in range(0, odds.shape[0], side) for x in range(0, odds.shape[1], side)]
    step = max(len(starts) / _MOST_BLOCKS, 1.0)
    products, pairs = np.zeros((2, 2 * max_lag + 1, 2 * max_lag + 1))
    for index in np.unique(np.arange(0, len(starts), step).astype(int)):
        y, x = starts[index]
        block = odds[y : y + side, x : x + side]
        known = np.isfinite(block).astype(float)
        noise = known * np.clip(np.nan_to_num((block - null.centre) / (null.spread or 1.0)), -_CLIP, _CLIP)
        products += _lagged_products(noise, max_lag)
        pairs += _lagged_products(known, max_lag)
    covariance = np.divide(products, pairs, out=np.zeros_like(products), where=pairs > 0.5)
    variance = covariance[max_lag, max_lag]
    return covariance / variance if variance > 0 else covariance


def _lagged_products(values: np.ndarray, max_lag: int) -> np.ndarray:
    padded = np.pad(values, max_lag)
    return signal.correlate(padded, values, mode="valid", method="fft")
