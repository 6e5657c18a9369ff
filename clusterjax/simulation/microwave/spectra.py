"""Power spectra of the microwave sky behind the clusters: the lensed CMB and Gaussian foregrounds, in µK²."""

import numpy as np
from jaxtyping import Float
from scipy.interpolate import CubicSpline

from clusterjax.simulation.knobs import MicrowaveSky
from clusterjax.simulation.microwave.bands import (
    beam_transform,
    dust_spectrum,
    noise_power,
    power_law_spectrum,
    survey_of,
    sz_factor,
)
from clusterjax.simulation.microwave.sources import RADIO_FLUX_MIN_MJY

# D_ell of the lensed CMB: CAMB with H0 67.4, ombh2 .02237, omch2 .12, tau .0544, As 2.0989e-9, ns .9649. A cubic
# spline through these in log-log is good to 1.4 % rms, 8 % at most.
_CMB_D_ELL = """
2:1022 5:877.1 10:818.6 20:906.4 30:1056 50:1423 75:1991 100:2701 130:3705 160:4704 190:5450 220:5729 250:5459 280:4721
320:3398 360:2267 412:1724 460:2048 500:2447 540:2590 580:2399 620:2052 675:1803 720:1987 770:2378 820:2534 870:2234
920:1661 980:1132 1020:1042 1080:1168 1130:1239 1200:1048 1280:750.9 1360:759.5 1430:815 1500:686.8 1580:458.4
1670:386.7 1750:392.6 1830:322.4 1920:240.4 2000:230.8 2100:206.5 2250:122.8 2400:103.1 2600:64.27 2800:42.82
3000:28.03 3300:15.27 3600:7.919 4000:3.813 4500:1.71 5000:.9562 6000:.4783 7000:.3059 8000:.2092 10000:.1024
"""
_ELL, _D_ELL = np.array([[float(part) for part in pair.split(":")] for pair in _CMB_D_ELL.split()]).T
_CMB_SPLINE = CubicSpline(np.log(_ELL), np.log(_D_ELL))
_CMB_TAIL = np.log(_D_ELL[-1] / _D_ELL[-2]) / np.log(_ELL[-1] / _ELL[-2])  # slope beyond the table

# Foregrounds at 150 GHz, D_ell in µK²: best fit of ACT DR6 (act_dr6_mflike).
_TSZ, _KSZ, _CIB_POISSON, _CIB_CLUSTERED, _RADIO, _DUST = 3.50, 0.99, 7.65, 3.81, 2.89, 7.97
_RADIO_CUT_MJY = 15.0  # sources above it were masked for that fit
_RADIO_SLOPE = 0.95


def _to_c_ell(d_ell, ell):
    return d_ell * 2 * np.pi / (ell * (ell + 1))


def cmb_power(ell: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """C_ell of the lensed CMB, µK² sr; ell is taken as 2 at least, and the last slope goes on beyond 10 000."""
    ell = np.maximum(ell, _ELL[0])
    inside = np.minimum(ell, _ELL[-1])
    return _to_c_ell(np.exp(_CMB_SPLINE(np.log(inside))) * (ell / inside) ** _CMB_TAIL, ell)


def dust_colour(frequency_ghz: Float[np.ndarray, " band"]) -> Float[np.ndarray, " band"]:
    """Galactic dust's temperature in each band over that at 150 GHz."""
    return dust_spectrum(np.asarray(frequency_ghz, float), 1.5, 19.6)


def dust_power(sky: MicrowaveSky, ell: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """C_ell of Galactic dust of mean brightness at 150 GHz, µK² sr."""
    ell = np.maximum(ell, 2.0)
    return _to_c_ell(_DUST * sky.dust_scale * (ell / 500.0) ** -0.6, ell)


def foreground_power(
    frequency_ghz: Float[np.ndarray, " band"],
    ell: Float[np.ndarray, "*n"],
    *,
    tsz_scale: float = 1.0,
    radio_scale: float = 1.0,
    dust_scale: float = 1.0,
    tsz_cib_correlation: float = 0.0,
) -> Float[np.ndarray, "*n band band"]:
    """C_ell of each pair of bands, µK² sr: thermal and kinetic SZ, infrared and radio galaxies, Galactic dust.

    The scales multiply the power of what is painted explicitly instead, or of a dustier field. Each component is one
    field with a spectrum. ``tsz_cib_correlation`` is xi of the thermal SZ effect's and the clustered infrared
    galaxies' fields: where there is more of the one there is more of the other, of opposite sign below the null
    (Dunkley et al. 2013, eq. 9; here with the root of both powers for the template; 0.064 in ACT DR6).
    """
    nu = np.asarray(frequency_ghz, float)
    ell = np.maximum(ell, 2.0)
    pivot = ell / 3000.0
    cib, tsz = dust_spectrum(nu, 1.865, 9.6), sz_factor(nu) / sz_factor(150.0)
    tsz_power, clustered_power = _TSZ * tsz_scale * pivot**-0.46, _CIB_CLUSTERED * pivot**0.8
    components = (
        (tsz_power, tsz),
        (_KSZ * np.ones_like(ell), np.ones_like(nu)),
        (_CIB_POISSON * pivot**2 + clustered_power, cib),
        (_RADIO * radio_scale * pivot**2, power_law_spectrum(nu, -2.757)),
        (_DUST * dust_scale * (ell / 500.0) ** -0.6, dust_colour(nu)),
    )
    total = sum(d_ell[..., None, None] * np.outer(spectrum, spectrum) for d_ell, spectrum in components)
    if tsz_cib_correlation:
        cross = -tsz_cib_correlation * np.sqrt(tsz_power * clustered_power)
        total += cross[..., None, None] * (np.outer(tsz, cib) + np.outer(cib, tsz))
    return _to_c_ell(total, ell[..., None, None])


def map_covariance(
    sky: MicrowaveSky, ell: Float[np.ndarray, "*n"], *, tsz_painted: bool = False, with_dust: bool = True
) -> Float[np.ndarray, "*n band band"]:
    """Power of the maps of ``sky`` without what is painted: CMB and foregrounds through the beams, and the noise.

    Radio galaxies above :data:`RADIO_FLUX_MIN_MJY` are painted, so that only the share of the fainter ones stays in
    the Poisson term: the power of sources up to a flux S goes as S^(2 - 0.95). ``tsz_painted`` drops the SZ effect of
    unseen haloes, for maps that paint them. Dust has its mean power over the sky, exp(scatter^2) times that at the mean
    brightness; without ``with_dust`` it is left out.
    """
    survey = survey_of(sky)
    beam = beam_transform(survey, ell)
    signal = cmb_power(ell)[..., None, None] + foreground_power(
        np.array(survey.frequency_ghz),
        ell,
        tsz_scale=0.0 if tsz_painted else 1.0,
        radio_scale=(RADIO_FLUX_MIN_MJY / _RADIO_CUT_MJY) ** (2 - _RADIO_SLOPE),
        dust_scale=sky.dust_scale * np.exp(sky.cirrus_scatter**2) if with_dust else 0.0,
        tsz_cib_correlation=sky.tsz_cib_correlation,
    )
    total = signal * beam[..., :, None] * beam[..., None, :]
    noise = noise_power(survey, ell, one_over_f=sky.one_over_f) * sky.noise_scale**2
    bands = range(len(survey.bands))
    total[..., bands, bands] += noise
    return total
