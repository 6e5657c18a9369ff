"""Cutouts of maps on disk, in worker processes: imports no more than that needs."""

import functools

import numpy as np

from clusterjax.sky.cutouts import extract_cutouts
from clusterjax.sky.reader import MapReader
from tfds_builders.border_levels import border_levels
from tfds_builders.map_cutouts.plan import open_entry


@functools.lru_cache(maxsize=16)
def _opened(name: str, bands: tuple[str, ...], units: str, version: str) -> MapReader:
    """Each process opens a map once; what was read of it is the system's to keep or drop."""
    del version  # of the files, so that one written anew is opened anew
    return open_entry(name, bands, units)


def cut(
    maps: tuple[str, ...], bands: tuple[str, ...], units: str, size: int, version: str, positions: list[np.ndarray]
) -> list[tuple[np.ndarray, float, np.ndarray]]:
    """(image, valid fraction, border levels) about each of ``positions``: number in ``maps``, ra_deg, dec_deg."""
    number, ra_deg, dec_deg = np.transpose(positions)
    results: list = [None] * len(number)
    for wanted in np.unique(number).astype(int):
        here = np.flatnonzero(number == wanted)
        images, valid = extract_cutouts(_opened(maps[wanted], bands, units, version), ra_deg[here], dec_deg[here], size)
        for index, *result in zip(here.tolist(), images, valid.tolist(), border_levels(images), strict=True):
            results[index] = tuple(result)
    return results


def cut_rows(
    maps: tuple[str, ...], bands: tuple[str, ...], units: str, size: int, version: str, rows: list[dict]
) -> list[tuple[np.ndarray, float, np.ndarray]]:
    """:func:`cut` about rows with ``map``, ``ra_deg`` and ``dec_deg``."""
    positions = [np.array([row[name] for name in ("map", "ra_deg", "dec_deg")], float) for row in rows]
    return cut(maps, bands, units, size, version, positions)
