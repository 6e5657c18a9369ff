"""The simulated skies side by side: what a data set or a scan asks of each, found by the type of its knobs."""

from collections.abc import Callable
from dataclasses import dataclass

from astropy.table import Table

from clusterjax.simulation.cutout import Cutout
from clusterjax.simulation.infrared import cutouts as infrared_cutouts
from clusterjax.simulation.infrared import maps as infrared_maps
from clusterjax.simulation.infrared import psf
from clusterjax.simulation.knobs import InfraredSky, MicrowaveSky
from clusterjax.simulation.microwave import bands as microwave_bands
from clusterjax.simulation.microwave import cutouts as microwave_cutouts
from clusterjax.simulation.microwave import maps as microwave_maps
from clusterjax.sky.skymap import SkyMap

Sky = InfraredSky | MicrowaveSky


@dataclass(frozen=True)
class Simulation:
    """How a sky is simulated, and what comes out."""

    bands: tuple[str, ...]
    units: str
    pixel_scale_arcsec: float
    simulate_cutout: Callable[..., Cutout]  # (sky, object_type, rng, *, size)
    simulate_map: Callable[..., tuple[SkyMap, Table]]  # (sky, *, seed, shape, ra_deg, dec_deg, cluster_boost)


def simulation_of(sky: Sky) -> Simulation:
    """Raises :class:`InputError` for a microwave survey that is not known."""
    if isinstance(sky, MicrowaveSky):
        return Simulation(
            bands=microwave_bands.survey_of(sky).bands,
            units=microwave_bands.UNITS,
            pixel_scale_arcsec=microwave_bands.PIXEL_SCALE_ARCMIN * 60,
            simulate_cutout=microwave_cutouts.simulate_cutout,
            simulate_map=microwave_maps.simulate_map,
        )
    return Simulation(
        bands=psf.BANDS,
        units=infrared_maps.UNITS,
        pixel_scale_arcsec=psf.PIXEL_SCALE_ARCSEC,
        simulate_cutout=infrared_cutouts.simulate_cutout,
        simulate_map=infrared_maps.simulate_map,
    )
