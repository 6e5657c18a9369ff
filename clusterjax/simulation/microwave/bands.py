"""Microwave bands: their frequencies, beams and noise, and what a spectrum is in each of them.

Temperatures are of the CMB, in µK; ell is the multipole on the flat sky; powers are C_ell in µK² sr.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from clusterjax.errors import InputError
from clusterjax.simulation.cosmology import Values
from clusterjax.simulation.knobs import MicrowaveSky
from clusterjax.sky.units import conversion_factors

PIXEL_SCALE_ARCMIN = 0.5
UNITS = "uK_CMB"
T_CMB_K = 2.7255
ARCMIN = np.pi / 180 / 60  # in radians
_H_OVER_K = 0.04799243073  # K / GHz
_INTENSITY_JY_SR = 2.7006291e8 / T_CMB_K * 1e-6  # 2 (k T)^3 / (h c)^2 / T, Jy / sr / µK, at T = T_CMB_K
_FWHM_TO_SIGMA = 1 / np.sqrt(8 * np.log(2))


@dataclass(frozen=True)
class Survey:
    """What a survey's maps are like. A companion's noise is joined to it, inverse-variance weighted at each ell."""

    bands: tuple[str, ...]
    frequency_ghz: tuple[float, ...]  # effective, for the thermal SZ effect
    beam_fwhm_arcmin: tuple[float, ...]
    noise_uk_arcmin: tuple[float, ...]  # white
    knee_ell: tuple[float, ...] = ()  # noise power is (1 + (knee / ell)^3) times the white; none: white
    companion: "Survey | None" = None


PLANCK = Survey(
    bands=("100", "143", "217"),
    frequency_ghz=(101.3, 144.5, 217.0),
    beam_fwhm_arcmin=(9.68, 7.30, 5.02),
    noise_uk_arcmin=(77.4, 33.0, 46.8),
)


def _act(noise_uk_arcmin: tuple[float, float, float]) -> Survey:
    return Survey(
        bands=("f090", "f150", "f220"),
        frequency_ghz=(97.8, 149.6, 216.5),  # ACT DR6
        beam_fwhm_arcmin=(2.2, 1.4, 1.0),
        noise_uk_arcmin=noise_uk_arcmin,
        knee_ell=(2000.0, 3000.0, 4000.0),
        companion=PLANCK,
    )


SURVEYS = {"act_dr5": _act((25.0, 25.0, 80.0)), "act_dr6": _act((14.0, 14.0, 50.0)), "planck": PLANCK}


def survey_of(sky: MicrowaveSky) -> Survey:
    """Raises :class:`InputError` for an unknown name."""
    if sky.survey not in SURVEYS:
        raise InputError(f"config.microwave.survey={sky.survey!r} is unknown; use one of {', '.join(SURVEYS)}")
    return SURVEYS[sky.survey]


def _x(frequency_ghz):
    return _H_OVER_K * np.asarray(frequency_ghz) / T_CMB_K


def uk_per_unit(units: str) -> float:
    """µK of the CMB in a unit of maps. Raises :class:`InputError` for others than K and µK."""
    factors = conversion_factors(units, UNITS, bands=("f150",), pixel_scale_arcsec=PIXEL_SCALE_ARCMIN * 60)
    if factors is None:
        raise InputError(f"the map is in {units or 'unknown units'}; it must be in K_CMB or uK_CMB")
    return float(factors[0])


def microwave_sky_of(bands: Sequence[str]) -> MicrowaveSky | None:
    """What is expected of real maps in ``bands``: the sky of the first survey that has them all; None for none."""
    return next((MicrowaveSky(survey=name) for name, one in SURVEYS.items() if set(bands) <= set(one.bands)), None)


def sz_factor(frequency_ghz: Values) -> Values:
    """f(x) = x coth(x/2) - 4, x = h nu / k T: the thermal SZ effect is dT = f y T_CMB (non-relativistic)."""
    x = _x(frequency_ghz)
    return x / np.tanh(x / 2) - 4


def sz_uk_per_y(survey: Survey) -> Float[np.ndarray, " band"]:
    """µK of each band for a Compton y of 1."""
    return sz_factor(np.array(survey.frequency_ghz)) * T_CMB_K * 1e6


def intensity_per_uk(frequency_ghz: Values) -> Values:
    """dB/dT of the CMB's black body, Jy / sr / µK."""
    x = _x(frequency_ghz)
    return _INTENSITY_JY_SR * x**4 * np.exp(x) / np.expm1(x) ** 2


def uk_sr_per_mjy(frequency_ghz: Values) -> Values:
    """A source of 1 mJy as a temperature integrated over solid angle, µK sr."""
    return 1e-3 / intensity_per_uk(frequency_ghz)


def rayleigh_jeans_to_cmb(frequency_ghz):
    """µK of the CMB for 1 µK of Rayleigh-Jeans temperature: (e^x - 1)^2 e^-x / x^2."""
    x = _x(frequency_ghz)
    return np.expm1(x) ** 2 * np.exp(-x) / x**2


def power_law_spectrum(frequency_ghz, index: float, reference_ghz: float = 150.0):
    """CMB temperature relative to that at the reference, of a source whose Rayleigh-Jeans temperature is nu^index."""
    ratio = np.asarray(frequency_ghz) / reference_ghz
    return ratio**index * rayleigh_jeans_to_cmb(frequency_ghz) / rayleigh_jeans_to_cmb(reference_ghz)


def dust_spectrum(frequency_ghz, emissivity: float, temperature_k: float, reference_ghz: float = 150.0):
    """CMB temperature relative to that at the reference, of a modified black body."""
    nu = np.asarray(frequency_ghz)
    planck = np.expm1(_H_OVER_K * reference_ghz / temperature_k) / np.expm1(_H_OVER_K * nu / temperature_k)
    shape = (nu / reference_ghz) ** (emissivity + 1) * planck
    return shape * rayleigh_jeans_to_cmb(nu) / rayleigh_jeans_to_cmb(reference_ghz)


def beam_transform(survey: Survey, ell: Float[np.ndarray, "*n"], *, scale: float = 1.0) -> Float[np.ndarray, "*n band"]:
    """B_ell of Gaussian beams, ``scale`` times as wide as the survey's."""
    sigma = np.array(survey.beam_fwhm_arcmin) * scale * ARCMIN * _FWHM_TO_SIGMA
    return np.exp(-0.5 * (ell * (ell + 1))[..., None] * sigma**2)


def noise_power(survey: Survey, ell: Float[np.ndarray, "*n"], *, one_over_f: bool) -> Float[np.ndarray, "*n band"]:
    """Power of the noise in maps of the survey's own beams, µK² sr; with the companion's, where it has one.

    The companion's map, brought to this survey's beam, has the noise N (B / B_companion)^2.
    """
    white = (np.array(survey.noise_uk_arcmin) * ARCMIN) ** 2
    power = np.broadcast_to(white, (*ell.shape, len(white)))
    if one_over_f and survey.knee_ell:
        power = power * (1 + (np.array(survey.knee_ell) / np.maximum(ell, 1.0)[..., None]) ** 3)
    if one_over_f and survey.companion is not None:
        other = survey.companion
        with np.errstate(over="ignore", divide="ignore"):  # far beyond the companion's beam it adds nothing
            ratio = beam_transform(survey, ell) / beam_transform(other, ell)
            joined = noise_power(other, ell, one_over_f=True) * ratio**2
        power = 1 / (1 / power + 1 / joined)
    return power
