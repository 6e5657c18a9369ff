"""Two simulated maps of one sky, infrared and microwave, with the truth of what they hold."""

import numpy as np
from astropy.table import Table

from clusterjax.simulation.infrared import maps as infrared_maps
from clusterjax.simulation.infrared.populations import AGN_PER_DEG2
from clusterjax.simulation.joint.haloes import INFRARED_PIXEL_ARCMIN, join, sample_surroundings
from clusterjax.simulation.knobs import JointSky
from clusterjax.simulation.microwave import maps as microwave_maps
from clusterjax.simulation.microwave.bands import PIXEL_SCALE_ARCMIN
from clusterjax.simulation.microwave.flat_sky import padded_side
from clusterjax.sky.skymap import SkyMap

_MAP_STREAM = 7_003  # keeps a pair's random numbers apart from those of cutouts with the same seed


def simulate_maps(
    sky: JointSky,
    *,
    seed: int,
    side: int,
    ra_deg: float,
    dec_deg: float,
    cluster_boost: float = 1.0,
    margin_pixels: int = 64,
) -> tuple[SkyMap, SkyMap, Table]:
    """(infrared map of ``side`` pixels of 2.75", microwave map of 0.5' pixels, truth) about one centre.

    The microwave map reaches ``margin_pixels`` in all (half on each side) beyond the infrared one, so that windows of
    as many pixels fit about every position of it. Both hold the same haloes with the scatters of ``sky``, and every
    radio galaxy of the field is an AGN of the infrared map, there a fifteenth of all. The truth is that of
    :func:`clusterjax.simulation.infrared.maps.simulate_map`.
    """
    rng = np.random.default_rng([seed, _MAP_STREAM])
    microwave_side = int(np.ceil(side * INFRARED_PIXEL_ARCMIN / PIXEL_SCALE_ARCMIN)) + margin_pixels
    clusters, groups, light = sample_surroundings(
        rng,
        sky,
        infrared_side=side,
        microwave_side=padded_side(microwave_side),
        cluster_boost=cluster_boost,
    )
    shape, microwave_shape = (side, side), (microwave_side, microwave_side)
    position = {"ra_deg": ra_deg, "dec_deg": dec_deg}
    infrared_map, truth = infrared_maps.simulate_map(
        sky.infrared,
        seed=seed,
        shape=shape,
        **position,
        haloes=(join(light, groups).infrared(shape), clusters.infrared(shape)),
    )
    agn = truth[truth["object_type"] == "agn"]
    scale = INFRARED_PIXEL_ARCMIN / PIXEL_SCALE_ARCMIN
    hosts = [(microwave_side - 1) / 2 + scale * (np.asarray(agn[f"{axis}_pixels"]) - (side - 1) / 2) for axis in "yx"]
    microwave_map, _ = microwave_maps.simulate_map(
        sky.microwave,
        seed=seed,
        shape=microwave_shape,
        **position,
        haloes=(groups.microwave(microwave_shape), clusters.microwave(microwave_shape)),
        radio_hosts=_with_margin(rng, np.array(hosts), microwave_side, scale * side),
    )
    return infrared_map, microwave_map, truth


def _with_margin(rng, hosts: np.ndarray, side: int, inner_side: float) -> tuple[np.ndarray, np.ndarray]:
    """(y, x) of the AGN on the microwave pixels: those of the infrared map, and as many per deg2 beyond it."""
    count = rng.poisson(AGN_PER_DEG2 * (side * PIXEL_SCALE_ARCMIN / 60) ** 2)
    beyond = rng.uniform(-0.5, side - 0.5, (2, count))
    outside = np.abs(beyond - (side - 1) / 2).max(axis=0) > inner_side / 2
    return tuple(np.concatenate([hosts, beyond[:, outside]], axis=1))
