"""Clusters injected into an infrared map that exists, real or simulated."""

import dataclasses

import numpy as np
from jaxtyping import Float

from clusterjax.errors import InputError
from clusterjax.simulation.haloes import Haloes, PlacedHaloes
from clusterjax.simulation.infrared.field import member_sources
from clusterjax.simulation.infrared.psf import BANDS, PIXEL_SCALE_ARCSEC
from clusterjax.simulation.infrared.rendering import draw_psf_scale, render
from clusterjax.simulation.knobs import InfraredSky
from clusterjax.sky.skymap import SkyMap

_UNITS = "nmgy"
_SCALE_TOLERANCE = 0.02


def inject_clusters(
    rng: np.random.Generator,
    sky: InfraredSky,
    sky_map: SkyMap,
    haloes: Haloes,
    y_pixels: Float[np.ndarray, " n"],
    x_pixels: Float[np.ndarray, " n"],
) -> SkyMap:
    """A map, real or simulated, with the galaxies of further clusters added at 0-based pixels, through unWISE's PSF.

    The galaxies are those of simulated cutouts and maps; the noise of their own light, far below the sky's, is left
    out, and so is that real ones hide what lies behind them. Raises :class:`InputError` for other bands, pixels or
    units than unWISE's.
    """
    if sky_map.bands != BANDS or abs(sky_map.pixel_scale_arcsec / PIXEL_SCALE_ARCSEC - 1) > _SCALE_TOLERANCE:
        raise InputError(
            f'the map has the bands {", ".join(sky_map.bands)} at {sky_map.pixel_scale_arcsec:.3f}"; clusters can be '
            f'put into maps of {", ".join(BANDS)} at {PIXEL_SCALE_ARCSEC:g}" pixels'
        )
    if sky_map.units and _UNITS not in sky_map.units.lower().replace("nanomaggy", _UNITS):
        raise InputError(f"the map is in {sky_map.units}; it must be in Vega nanomaggies (nMgy)")
    placed = PlacedHaloes(haloes, y_pixels, x_pixels)
    light = render(member_sources(rng, placed, sky.colour_scatter), sky_map.shape, psf_scale=draw_psf_scale(rng, sky))
    return dataclasses.replace(sky_map, data=np.asarray(sky_map.data + light, np.float32))
