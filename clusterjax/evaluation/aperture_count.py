"""The classical observer: galaxies counted around the centre, weighted by their colour, brightness and distance.

No network. Sources are peaks of the W1 image smoothed with the PSF. Each adds the logarithm of how much more often a
source of its W1 magnitude, W1-W2 colour and distance from the centre is seen on clusters than elsewhere. Colour tells
redshift, so the rates are taken in bins of the training clusters' redshift and the redshift is marginalised, which is
what red-sequence finders do. It is the likelihood ratio of independent counts: what a catalogue of sources can tell,
and the score that a network has to beat.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from clusterjax.evaluation.logistic import fit_logistic
from clusterjax.odds import logistic

_PSF_SIGMA_PIXELS = (0.942, 0.988)  # Gaussian cores of 6.1 and 6.4 arcsec FWHM on 2.75 arcsec pixels
_ZERO_POINT_MAG = 22.5
_CHUNK = 256  # images smoothed at a time: 8 MB
_FLUX_MIN_NMGY = 60.0  # W1 = 18.05: 4 sigma of the smoothed image's noise with confusion
_MAG_EDGES = np.array([14.5, 15.5, 16.0, 16.5, 17.0, 17.4])
_COLOUR_EDGES = np.array([-0.3, -0.15, -0.05, 0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.7, 0.9])
_RADIUS_EDGES_PIXELS = np.array([5.0, 9.0, 13.0, 18.0, 24.0, 30.0])
_SHAPE = (len(_MAG_EDGES) + 1, len(_COLOUR_EDGES) + 1, len(_RADIUS_EDGES_PIXELS) + 1)
_REDSHIFT_EDGES = np.array([0.25, 0.35, 0.45, 0.55, 0.65, 0.8, 1.0])
_SMOOTHING_IMAGES = 100.0  # as many images of the overall mean are mixed into each rate, against empty bins
_RATE_FLOOR = 1e-5  # sources an image, of bins that are empty everywhere


@dataclasses.dataclass(frozen=True, eq=False)
class ApertureCount:
    """A fitted observer. ``rates`` are sources an image in each bin of magnitude, colour and radius."""

    cluster_rates: Float[np.ndarray, "redshift cell"]
    cluster_fractions: Float[np.ndarray, " redshift"]  # of the clusters in each bin of redshift; sum 1
    other_rates: Float[np.ndarray, " cell"]
    # Of the logistic that turns the log likelihood ratio into a score. A cluster's sources are not independent, so
    # that the ratio overstates: the slope comes out below 1.
    slope: float
    intercept: float

    def log_ratio(self, images: Float[np.ndarray, "n y x 2"]) -> Float[np.ndarray, " n"]:
        """Log of the likelihood ratio of cluster to no cluster, the clusters' redshift marginalised."""
        return _log_ratio(_count(images), self.cluster_rates, self.cluster_fractions, self.other_rates)

    def __call__(self, images: Float[np.ndarray, "n y x 2"]) -> Float[np.ndarray, " n"]:
        """Scores in [0, 1] of cutouts in Vega nMgy (W1, W2); above 0.5 is a cluster. NaN pixels count as 0."""
        return logistic(self.slope * self.log_ratio(images) + self.intercept)

    def columns(self, images: Float[np.ndarray, "n y x 2"]) -> dict[str, np.ndarray]:
        """What goes into a table of predictions."""
        return {"aperture_count": self(images)}


