"""Per-band pixel statistics of a training split. NumPy only: data set builders import it and never import jax."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Real

from clusterjax.errors import InputError

_MAD_TO_SIGMA = 1.4826  # of a Gaussian

# Dense in both tails (logistic steps), where a heavy-tailed band keeps its variance.
_LOGITS = np.linspace(-14, 14, 225)
QUANTILE_PROBABILITIES = 1 / (1 + np.exp(-_LOGITS))
_QUANTILE_WEIGHTS = QUANTILE_PROBABILITIES * (1 - QUANTILE_PROBABILITIES)  # dp of a step in logit


@dataclasses.dataclass(frozen=True)
class BandStatistics:
    """What a heavy-tail normalisation needs to know of each band, in the band's own flux units.

    ``location`` and ``scale`` are the median and the robust standard deviation (1.4826 times the median absolute
    deviation) of single pixels. ``standardise`` holds, for each stretch of :data:`STRETCHES`, the mean and standard
    deviation of the stretched pixels, so that a normalised band has mean 0 and variance 1 on the training split.
    ``quantiles`` holds each band's pixel values at :data:`QUANTILE_PROBABILITIES`: from them follow the same moments
    for a stretch that turns logarithmic elsewhere than at one scale.
    """

    bands: tuple[str, ...]
    location: tuple[float, ...]
    scale: tuple[float, ...]
    standardise: dict[str, dict[str, tuple[float, ...]]]
    quantiles: tuple[tuple[float, ...], ...] = ()

    def moments(self, stretch: str, softening: float = 1.0) -> dict[str, tuple[float, ...]]:
        """Mean and standard deviation per band of ``stretch((pixel - location) / (scale * softening))``.

        Exact for a softening of 1 and for the linear stretch; otherwise integrated over the stored quantiles, good to
        about 1 % of the standard deviation.
        """
        exact = self.standardise[stretch]
        if softening == 1:
            return {"mean": tuple(exact["mean"]), "std": tuple(exact["std"])}
        if stretch == "linear":
            return {name: tuple(value / softening for value in exact[name]) for name in ("mean", "std")}
        if not self.quantiles:
            raise InputError(
                f"softening={softening} needs pixel quantiles, which this data set's statistics lack; use 1"
            )
        scale = np.asarray(self.scale)[:, None] * softening
        pixels = stretch_pixels(stretch, (np.asarray(self.quantiles) - np.asarray(self.location)[:, None]) / scale)
        mean = np.average(pixels, axis=1, weights=_QUANTILE_WEIGHTS)
        std = np.sqrt(np.average((pixels - mean[:, None]) ** 2, axis=1, weights=_QUANTILE_WEIGHTS))
        return {"mean": tuple(mean.tolist()), "std": tuple(np.where(std > 0, std, 1.0).tolist())}

    def to_dict(self) -> dict:
        """A JSON-able dict, as written into a data set's metadata and into checkpoints."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> "BandStatistics":
        return cls(
            bands=tuple(values["bands"]),
            location=tuple(values["location"]),
            scale=tuple(values["scale"]),
            standardise={
                stretch: {name: tuple(number) for name, number in moments.items()}
                for stretch, moments in values["standardise"].items()
            },
            quantiles=tuple(tuple(band) for band in values.get("quantiles", ())),
        )

    def select(self, indices: Sequence[int]) -> "BandStatistics":
        """The statistics of some of the bands, in the order of ``indices``."""

        def pick(values):
            return tuple(values[i] for i in indices)

        return BandStatistics(
            bands=pick(self.bands),
            location=pick(self.location),
            scale=pick(self.scale),
            standardise={
                stretch: {name: pick(values) for name, values in moments.items()}
                for stretch, moments in self.standardise.items()
            },
            quantiles=pick(self.quantiles) if self.quantiles else (),
        )


def stretch_pixels(name: str, x):
    """Stretch ``x``, in units of the band's scale above its location. NumPy in, NumPy out; JAX in, JAX out.

    ``linear`` is x; ``asinh`` is asinh(x) (Lupton et al. 1999), linear in the noise and logarithmic in the sources;
    ``log`` is sign(x) log(1 + |x|), the symmetric logarithm.
    """
    xp = x.__array_namespace__()
    if name == "linear":
        return x
    if name == "asinh":
        return xp.asinh(x)
    if name == "log":
        return xp.sign(x) * xp.log1p(xp.abs(x))
    raise ValueError(f"stretch={name!r} is unknown; use one of {STRETCHES}")


STRETCHES = ("linear", "asinh", "log")


def fit_band_statistics(pixels: Real[np.ndarray, "*pixels band"], bands: Sequence[str]) -> BandStatistics:
    """Fit to ``pixels`` (any leading shape, band last) of the training split; NaN pixels are left out.

    A band that is constant has no scale of its own and gets 1.
    """
    bands = tuple(bands)
    if pixels.shape[-1] != len(bands):
        raise ValueError(f"{pixels.shape[-1]} bands in the pixels, {len(bands)} names: {bands}")
    # Band by band: one row of numbers is reduced several times as quickly as a column among others.
    fits = [_fit_band(pixels[..., index]) for index in range(len(bands))]
    location, scale, moments, quantiles = zip(*fits, strict=True)
    standardise = {
        stretch: {name: tuple(of_band[stretch][name] for of_band in moments) for name in ("mean", "std")}
        for stretch in STRETCHES
    }
    return BandStatistics(bands, location, scale, standardise, quantiles)


def _fit_band(pixels: np.ndarray) -> tuple[float, float, dict[str, dict[str, float]], tuple[float, ...]]:
    """(location, scale, moments of each stretch, quantiles) of one band."""
    flat = np.asarray(pixels, np.float64).ravel()
    flat = flat[~np.isnan(flat)] if not np.isnan(flat).all() else flat[:1]  # of nothing, nothing is known: NaN
    location = np.median(flat)
    units = flat - location
    scale = _MAD_TO_SIGMA * np.median(np.abs(units))
    # Images with more than half of their pixels equal (a black sky) have no MAD.
    scale = next((value for value in (scale, np.std(flat)) if value > 0), 1.0)
    units /= scale
    moments = {}
    for name in STRETCHES:
        stretched = stretch_pixels(name, units)
        std = float(np.std(stretched))
        moments[name] = {"mean": float(np.mean(stretched)), "std": std if std > 0 else 1.0}
    return float(location), float(scale), moments, tuple(np.quantile(flat, QUANTILE_PROBABILITIES).tolist())
