"""The best observer that there can be: the likelihood ratio of a signal's being there, where noise is Gaussian.

By Neyman and Pearson no score separates two classes better. A cutout d of noise of covariance C, with the signal s or
without it, has ln LR = d C^-1 s - s C^-1 s / 2; the signal's shape, place and amplitude are averaged over with their
prior (a mean of likelihoods). C is that of the cutout's own pixels, edges and all, not of a periodic map.
"""

import dataclasses
import itertools

import numpy as np
import scipy.linalg
from jaxtyping import Float

_CHUNK = 256  # images at a time
_LEVEL_VARIANCE = 1e3  # of each image's and band's zero point, which is arbitrary, in the variance of a pixel


@dataclasses.dataclass(frozen=True, eq=False)
class Signals:
    """What may be there: templates of amplitude 1, and for each of them equally many amplitudes with their prior."""

    templates: Float[np.ndarray, "template y x band"]
    amplitude: Float[np.ndarray, "template amplitude"]
    prior: Float[np.ndarray, "template amplitude"]  # sums to 1


@dataclasses.dataclass(frozen=True, eq=False)
class LikelihoodRatio:
    """As built by :func:`make_likelihood_ratio`."""

    weight: Float[np.ndarray, "pixel template"]  # C^-1 s
    information: Float[np.ndarray, " template"]  # s C^-1 s
    signals: Signals

    def __call__(self, images: Float[np.ndarray, "n y x band"]) -> Float[np.ndarray, " n"]:
        """ln of the likelihood ratio of each image, in the templates' units. A constant in a band says nothing."""
        parts = [self._log_ratio(images[start : start + _CHUNK]) for start in range(0, len(images), _CHUNK)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _log_ratio(self, images) -> np.ndarray:
        overlap = images.reshape(len(images), -1).astype(np.float32) @ self.weight
        best = np.full(len(images), -np.inf)
        total = np.zeros(len(images))
        # A column of amplitudes at a time: memory for one of them, and a running sum that cannot overflow.
        for amplitude, prior in zip(self.signals.amplitude.T, self.signals.prior.T, strict=True):
            with np.errstate(divide="ignore"):
                terms = overlap * amplitude + (np.log(prior) - 0.5 * amplitude**2 * self.information)
            highest = np.maximum(best, terms.max(axis=1))
            total = total * np.exp(best - highest) + np.exp(terms - highest[:, None]).sum(axis=1)
            best = highest
        return best + np.log(total)


def make_likelihood_ratio(
    lag_covariance: Float[np.ndarray, "lag_y lag_x band band"], signals: Signals
) -> LikelihoodRatio:
    """For noise of :func:`solve_stationary`'s covariance; a few seconds for 64 x 64 pixels of three bands."""
    solved = solve_stationary(lag_covariance, signals.templates)
    count = len(solved)
    information = np.einsum("tp,tp->t", solved.reshape(count, -1), signals.templates.reshape(count, -1))
    return LikelihoodRatio(np.ascontiguousarray(solved.reshape(count, -1).T, np.float32), information, signals)


def solve_stationary(
    lag_covariance: Float[np.ndarray, "lag_y lag_x band band"], right: Float[np.ndarray, "n y x band"]
) -> Float[np.ndarray, "n y x band"]:
    """C^-1 ``right``, C the covariance of pixels of which ``lag_covariance`` tells that of two by their distance.

    Lags are 0 to the image's side less 1; the covariance is the same for a lag and for its mirror images in y and in x.
    Then C falls into four blocks, of the images that are even or odd in y and in x. Further, a constant in any band is
    given a variance far above all else, so that the solution does not see it. Raises ValueError for an odd side.
    """
    ny, nx, bands = right.shape[1:]
    if ny % 2 or nx % 2:
        raise ValueError(f"images of {ny} x {nx} pixels; both sides must be even")
    solution = np.zeros(right.shape)
    level = _LEVEL_VARIANCE * np.trace(lag_covariance[0, 0])
    for y_sign, x_sign in itertools.product((1, -1), repeat=2):
        block = _block(lag_covariance, ny // 2, nx // 2, y_sign, x_sign)
        if y_sign == x_sign == 1:
            for band in range(bands):
                block[band::bands, band::bands] += level
        part = _fold(_fold(right, 1, y_sign), 2, x_sign)
        # Transposed, which a symmetric matrix does not mind, it is in the order that LAPACK works on in place.
        factor = scipy.linalg.cho_factor(block.T, lower=True, overwrite_a=True, check_finite=False)
        part = scipy.linalg.cho_solve(factor, part.reshape(len(right), -1).T, overwrite_b=True, check_finite=False).T
        part = part.reshape(len(right), ny // 2, nx // 2, bands)
        solution += _unfold(_unfold(part, 2, x_sign), 1, y_sign)
    return solution


def _fold(images, axis: int, sign: int):
    """The half of an axis in the orthonormal basis of what is even (``sign`` 1) or odd (-1) about its middle."""
    low, high = np.split(images, 2, axis=axis)
    return (low + sign * np.flip(high, axis)) / np.sqrt(2)


def _unfold(images, axis: int, sign: int):
    return np.concatenate([images, sign * np.flip(images, axis)], axis=axis) / np.sqrt(2)


def _block(lag_covariance, half_y: int, half_x: int, y_sign: int, x_sign: int) -> Float[np.ndarray, "pixel pixel"]:
    """The covariance between folded pixels, in the order y, x, band."""
    near_y, far_y = _lags(half_y)
    near_x, far_x = _lags(half_x)
    in_y = lag_covariance[near_y] + y_sign * lag_covariance[far_y]  # (y, y', lag_x, band, band')
    block = np.moveaxis(in_y[:, :, near_x] + x_sign * in_y[:, :, far_x], (0, 1, 2, 3, 4, 5), (0, 3, 1, 4, 2, 5))
    side = half_y * half_x * lag_covariance.shape[-1]
    return block.reshape(side, side)


def _lags(half: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances of pixels of the first half, to each other and to each other's mirror image."""
    pixel = np.arange(half)
    return np.abs(pixel[:, None] - pixel), 2 * half - 1 - pixel[:, None] - pixel
