"""Whole simulated unWISE maps with the truth of what they hold."""

import numpy as np
from astropy.table import Table

from clusterjax.errors import InputError
from clusterjax.simulation.haloes import PlacedHaloes, cluster_density_per_deg2, sample_clusters
from clusterjax.simulation.infrared.cutouts import paint_star_artefacts
from clusterjax.simulation.infrared.field import (
    Field,
    area_deg2,
    member_sources,
    sample_field,
    uniform_positions,
)
from clusterjax.simulation.infrared.populations import Sources, join
from clusterjax.simulation.infrared.psf import BANDS, PIXEL_SCALE_ARCSEC
from clusterjax.simulation.infrared.rendering import draw_psf_scale, pixel_noise, render
from clusterjax.simulation.knobs import InfraredSky
from clusterjax.simulation.truth import halo_rows, truth_rows, truth_table
from clusterjax.sky.geometry import make_wcs
from clusterjax.sky.skymap import SkyMap

TRUTH_STARS_BRIGHTER_THAN_W1 = 9.0
UNITS = "nMgy (Vega)"
_CLUSTER_PAD_PIXELS = 128  # clusters centred up to here outside the map still have members in it
_MAP_STREAM = 7_001  # keeps a map's random numbers apart from those of cutouts with the same seed
_BACKGROUND_PERIOD_PIXELS = 512.0
_GRADIENT_PIXELS = 64.0  # the cutout size that InfraredSky.background_gradient refers to
_MIN_SIDE_PIXELS = 16


def simulate_map(
    sky: InfraredSky,
    *,
    seed: int,
    shape: tuple[int, int],
    ra_deg: float,
    dec_deg: float,
    cluster_boost: float = 1.0,
    haloes: tuple[PlacedHaloes, PlacedHaloes] | None = None,
) -> tuple[SkyMap, Table]:
    """A map of ``shape`` = (ny, nx) pixels of 2.75 arcsec centred on (``ra_deg``, ``dec_deg``), and its truth.

    Haloes above the group range (1.25e14 Msun) follow the true mass function, ``cluster_boost`` times as dense, so that
    a small map can measure completeness; everything else has its true density. The map's median is subtracted once
    and the noise is that of cutouts. ``haloes``: these groups and these clusters, on the map's pixels.
    ``sky.mass_floor_msun``, ``redshift_max`` and ``label_noise`` concern training cutouts only.

    The truth has a row for every cluster and group centred in the map, every star brighter than W1 = 9 and every AGN:
    ``object_id``, ``object_type``, ``ra_deg``, ``dec_deg``, ``x_pixels``, ``y_pixels`` (0-based), ``redshift``,
    ``m500c_msun``, ``theta500_arcmin`` and ``w1_mag``, NaN where an object has no such thing.
    Raises :class:`InputError` for a map below 16 pixels a side or above 40 deg.
    """
    _check_shape(shape)
    rng = np.random.default_rng([seed, _MAP_STREAM])
    groups, clusters = haloes or (None, None)
    field = sample_field(rng, sky, shape, groups=groups)
    clusters = _sample_clusters(rng, shape, cluster_boost) if clusters is None else clusters
    sources = join([field.sources(), member_sources(rng, clusters, sky.colour_scatter)])
    image = render(sources, shape, psf_scale=draw_psf_scale(rng, sky))
    paint_star_artefacts(rng, image, field.stars, spike_angle_rad=rng.uniform(0, np.pi / 2))
    noise = pixel_noise(sky).astype(np.float32)
    if sky.background_gradient:
        image += _background_wave(rng, shape)[..., None] * (np.float32(sky.background_gradient) * noise)
    image -= np.median(image, axis=(0, 1))
    for band in range(len(BANDS)):
        image[..., band] += rng.standard_normal(shape, np.float32) * noise[band]
    sky_map = SkyMap(
        data=image,
        wcs=make_wcs(shape, ra_deg=ra_deg, dec_deg=dec_deg, pixel_scale_arcsec=PIXEL_SCALE_ARCSEC),
        valid=np.ones(shape, bool),
        bands=BANDS,
        units=UNITS,
        pixel_scale_arcsec=PIXEL_SCALE_ARCSEC,
    )
    return sky_map, _truth_table(sky_map, field, clusters)


def _check_shape(shape: tuple[int, int]) -> None:
    longest = int(40 * 3600 / PIXEL_SCALE_ARCSEC)  # a tangent plane is no map of the sky far from its centre
    if not all(_MIN_SIDE_PIXELS <= side <= longest for side in shape):
        raise InputError(f"a map of {shape[0]} x {shape[1]} pixels: each side must be {_MIN_SIDE_PIXELS} to {longest}")


def _sample_clusters(rng: np.random.Generator, shape: tuple[int, int], boost: float) -> PlacedHaloes:
    mean = cluster_density_per_deg2() * area_deg2(shape, _CLUSTER_PAD_PIXELS) * boost
    haloes = sample_clusters(rng, rng.poisson(mean))
    return PlacedHaloes(haloes, *uniform_positions(rng, len(haloes.redshift), shape, _CLUSTER_PAD_PIXELS))


def _background_wave(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """A plane wave that tilts by 1 over 64 pixels where it is steepest."""
    angle, phase = rng.uniform(0, 2 * np.pi, 2)
    y, x = np.arange(shape[0])[:, None], np.arange(shape[1])[None, :]
    wave = np.sin(2 * np.pi / _BACKGROUND_PERIOD_PIXELS * (y * np.sin(angle) + x * np.cos(angle)) + phase)
    return (wave / (2 * np.sin(np.pi * _GRADIENT_PIXELS / _BACKGROUND_PERIOD_PIXELS))).astype(np.float32)


def _truth_table(sky_map: SkyMap, field: Field, clusters: PlacedHaloes) -> Table:
    bright = field.stars.w1_mag < TRUTH_STARS_BRIGHTER_THAN_W1
    parts = [
        halo_rows("cluster", clusters),
        halo_rows("group", field.groups),
        _star_rows("bright_star", Sources(*(column[bright] for column in field.stars))),
        _star_rows("agn", field.agn),
    ]
    return truth_table(sky_map, parts, ("redshift", "m500c_msun", "theta500_arcmin", "w1_mag"))


def _star_rows(object_type: str, sources: Sources) -> Table:
    return truth_rows(object_type, sources.y_pixels, sources.x_pixels, w1_mag=sources.w1_mag)
