"""XMM-Newton's three cameras as one: where they see how much, how they blur, and what they count without a source.

Counts are of MOS1 + MOS2 + PN together, 0.5-2 keV. Positions are arcmin from the optical axis. [~]: from memory of the
literature (XMM-Newton Users' Handbook, sections 3.2 and 3.3, unless said otherwise).
"""

import functools

import numpy as np
import scipy.fft
from jaxtyping import Complex, Float

FIELD_ARCMIN = 7.0  # side of a cutout (Kosiba et al. 2020)
BIN_ARCSEC = 2.36  # of the counts; XAmin works on 2.5" (Pacaud et al. 2006)
# erg/s/cm2 (0.5-2 keV) of one count a second in all cameras: a plasma of 2 keV at z = 0.3 (Pacaud et al. 2016) [~]
FLUX_PER_COUNT_RATE = 9.04e-13
_SKY_BACKGROUND = 5.0e-6  # counts/s per bin of 2.5", vignetted: Read & Ponman (2003) [~]
_PARTICLE_BACKGROUND = 3.0e-6  # the same, not vignetted [~]
_HALF_VIGNETTED_ARCMIN = 11.0  # the effective area at 1.5 keV is half of that on axis [~]
_MOS_RADIUS_ARCMIN, _PN_RADIUS_ARCMIN = 15.0, 14.5  # of the fields of view [~]
_SHARES = {"pn": 0.56, "mos": 0.22}  # of the counts: PN has twice the area of a MOS, and some more [~]
_PN_WIDTH_ARCMIN, _PN_OFFSET_ARCMIN = 4.4, 1.2  # of a PN CCD; of the axis from the gap between the rows [~]
_MOS_HALF_WIDTH_ARCMIN = 5.45  # of MOS's central CCD [~]
_HALF_GAP_ARCMIN = 0.08  # 5", with the bad rows beside it
_KING_CORE_ARCSEC, _KING_SLOPE = 5.0, 1.47  # on axis: Ghizzardi (2001)
# Off axis the images grow, tangentially more than radially [~]: of the core's width, at 15'
_TANGENTIAL_GROWTH, _RADIAL_GROWTH = 0.9, 0.3
_PSF_STEP_ARCMIN, _PSF_STEP_RAD = 1.5, np.pi / 12  # the PSF is tabulated
_WRAP_BINS = 78  # sources as far outside of a cutout shine into it


def vignetting(off_axis_arcmin: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Effective area at 1.5 keV over that on axis: 0.55 at 10', 0.35 at 15'."""
    return 1 / (1 + (off_axis_arcmin / _HALF_VIGNETTED_ARCMIN) ** 2)


def exposure(x_arcmin: Float[np.ndarray, "*n"], y_arcmin: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Exposure there over that of all cameras, without vignetting: 0 outside of the field of view and where all gaps
    meet, less than 1 in the gap of one."""
    radius = np.hypot(x_arcmin, y_arcmin)
    pn_x = np.abs((x_arcmin + _PN_OFFSET_ARCMIN + _PN_WIDTH_ARCMIN / 2) % _PN_WIDTH_ARCMIN - _PN_WIDTH_ARCMIN / 2)
    pn_y = np.abs(y_arcmin + _PN_OFFSET_ARCMIN)
    pn = (radius < _PN_RADIUS_ARCMIN) & (pn_x > _HALF_GAP_ARCMIN) & (pn_y > _HALF_GAP_ARCMIN)
    inside = radius < _MOS_RADIUS_ARCMIN
    total = _SHARES["pn"] * pn
    for a, b in ((x_arcmin, y_arcmin), (y_arcmin, x_arcmin)):  # MOS2 is MOS1 turned by 90 deg
        total = total + _SHARES["mos"] * (inside & ~_mos_gap(np.abs(a), np.abs(b)))
    return total


def _mos_gap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Around the central CCD, and between the two outer ones on either side of it."""
    edge = _MOS_HALF_WIDTH_ARCMIN
    across = np.abs(b - edge) < _HALF_GAP_ARCMIN
    sides = (np.abs(a - edge) < _HALF_GAP_ARCMIN) & (b < edge)
    return across | sides | ((a < _HALF_GAP_ARCMIN) & (b > edge))


def background(exposure_map: np.ndarray, off_axis_arcmin: np.ndarray) -> np.ndarray:
    """Mean counts a second and bin of the sky (vignetted) and of particles (not)."""
    per_bin = (BIN_ARCSEC / 2.5) ** 2
    return exposure_map * per_bin * (_SKY_BACKGROUND * vignetting(off_axis_arcmin) + _PARTICLE_BACKGROUND)


def psf_axes_arcsec(off_axis_arcmin: float) -> tuple[float, float]:
    """(tangential, radial) core of the King profile."""
    growth = (off_axis_arcmin / 15.0) ** 2
    return _KING_CORE_ARCSEC * (1 + _TANGENTIAL_GROWTH * growth), _KING_CORE_ARCSEC * (1 + _RADIAL_GROWTH * growth)


def king(radius_over_core: np.ndarray) -> np.ndarray:
    """King's profile, 1 at the centre: (1 + r2)^-slope; half of the light lies within 1.8 cores."""
    return (1 + radius_over_core**2) ** -_KING_SLOPE


def padded_bins(num_bins: int) -> int:
    return scipy.fft.next_fast_len(num_bins + _WRAP_BINS, real=True)


@functools.lru_cache(maxsize=160)
def _psf_transform(num_padded: int, radius_step: int, angle_step: int, scale: float) -> Complex[np.ndarray, "ky kx"]:
    tangential, radial = psf_axes_arcsec(radius_step * _PSF_STEP_ARCMIN)
    offset = np.fft.fftfreq(num_padded, 1 / num_padded) * BIN_ARCSEC / scale
    angle = angle_step * _PSF_STEP_RAD
    along = offset[None, :] * np.cos(angle) + offset[:, None] * np.sin(angle)
    across = -offset[None, :] * np.sin(angle) + offset[:, None] * np.cos(angle)
    image = king(np.hypot(along / radial, across / tangential))
    return scipy.fft.rfft2((image / image.sum()).astype(np.float32))


def blur(
    rates: Float[np.ndarray, "y x"], off_axis_arcmin: float, direction_rad: float, *, scale: float = 1.0
) -> Float[np.ndarray, "y x"]:
    """``rates`` on the padded grid, as the mirrors show them there; the axis lies in ``direction_rad`` of the image.

    Periodic; light is conserved.
    """
    radius_step = round(off_axis_arcmin / _PSF_STEP_ARCMIN)
    angle_step = round(direction_rad / _PSF_STEP_RAD) % round(np.pi / _PSF_STEP_RAD)
    transform = _psf_transform(rates.shape[0], radius_step, angle_step, scale)
    return scipy.fft.irfft2(scipy.fft.rfft2(rates.astype(np.float32)) * transform, s=rates.shape)
