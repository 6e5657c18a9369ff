"""Whole simulated microwave maps with the truth of what they hold."""

import copy
import functools

import numpy as np
from astropy.table import Table

from clusterjax.errors import InputError
from clusterjax.simulation.haloes import (
    Haloes,
    PlacedHaloes,
    cluster_density_per_deg2,
    group_density_per_deg2,
    sample_clusters,
    sample_groups,
)
from clusterjax.simulation.knobs import MicrowaveSky
from clusterjax.simulation.microwave.bands import (
    PIXEL_SCALE_ARCMIN,
    UNITS,
    beam_transform,
    survey_of,
    sz_uk_per_y,
)
from clusterjax.simulation.microwave.cirrus import Cirrus
from clusterjax.simulation.microwave.flat_sky import (
    PIXEL_RADIANS,
    GaussianField,
    deposit_transform,
    grid_ell,
    padded_side,
)
from clusterjax.simulation.microwave.painting import paint_haloes
from clusterjax.simulation.microwave.plate_carree import (
    DEC_MAX_DEG,
    Zone,
    make_zones,
    over_zones,
    row_dec_deg,
    row_width,
)
from clusterjax.simulation.microwave.sources import PointSources, join, sources_in_haloes
from clusterjax.simulation.microwave.spectra import map_covariance
from clusterjax.simulation.microwave.surroundings import field_sources
from clusterjax.simulation.truth import halo_rows, truth_rows, truth_table
from clusterjax.sky.geometry import make_wcs
from clusterjax.sky.skymap import SkyMap

TRUTH_SOURCES_ABOVE_MJY = 10.0
GROUPS_ABOVE_MSUN = 3e13  # painted; fainter ones are left out with the Gaussian SZ term
_MAP_STREAM = 7_002  # keeps a map's random numbers apart from those of cutouts with the same seed
_MIN_SIDE_PIXELS, _MAX_SIDE_DEG, _MAX_CAR_HEIGHT_DEG = 64, 30, 90


