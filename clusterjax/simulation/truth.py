"""The truth of a simulated map: a row an object, on the map's own pixels and on the sky."""

from collections.abc import Sequence

import numpy as np
from astropy.table import Table, vstack

from clusterjax.simulation.cosmology import theta500_arcmin
from clusterjax.simulation.haloes import PlacedHaloes
from clusterjax.sky.skymap import SkyMap


def truth_rows(object_type: str, y_pixels: np.ndarray, x_pixels: np.ndarray, **known: np.ndarray) -> Table:
    """Rows of one type; ``known`` are further columns."""
    types = np.full(len(y_pixels), object_type, dtype="U11")
    return Table({"object_type": types, "x_pixels": x_pixels, "y_pixels": y_pixels, **known})


def halo_rows(object_type: str, placed: PlacedHaloes) -> Table:
    """Rows of haloes: redshift, true M500c (Msun) and theta500 (arcmin)."""
    mass, redshift = placed.haloes
    return truth_rows(
        object_type,
        placed.y_pixels,
        placed.x_pixels,
        redshift=redshift,
        m500c_msun=mass,
        theta500_arcmin=theta500_arcmin(mass, redshift),
    )


def truth_table(sky_map: SkyMap, parts: Sequence[Table], columns: Sequence[str]) -> Table:
    """The rows centred in the map, with ``object_id``, ``ra_deg``, ``dec_deg``; NaN where a part lacks a column."""
    for part in parts:
        for name in columns:
            if name not in part.colnames:
                part[name] = np.full(len(part), np.nan)
    table = vstack(list(parts), metadata_conflicts="silent")
    ny, nx = sky_map.shape
    inside = (np.abs(table["y_pixels"] - (ny - 1) / 2) < ny / 2) & (np.abs(table["x_pixels"] - (nx - 1) / 2) < nx / 2)
    table = table[inside]
    ra_deg, dec_deg = sky_map.pixel_to_sky(table["y_pixels"].data, table["x_pixels"].data)
    table.add_columns(
        [np.arange(len(table)), ra_deg, dec_deg], names=["object_id", "ra_deg", "dec_deg"], indexes=[0] * 3
    )
    return table
