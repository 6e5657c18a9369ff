"""Extent and extension likelihood of a candidate, as XAmin measures them: by two fits with Cash's statistic.

Pacaud et al. (2006): a source is fitted as a point and as a beta-model (beta = 2/3) blurred by the point spread
function. ``extent`` is the core radius of the better beta-model, the extension likelihood what the statistic gains by
it. Here both are fitted to the counts in annuli about the candidate's position; its neighbours are not fitted with it.
"""

import functools

import numpy as np
from jaxtyping import Float

from clusterjax.simulation.xray_optical.instrument import BIN_ARCSEC, king, psf_axes_arcsec

CORE_RADII_ARCSEC = (0.0, 3.0, 5.0, 7.0, 10.0, 14.0, 20.0, 28.0, 40.0, 56.0, 80.0)  # 0: a point
_RADIUS_ARCSEC = 150.0  # of the fit
_ANNULUS_ARCSEC = BIN_ARCSEC * 1.5
_SEARCH_ARCSEC, _CENTROID_ARCSEC, _CENTROID_STEPS, _MOST_OFF_ARCSEC = 40.0, 6.0, 5, 15.0
_STEPS = 12  # of Newton's method
_MODEL_ARCSEC = 2.0  # grid on which the models are blurred


def find_centre(counts: Float[np.ndarray, "y x"]) -> tuple[float, float]:
    """(y, x) in bins of the source nearest to the image's centre: its centroid under a Gaussian that follows it."""
    half, sigma = int(_SEARCH_ARCSEC / BIN_ARCSEC), _CENTROID_ARCSEC / BIN_ARCSEC
    middle = (counts.shape[0] - 1) / 2
    first = int(middle) - half
    part = counts[first : first + 2 * half + 1, first : first + 2 * half + 1]
    part = np.maximum(part - np.median(part), 0)
    axis = np.arange(len(part)) + first
    y = x = middle
    for _ in range(_CENTROID_STEPS):
        wy, wx = np.exp(-0.5 * ((axis - y) / sigma) ** 2), np.exp(-0.5 * ((axis - x) / sigma) ** 2)
        weighted = part * wy[:, None] * wx[None, :]
        total = weighted.sum()
        if total <= 0:
            return middle, middle
        # The Gaussian pulls back to where it is; twice the step makes up for it.
        y += 2 * (weighted.sum(axis=1) @ axis / total - y)
        x += 2 * (weighted.sum(axis=0) @ axis / total - x)
        reach = _MOST_OFF_ARCSEC / BIN_ARCSEC
        y, x = np.clip(y, middle - reach, middle + reach), np.clip(x, middle - reach, middle + reach)
    return float(y), float(x)


def annuli(num_bins: int, centre: tuple[float, float]) -> tuple[np.ndarray, int]:
    """(annulus of each bin about ``centre``, the number of annuli for those outside of the fit; that number)."""
    place = np.arange(num_bins, dtype=np.float32)
    dy, dx = (place - np.float32(centre[0]))[:, None], (place - np.float32(centre[1]))[None, :]
    number = int(_RADIUS_ARCSEC / _ANNULUS_ARCSEC)
    index = (np.sqrt(dy**2 + dx**2) * np.float32(BIN_ARCSEC / _ANNULUS_ARCSEC)).astype(np.int32)
    return np.minimum(index, number), number


@functools.lru_cache(maxsize=32)
def _templates(off_axis_step: int, scale: float) -> Float[np.ndarray, "core annulus"]:
    """Mean light per bin in each annulus, of models that hold one count; the PSF is taken round."""
    core = np.sqrt(np.prod(psf_axes_arcsec(float(off_axis_step)))) * scale
    side = int(4 * _RADIUS_ARCSEC / _MODEL_ARCSEC)
    axis = np.fft.fftfreq(side, 1 / side) * _MODEL_ARCSEC
    radius = np.hypot(axis[:, None], axis[None, :])
    psf = king(radius / core)
    psf_transform = np.fft.rfft2(psf / psf.sum())
    index = np.minimum((radius / _ANNULUS_ARCSEC).astype(int), int(_RADIUS_ARCSEC / _ANNULUS_ARCSEC))
    number = np.bincount(index.ravel())
    rows = []
    for core_radius in CORE_RADII_ARCSEC:
        image = psf
        if core_radius:
            beta = (1 + (radius / core_radius) ** 2) ** -1.5
            image = np.fft.irfft2(np.fft.rfft2(beta) * psf_transform, s=beta.shape)
        mean = np.bincount(index.ravel(), image.ravel() / image.sum()) / number
        rows.append(mean[:-1] * (BIN_ARCSEC / _MODEL_ARCSEC) ** 2)
    return np.maximum(np.stack(rows), 1e-12)


def measure_extent(
    counts: Float[np.ndarray, "y x"],
    exposure_map: Float[np.ndarray, "y x"],
    off_axis_arcmin: float,
    *,
    scale: float = 1.0,
) -> tuple[float, float]:
    """(extent in arcsec, extension likelihood >= 0) of the source nearest to the image's centre.

    ``exposure_map`` is relative, with vignetting; 0 where nothing is seen. (0, 0) without any counts.
    """
    index, number = annuli(counts.shape[0], find_centre(counts))
    index = index.ravel()
    seen = np.bincount(index, exposure_map.ravel(), minlength=number)[:number]
    observed = np.bincount(index, (counts * (exposure_map > 0)).ravel(), minlength=number)[:number]
    used = seen > 0
    if not observed[used].any():
        return 0.0, 0.0
    templates = _templates(round(off_axis_arcmin), scale)[:, used] * seen[used]
    statistic = _least_cash(observed[used], templates, seen[used])
    best = int(np.argmin(statistic[1:])) + 1
    gain = float(statistic[0] - statistic[best])
    return (CORE_RADII_ARCSEC[best], gain) if gain > 0 else (0.0, 0.0)


def _least_cash(observed: np.ndarray, templates: np.ndarray, flat: np.ndarray) -> np.ndarray:
    """Cash's C = 2 sum(model - counts ln model), least over amplitude and background, of each template.

    By the multiplicative steps of Richardson-Lucy (expectation maximisation), which keep both positive, speeded up by
    Newton's method once near.
    """
    total = max(observed.sum(), 1e-3)
    # Both amplitudes in units that make each component hold one count.
    background = np.broadcast_to(flat / flat.sum(), templates.shape)
    basis = np.stack([templates / templates.sum(axis=1, keepdims=True), background])
    amplitude = np.full((2, len(templates)), total / 2)
    for step in range(_STEPS):
        model = np.einsum("kt,kta->ta", amplitude, basis)
        ratio = observed / model
        slope = 1 - np.einsum("kta,ta->kt", basis, ratio)
        if step < 4:
            amplitude = amplitude * (1 - slope)
            continue
        curvature = np.einsum("kta,lta,ta->tkl", basis, basis, ratio / model) + 1e-12 * np.eye(2)
        change = np.linalg.solve(curvature, slope.T[..., None])[..., 0].T
        amplitude = np.maximum(amplitude - change, 0.1 * amplitude)
    model = np.einsum("kt,kta->ta", amplitude, basis)
    return 2 * np.sum(model - observed * np.log(model), axis=1)
