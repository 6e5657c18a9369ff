"""What a catalogue says of each detection besides its position: significance, errors, extent and flags."""

import numpy as np
from astropy import units as u
from astropy.table import Column, Table
from jaxtyping import Float
from scipy import ndimage, signal

from clusterjax.odds import LOG_ODDS_LIMIT
from clusterjax.search.detect import centroid_radius, centroid_weights, smoothed_log_odds
from clusterjax.search.flags import BASE_FLAGS
from clusterjax.search.significance import NullDistribution, fit_null, null_autocorrelation
from clusterjax.sky.geometry import sky_steps_arcmin
from clusterjax.sky.skymap import ProbabilityMap

_LOW_VALID_FRACTION = 0.8
# Of a Gaussian, the second moment of what is above half its height is this part of sigma^2:
# int_0^ln2 u (e^-u - 1/2) du / int_0^ln2 (e^-u - 1/2) du
_HALF_HEIGHT_MOMENT = (0.5 - np.log(2) / 2 - np.log(2) ** 2 / 4) / (0.5 - np.log(2) / 2)

_COLUMNS = (
    ("significance", None, "log_odds above the map's own median in spreads of its lower half; no false-alarm rate"),
    ("ra_error_arcmin", u.arcmin, "1 sigma error along RA, on the sky, by the map's own noise; without miscentring"),
    ("dec_error_arcmin", u.arcmin, "1 sigma error along Dec, by the map's own noise; without miscentring"),
    ("extent_major_arcmin", u.arcmin, "sigma of the peak in log-odds along its major axis, blurred by the window"),
    ("extent_minor_arcmin", u.arcmin, "sigma of the peak in log-odds along its minor axis, blurred by the window"),
    ("extent_angle_deg", u.deg, "position angle of the major axis, from north to east, in [0, 180)"),
)


def characterise(
    detections: Table, probability_map: ProbabilityMap, *, smoothing_pixels: float | int | None = None
) -> tuple[Table, NullDistribution]:
    """(``detections`` with columns for significance, errors, extent and flags, the map's null distribution).

    ``detections`` are :func:`~clusterjax.search.detect.find_detections`' of this map and ``smoothing_pixels``.

    Errors are what the map's noise, of the spread of its null distribution and of the correlation measured on it, does
    to the weighted mean that a position is, and what the pixels of the score map do: to first order, so they are up to
    a quarter too small for peaks that hardly stand out. How far from a cluster's centre its galaxies or gas are seen is
    not in them.

    The extent is of the peak above half its height over the null distribution's centre: the sigma of the elliptical
    Gaussian with the same second moments. NaN for peaks below that centre.
    """
    odds = smoothed_log_odds(probability_map, smoothing_pixels)
    null = fit_null(odds)
    radius = centroid_radius(probability_map)
    correlation = null_autocorrelation(odds, null, 2 * int(radius))
    peaks = np.stack([np.asarray(detections[f"score_{axis}_pixels"], int) for axis in "yx"], axis=1)
    steps = sky_steps_arcmin(probability_map.wcs, *peaks.T) if len(peaks) else np.zeros((0, 2, 2))
    reach = int(np.ceil(probability_map.window_pixels / probability_map.stride_pixels))
    values = np.full((len(_COLUMNS), len(peaks)), np.nan)
    values[0] = null.significance(detections["log_odds"])
    flags = np.zeros(len(peaks), np.int32)
    taken = np.zeros(odds.shape, bool)
    taken[tuple(peaks.T)] = True
    for row, (peak, step) in enumerate(zip(peaks, steps, strict=True)):
        covariance = step @ _position_covariance(odds, peak, radius, null, correlation) @ step.T
        values[1:3, row] = np.sqrt(np.maximum(np.diag(covariance), 0))
        moments, blended = _second_moments(odds, peak, reach, null, taken)
        values[3:, row] = _ellipse(step @ moments @ step.T)
        flags[row] = BASE_FLAGS["blended"].bit * blended | BASE_FLAGS["edge"].bit * _at_edge(odds, peak, radius)
    valid_fraction = np.asarray(detections["valid_fraction"])
    flags |= BASE_FLAGS["edge"].bit * (valid_fraction < _LOW_VALID_FRACTION)
    flags |= BASE_FLAGS["masked"].bit * (valid_fraction < 1)
    # Half an odd short of the limit, for the smoothing takes a little off a saturated peak.
    flags |= BASE_FLAGS["saturated"].bit * (np.asarray(detections["log_odds"]) > LOG_ODDS_LIMIT - 0.5)
    result = detections.copy()
    for (name, unit, text), column in zip(_COLUMNS, values, strict=True):
        result[name] = Column(column.astype(np.float32), unit=unit, description=text)
    result["flags"] = flags
    return result, null


