"""The simulated skies side by side: what a data set or a scan asks of each, found by the type of its knobs."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from astropy.table import Table

from clusterjax.simulation.cutout import Cutout
from clusterjax.simulation.infrared import cutouts as infrared_cutouts
from clusterjax.simulation.infrared import injection, psf
from clusterjax.simulation.infrared import maps as infrared_maps
from clusterjax.simulation.joint import cutouts as joint_cutouts
from clusterjax.simulation.knobs import XRAY_CLASS_OF, InfraredSky, JointSky, MicrowaveSky, XrayOpticalSky
from clusterjax.simulation.microwave import bands as microwave_bands
from clusterjax.simulation.microwave import cutouts as microwave_cutouts
from clusterjax.simulation.microwave import maps as microwave_maps
from clusterjax.simulation.microwave import painting
from clusterjax.simulation.xray_optical import cutouts as xray_optical_cutouts
from clusterjax.simulation.xray_optical.objects import PIXEL_ARCSEC
from clusterjax.sky.skymap import SkyMap

Sky = InfraredSky | MicrowaveSky | XrayOpticalSky | JointSky


@dataclass(frozen=True)
class Simulation:
    """How a sky is simulated, and what comes out."""

    bands: tuple[str, ...]
    units: str
    pixel_scale_arcsec: float  # the largest, where bands have several
    simulate_cutout: Callable[..., Cutout]  # (sky, object_type, rng, *, size)
    # (sky, *, seed, shape, ra_deg, dec_deg, cluster_boost); None where there are cutouts alone
    simulate_map: Callable[..., tuple[SkyMap, Table]] | None
    # (rng, sky, sky_map, haloes, y_pixels, x_pixels) -> the map with further clusters; None where there are no maps
    inject_clusters: Callable[..., SkyMap] | None = None
    dtype: type = np.float32  # of the pixels
    measurements: tuple[str, ...] = ()  # what a cutout has besides redshift and mass
    class_of: Mapping[str, str] | None = None  # object type -> class, where several types are one
    band_scales_arcsec: tuple[float, ...] = ()  # of each band, where they differ
    levels: tuple[str, ...] = ()  # what a cutout knows of the sky that its object was put into


def simulation_of(sky: Sky) -> Simulation:
    """Raises :class:`InputError` for a microwave survey or a channel that is not known."""
    if isinstance(sky, MicrowaveSky):
        return Simulation(
            bands=microwave_bands.survey_of(sky).bands,
            units=microwave_bands.UNITS,
            pixel_scale_arcsec=microwave_bands.PIXEL_SCALE_ARCMIN * 60,
            simulate_cutout=microwave_cutouts.simulate_cutout,
            simulate_map=microwave_maps.simulate_map,
            inject_clusters=functools.partial(painting.inject_clusters, with_radio=True),
            levels=microwave_cutouts.levels_of(sky),
        )
    if isinstance(sky, XrayOpticalSky):
        return Simulation(
            bands=tuple(sky.channels),
            units="",
            pixel_scale_arcsec=PIXEL_ARCSEC,
            simulate_cutout=xray_optical_cutouts.simulate_cutout,
            simulate_map=None,
            dtype=xray_optical_cutouts.dtype_of(tuple(sky.channels)),
            measurements=xray_optical_cutouts.MEASUREMENTS,
            class_of=XRAY_CLASS_OF,
            levels=xray_optical_cutouts.LEVELS,
        )
    if isinstance(sky, JointSky):
        infrared, microwave = simulation_of(sky.infrared), simulation_of(sky.microwave)
        return Simulation(
            bands=infrared.bands + microwave.bands,
            units=f"{infrared.units}; {microwave.units}",
            pixel_scale_arcsec=microwave.pixel_scale_arcsec,
            simulate_cutout=joint_cutouts.simulate_cutout,
            simulate_map=None,  # there are two: joint.maps
            band_scales_arcsec=tuple(one.pixel_scale_arcsec for one in (infrared, microwave) for _ in one.bands),
            levels=joint_cutouts.levels_of(sky),
        )
    return Simulation(
        bands=psf.BANDS,
        units=infrared_maps.UNITS,
        pixel_scale_arcsec=psf.PIXEL_SCALE_ARCSEC,
        simulate_cutout=infrared_cutouts.simulate_cutout,
        simulate_map=infrared_maps.simulate_map,
        inject_clusters=injection.inject_clusters,
        levels=infrared_cutouts.LEVELS,
    )
