"""The two pressure profiles behind one interface: how much signal a halo has, of which size and shape."""

from typing import NamedTuple

import numpy as np

from clusterjax.errors import InputError
from clusterjax.simulation.cosmology import Values, theta500_arcmin
from clusterjax.simulation.microwave import battaglia, pressure
from clusterjax.simulation.microwave.bands import ARCMIN

PROFILES = ("arnaud", "battaglia")


class HaloSignal(NamedTuple):
    """Of each halo: Compton y integrated over the sky (sr), the angle its profile scales with (radians), and beta."""

    total_sr: Values
    scale_radians: Values
    slope: Values  # of Battaglia's shapes; 0 for Arnaud's, which has but one


def halo_signal(profile: str, m500c_msun: Values, redshift: Values) -> HaloSignal:
    """For the mass that enters the profile. Raises :class:`InputError` for an unknown profile."""
    if profile == "battaglia":
        return HaloSignal(*battaglia.total_signal(m500c_msun, redshift))
    if profile != "arnaud":
        raise InputError(f"config.microwave.profile={profile!r} is unknown; use one of {', '.join(PROFILES)}")
    angle = theta500_arcmin(m500c_msun, redshift) * ARCMIN
    total = pressure.amplitude(m500c_msun, redshift) * angle**2 * pressure.transform_of_profile(0.0)
    return HaloSignal(total, angle, np.zeros_like(total))


def unit_transform(profile: str, k: Values, slope: float) -> Values:
    """2-d Fourier transform of the projected profile over its integral, at wave numbers in 1 / ``scale_radians``."""
    if profile == "battaglia":
        return battaglia.unit_transform(k, slope)
    return pressure.transform_of_profile(k) / pressure.transform_of_profile(0.0)


def compton_y_transform(ell: Values, m500c_msun: float, redshift: float, *, profile: str) -> Values:
    """Integral of y exp(i ell theta) over the sky, sr, of one halo."""
    signal = halo_signal(profile, m500c_msun, redshift)
    return signal.total_sr * unit_transform(profile, ell * signal.scale_radians, float(signal.slope))