def _position_covariance(
    odds, peak, radius: float, null: NullDistribution, correlation: Float[np.ndarray, "lag lag"]
) -> Float[np.ndarray, "2 2"]:
    """Of (y, x) in pixels of the grid: each pixel's noise times what it moves the weighted mean by."""
    weight, box = centroid_weights(odds, peak, radius)
    pixels = np.stack(np.mgrid[box]).astype(float)
    total = weight.sum()
    centre = (weight * pixels).sum(axis=(1, 2)) / total
    pull = np.where(weight > 0, pixels - centre[:, None, None], 0.0)
    blurred = np.stack([signal.fftconvolve(part, correlation, mode="same") for part in pull])
    noise = null.spread**2 * np.einsum("ayx,byx->ab", pull, blurred) / total**2
    # What whole pixels make of noiseless Gaussian peaks of any width is 0.5 to 1.1 times this.
    return noise + np.eye(2) / 12 / (weight > 0).sum() ** 2


def _second_moments(odds, peak, reach: int, null: NullDistribution, taken) -> tuple[Float[np.ndarray, "2 2"], bool]:
    """((y, x) moments of the peak as a Gaussian's, in pixels of the grid; whether another peak is within it)."""
    height = odds[tuple(peak)] - null.centre
    if not height > 0:
        return np.full((2, 2), np.nan), False
    box = tuple(
        slice(max(centre - reach, 0), min(centre + reach + 1, length))
        for centre, length in zip(peak, odds.shape, strict=True)
    )
    excess = np.nan_to_num(odds[box] - null.centre - height / 2)
    labels, _ = ndimage.label(excess > 0)
    inside = labels == labels[peak[0] - box[0].start, peak[1] - box[1].start]
    weight = np.where(inside, excess, 0.0)
    pixels = np.stack(np.mgrid[box]).astype(float)
    total = weight.sum()
    offset = pixels - ((weight * pixels).sum(axis=(1, 2)) / total)[:, None, None]
    moments = np.einsum("yx,ayx,byx->ab", weight, offset, offset) / total
    return moments / _HALF_HEIGHT_MOMENT, bool((taken[box] & inside).sum() > 1)


def _ellipse(moments: Float[np.ndarray, "2 2"]) -> tuple[float, float, float]:
    """(sigma along the major axis, along the minor axis, position angle in degrees) of moments in (east, north)."""
    if not np.isfinite(moments).all():
        return np.nan, np.nan, np.nan
    squares, axes = np.linalg.eigh(moments)
    east, north = axes[:, 1]
    angle = np.degrees(np.arctan2(east, north)) % 180
    return *np.sqrt(np.maximum(squares[::-1], 0)), angle


def _at_edge(odds, peak, radius: float) -> bool:
    """True where some of the pixels that a position is measured on were not scored, or are off the map."""
    reach = int(radius)
    low, high = peak - reach, peak + reach + 1
    if (low < 0).any() or (high > odds.shape).any():
        return True
    return not np.isfinite(odds[low[0] : high[0], low[1] : high[1]]).all()