def fit_aperture_count(
    images: Float[np.ndarray, "n y x 2"],
    label: Int[np.ndarray, " n"],
    redshift: Float[np.ndarray, " n"] | None = None,
) -> ApertureCount:
    """Fit the rates and the score's scale on training cutouts with both labels (1: cluster).

    ``redshift`` is that of the clusters, NaN elsewhere; without it all clusters share one set of rates, which costs 1
    to 2 points of accuracy. Pass training data only.
    """
    positive = np.asarray(label) == 1
    if positive.all() or not positive.any():
        raise ValueError("the aperture count needs training cutouts with and without clusters")
    counts = _count(images)
    mean = counts.mean(axis=0) + _RATE_FLOOR

    def rate(rows: np.ndarray) -> np.ndarray:
        return (counts[rows].sum(axis=0) + _SMOOTHING_IMAGES * mean) / (rows.sum() + _SMOOTHING_IMAGES)

    edges = np.array([]) if redshift is None else _REDSHIFT_EDGES
    bins = np.digitize(np.zeros(len(positive)) if redshift is None else redshift, edges)
    members = [positive & (bins == index) for index in range(len(edges) + 1)]
    cluster_rates = np.array([rate(rows) for rows in members])
    fractions = np.array([rows.sum() for rows in members]) / positive.sum()
    other_rates = rate(~positive)
    slope, intercept = fit_logistic(_log_ratio(counts, cluster_rates, fractions, other_rates), positive)
    return ApertureCount(cluster_rates, fractions, other_rates, slope, intercept)


def _smooth(images: np.ndarray, sigma: float) -> np.ndarray:
    """Matched-filter flux of a point source at each pixel: sum(d p) / sum(p^2) for a unit-sum PSF p."""
    taps = np.arange(-3, 4)
    weight = np.exp(-0.5 * (taps / sigma) ** 2)
    weight = (weight * weight.sum() / np.sum(weight**2)).astype(np.float32)
    for axis in (1, 2):
        size = images.shape[axis]
        pad = [(0, 0)] * 3
        pad[axis] = (3, 3)
        padded = np.pad(images, pad, mode="reflect")
        images = sum(w * np.take(padded, np.arange(k, k + size), axis=axis) for k, w in enumerate(weight))
    return images


def find_sources(
    images: Float[np.ndarray, "n y x 2"],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Peaks of the smoothed W1 image: the image of each, its W1, W1-W2 and distance from the centre in pixels."""
    ny, nx = images.shape[1:3]
    w1, w2 = (_smooth(np.nan_to_num(images[..., band]), sigma) for band, sigma in enumerate(_PSF_SIGMA_PIXELS))
    padded = np.pad(w1, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    peak = w1 > _FLUX_MIN_NMGY
    for dy in range(3):
        for dx in range(3):
            peak &= w1 >= padded[:, dy : dy + ny, dx : dx + nx]
    image, y, x = np.nonzero(peak)
    flux1, flux2 = w1[peak], np.maximum(w2[peak], 1.0)
    magnitude = _ZERO_POINT_MAG - 2.5 * np.log10(flux1)
    return image, magnitude, 2.5 * np.log10(flux2 / flux1), np.hypot(y - (ny - 1) / 2, x - (nx - 1) / 2)


def _count(images: np.ndarray) -> Float[np.ndarray, "n cell"]:
    """Sources of each image in each bin of magnitude, colour and radius."""
    cells = int(np.prod(_SHAPE))
    counts = np.empty((len(images), cells), np.float32)
    for start in range(0, len(images), _CHUNK):
        chunk = images[start : start + _CHUNK]
        image, magnitude, colour, radius = find_sources(chunk)
        bins = (
            np.digitize(magnitude, _MAG_EDGES),
            np.digitize(colour, _COLOUR_EDGES),
            np.digitize(radius, _RADIUS_EDGES_PIXELS),
        )
        flat = image * cells + np.ravel_multi_index(bins, _SHAPE)
        counts[start : start + len(chunk)] = np.bincount(flat, minlength=len(chunk) * cells).reshape(-1, cells)
    return counts


def _log_ratio(
    counts: np.ndarray, cluster_rates: np.ndarray, fractions: np.ndarray, other_rates: np.ndarray
) -> Float[np.ndarray, " n"]:
    """log sum_z fraction_z Poisson(counts | cluster at z) / Poisson(counts | other)."""
    used = fractions > 0
    weights = np.log(cluster_rates[used] / other_rates)
    terms = counts @ weights.T - (cluster_rates[used] - other_rates).sum(axis=1) + np.log(fractions[used])
    greatest = terms.max(axis=1)
    return greatest + np.log(np.exp(terms - greatest[:, None]).sum(axis=1))
