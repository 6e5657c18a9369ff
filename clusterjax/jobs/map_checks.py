"""What a map to scan has unlike the sky that the network was trained on; units are converted."""

from clusterjax.errors import InputError
from clusterjax.experiment import Network
from clusterjax.jobs.session import say
from clusterjax.sky.reader import MapReader
from clusterjax.sky.resampled import ResampledReader
from clusterjax.sky.skymap import SkyMap
from clusterjax.sky.units import in_units


def check_one_scale(network: Network) -> None:
    """Raise InputError for a network whose bands have pixels of several scales: no map has them all."""
    scales = network.facts.band_scales_arcsec
    if scales:
        raise InputError(
            f"{network.source or 'the network'} was trained on bands with pixels of {', '.join(map(str, scales))} "
            "arcsec, which no one map has; joint networks are scanned over pairs of maps by benchmarks/fusion.py"
        )


def as_trained(sky: SkyMap | MapReader, network: Network) -> SkyMap | MapReader:
    """The map in the units that the network was trained on, if that can be; says what else it has unlike that sky."""
    units = network.facts.units
    converted = in_units(sky, units) if units else sky
    if converted is None:
        say(
            f"warning: the map is in {sky.units or 'unknown units (it has no BUNIT)'}, the network was trained on "
            f"{units}; its scores mean little until the map is converted"
        )
    trained = network.facts.pixel_scale_arcsec
    if trained is not None and abs(sky.pixel_scale_arcsec / trained - 1) > 0.02:
        say(
            f'warning: the map has {sky.pixel_scale_arcsec:.3f}" pixels, the network was trained on {trained:.3f}"; '
            "its scores mean little until the map is resampled"
        )
    if isinstance(sky, ResampledReader) and sky.turn is not None:
        say(
            "warning: a map so wide is scanned on a plate carree grid, whose pixels are narrower away from the "
            "equator; beyond 30 deg of it windows show less sky than the network was trained on"
        )
    if converted is not None and converted is not sky:
        say(f"the map is in {sky.units} and is converted to the network's {units}")
    return sky if converted is None else converted