def simulate_map(
    sky: MicrowaveSky,
    *,
    seed: int,
    shape: tuple[int, int],
    ra_deg: float,
    dec_deg: float,
    cluster_boost: float = 1.0,
    projection: str = "TAN",
    haloes: tuple[PlacedHaloes, PlacedHaloes] | None = None,
    radio_hosts: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[SkyMap, Table]:
    """A map of ``shape`` = (ny, nx) pixels of 0.5 arcmin centred on (``ra_deg``, ``dec_deg``), and its truth.

    µK of the CMB in three bands, at the depth of ``sky.survey``. Haloes above 1.25e14 Msun follow the true mass
    function, ``cluster_boost`` times as dense; those down to 3e13 have their true density. In ``TAN`` the sky is flat,
    up to 30 deg a side. In ``CAR``, the projection of ACT's maps, pixels have 0.5 arcmin of RA and of Dec; such a map
    may be 90 deg high, 30 deg of RA wide, and reach 65 deg from the equator. ``haloes``: these groups and these
    clusters, on the pixels of the map's periodic grid. ``radio_hosts``: (y, x) on the map, where its radio galaxies
    are. ``sky.mass_floor_msun``, ``redshift_max``, ``centre_offset_arcmin`` and ``label_noise`` concern training
    cutouts only.

    The truth has a row for every halo centred in the map, and every radio or dusty galaxy above 10 mJy:
    ``object_id``, ``object_type``, ``ra_deg``, ``dec_deg``, ``x_pixels``, ``y_pixels`` (0-based), ``redshift``,
    ``m500c_msun`` (true), ``theta500_arcmin`` and ``flux_mjy``, NaN where an object has no such thing.
    Raises :class:`InputError` for a map that is too small, too large, or CAR far from the equator.
    """
    _check(shape, dec_deg, projection)
    rng = np.random.default_rng([seed, _MAP_STREAM])
    grid = tuple(padded_side(side) for side in shape)
    width = None if projection == "TAN" else functools.partial(row_width, shape=shape, dec_deg=dec_deg)
    groups, clusters = haloes or (
        _place(rng, grid, group_density_per_deg2(GROUPS_ABOVE_MSUN), _sample_painted_groups, width),
        _place(rng, grid, cluster_density_per_deg2() * cluster_boost, sample_clusters, width),
    )
    sources = field_sources(rng, sky, grid)
    if width is not None:
        sources = PointSources(*_thinned(rng, sources, width(sources.y_pixels)))
    if radio_hosts is not None:
        sources = _moved_to_hosts(rng, sources, radio_hosts, shape)
    sources = join([sources, *(sources_in_haloes(rng, sky, placed, width=width) for placed in (groups, clusters))])
    beam_scale = 1 + rng.normal(0, sky.beam_error)

    def make(zone: Zone) -> np.ndarray:
        # Each zone draws the same random numbers.
        return _flat_map(copy.deepcopy(rng), sky, shape, zone.width, (groups, clusters), sources, beam_scale)

    rows = np.arange(shape[0], dtype=float)
    image = over_zones(make, make_zones(np.ones(shape[0]) if width is None else width(rows)))
    image -= np.median(image, axis=(1, 2), keepdims=True)
    survey = survey_of(sky)
    sky_map = SkyMap(
        data=np.ascontiguousarray(np.moveaxis(image, 0, -1), np.float32),
        wcs=make_wcs(
            shape,
            ra_deg=ra_deg,
            dec_deg=dec_deg,
            pixel_scale_arcsec=PIXEL_SCALE_ARCMIN * 60,
            projection=projection,
        ),
        valid=np.ones(shape, bool),
        bands=survey.bands,
        units=UNITS,
        pixel_scale_arcsec=PIXEL_SCALE_ARCMIN * 60 if width is None else None,
    )
    bright = sources.flux_mjy > TRUTH_SOURCES_ABOVE_MJY
    parts = [
        halo_rows("cluster", clusters),
        halo_rows("group", groups),
        _source_rows("radio", sources, bright & ~sources.dusty),
        _source_rows("dusty", sources, bright & sources.dusty),
    ]
    return sky_map, truth_table(sky_map, parts, ("redshift", "m500c_msun", "theta500_arcmin", "flux_mjy"))


def _flat_map(
    rng: np.random.Generator,
    sky: MicrowaveSky,
    shape: tuple[int, int],
    width: float,
    haloes: tuple[PlacedHaloes, ...],
    sources: PointSources,
    beam_scale: float,
) -> np.ndarray:
    """(band, y, x): all of the sky, where it is flat, on pixels ``width`` times as wide as high."""
    survey = survey_of(sky)
    scattered = sky.cirrus_scatter > 0
    covariance = functools.partial(map_covariance, sky, tsz_painted=True, with_dust=not scattered)
    field = GaussianField(covariance, shape, width=width)
    transform = field.draw_transform(rng)
    y_transform = sum(
        paint_haloes(
            rng, sky, *placed[:3], field.padded, pixel_radians=PIXEL_RADIANS, width=width, ln_scatter=placed.ln_scatter
        )
        for placed in haloes
    )
    weight = sources.uk_sr.T / (PIXEL_RADIANS**2 * width)
    beam = beam_transform(survey, grid_ell(field.padded, width=width), scale=beam_scale).astype(np.float32)
    for band, uk_per_y in enumerate(sz_uk_per_y(survey)):
        objects = deposit_transform(sources.y_pixels, sources.x_pixels, weight[band : band + 1], field.padded)[0]
        transform[band] += (objects + np.float32(uk_per_y) * y_transform) * beam[..., band]
    long_waves = field.draw_long_waves(rng)
    if scattered:
        dust, beyond = Cirrus(sky, shape, width=width).draw(rng, np.moveaxis(beam, -1, 0))
        transform += dust
        long_waves += beyond
    return field.cut(transform) + long_waves


def _check(shape: tuple[int, int], dec_deg: float, projection: str) -> None:
    if projection not in ("TAN", "CAR"):
        raise InputError(f"projection={projection!r} is unknown; use TAN or CAR")
    highest = _MAX_SIDE_DEG if projection == "TAN" else _MAX_CAR_HEIGHT_DEG
    for side, most_deg, what in zip(shape, (highest, _MAX_SIDE_DEG), ("high", "wide"), strict=True):
        longest = int(most_deg * 60 / PIXEL_SCALE_ARCMIN)
        if not _MIN_SIDE_PIXELS <= side <= longest:
            raise InputError(f"a {projection} map {side} pixels {what}: it must be {_MIN_SIDE_PIXELS} to {longest}")
    farthest = np.abs(row_dec_deg(np.array([-0.5, shape[0] - 0.5]), shape, dec_deg)).max()
    if projection == "CAR" and farthest > DEC_MAX_DEG:
        raise InputError(
            f"a CAR map to {farthest:.1f} deg from the equator: its parallels would be too curved there; "
            f"stay within {DEC_MAX_DEG:g} deg, or use TAN"
        )


def _sample_painted_groups(rng, count: int) -> Haloes:
    return sample_groups(rng, count, mass_min_msun=GROUPS_ABOVE_MSUN)


def _thinned(rng, columns, width: np.ndarray) -> list[np.ndarray]:
    """Of objects as dense as if all pixels were square, those that narrow pixels have."""
    kept = rng.random(len(width)) < width
    return [column[kept] for column in columns]


def _place(rng, grid: tuple[int, int], density_per_deg2: float, sample, width) -> PlacedHaloes:
    area_deg2 = grid[0] * grid[1] * (PIXEL_SCALE_ARCMIN / 60) ** 2
    haloes = sample(rng, int(rng.poisson(density_per_deg2 * area_deg2)))
    y, x = (rng.uniform(-0.5, side - 0.5, len(haloes.redshift)) for side in grid)
    if width is not None:
        mass, redshift, y, x = _thinned(rng, (*haloes, y, x), width(y))
        haloes = Haloes(mass, redshift)
    return PlacedHaloes(haloes, y, x)


def _moved_to_hosts(rng, sources: PointSources, hosts, shape: tuple[int, int]) -> PointSources:
    """The radio galaxies within the map, each moved to a host of its own; those without one are left out."""
    inside = ~sources.dusty
    for position, side in zip(sources[:2], shape, strict=True):
        inside &= np.abs(position - (side - 1) / 2) < side / 2
    number = min(int(inside.sum()), len(hosts[0]))
    chosen = rng.permutation(len(hosts[0]))[:number]
    kept = PointSources(*(column[np.flatnonzero(inside)[:number]] for column in sources))
    moved = kept._replace(y_pixels=hosts[0][chosen], x_pixels=hosts[1][chosen])
    return join([PointSources(*(column[~inside] for column in sources)), moved])


def _source_rows(object_type: str, sources: PointSources, rows: np.ndarray) -> Table:
    return truth_rows(object_type, sources.y_pixels[rows], sources.x_pixels[rows], flux_mjy=sources.flux_mjy[rows])
