"""Two observers of the same objects made one, from their scores alone: late (score) fusion."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from clusterjax.evaluation.aperture_count import ApertureCount, fit_aperture_count
from clusterjax.evaluation.logistic import fit_logistic_of_several
from clusterjax.evaluation.matched_filter import MatchedFilterObserver, fit_matched_filter
from clusterjax.odds import log_odds, logistic

METHODS = ("stacked", "product_of_odds")


@dataclasses.dataclass(frozen=True, eq=False)
class Stacking:
    """The log-odds of the fused score are linear in each observer's."""

    slopes: Float[np.ndarray, " k"]
    intercept: float

    def __call__(self, statistics: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
        """Fused scores in [0, 1]."""
        return logistic(statistics @ self.slopes + self.intercept)


def fit_stacking(statistics: Float[np.ndarray, "n k"], positive: Bool[np.ndarray, " n"]) -> Stacking:
    """Logistic stacking (Wolpert 1992): maximum likelihood on draws that none of the observers was fitted on."""
    return Stacking(*fit_logistic_of_several(statistics, positive))


def product_of_odds(num_observers: int, positive_share: float) -> Stacking:
    """Nothing is fitted: the odds multiply, as those of observers do whose errors are independent in either class.

    Each observer's odds hold the prior odds once, of which the product may hold but one.
    """
    prior = np.log(positive_share / (1 - positive_share))
    return Stacking(np.ones(num_observers), float(-(num_observers - 1) * prior))


def fuse_scores(
    method: str,
    scores: Float[np.ndarray, "n k"],
    validation: Float[np.ndarray, "m k"],
    positive: Bool[np.ndarray, " m"],
) -> tuple[Float[np.ndarray, " n"], Stacking]:
    """(fused scores, how) of ``k`` observers; ``validation`` and ``positive`` are what the fusion is fitted on."""
    if method == "stacked":
        fusion = fit_stacking(log_odds(validation), positive)
    elif method == "product_of_odds":
        fusion = product_of_odds(scores.shape[1], float(np.mean(positive)))
    else:
        raise ValueError(f"method={method!r} is unknown; use one of {METHODS}")
    return fusion(log_odds(scores)), fusion


@dataclasses.dataclass(frozen=True, eq=False)
class FusedClassical:
    """The classical observer of both surveys: the aperture count and the matched filter, stacked."""

    infrared_bands: Sequence[int]
    microwave_bands: Sequence[int]
    aperture_count: ApertureCount
    matched_filter: MatchedFilterObserver
    stacking: Stacking

    def columns(self, images: Float[np.ndarray, "n y x band"]) -> dict[str, np.ndarray]:
        """Each observer's score, the filter's S/N, and their fusion, of joint cutouts."""
        alone = self.aperture_count.columns(images[..., list(self.infrared_bands)])
        alone |= self.matched_filter.columns(images[..., list(self.microwave_bands)])
        odds = np.stack([log_odds(alone[name]) for name in ("aperture_count", "matched_filter")], axis=1)
        return alone | {"classical_fusion": self.stacking(odds)}


def fit_fused_classical(
    matched_filter: Callable,
    infrared_bands: Sequence[int],
    microwave_bands: Sequence[int],
    images: Float[np.ndarray, "n y x band"],
    label: Int[np.ndarray, " n"],
    redshift: Float[np.ndarray, " n"],
) -> FusedClassical:
    """Fitted on training cutouts: both observers on one half, their stacking on the other."""
    half, positive = len(images) // 2, np.asarray(label) == 1
    infrared, microwave = images[..., list(infrared_bands)], images[..., list(microwave_bands)]
    count = fit_aperture_count(infrared[:half], label[:half], redshift[:half])
    snr = fit_matched_filter(matched_filter, microwave[:half], label[:half])
    odds = np.stack([log_odds(count(infrared[half:])), log_odds(snr(microwave[half:]))], axis=1)
    stacking = fit_stacking(odds, positive[half:])
    return FusedClassical(tuple(infrared_bands), tuple(microwave_bands), count, snr, stacking)
