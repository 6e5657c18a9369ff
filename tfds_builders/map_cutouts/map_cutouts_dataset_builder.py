"""TFDS builder of cutouts from maps on disk: known objects of a catalogue against empty sky of the same footprint."""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from astropy.table import Table

from clusterjax.config import DataConfig
from clusterjax.sky.cutouts import extract_cutouts
from tfds_builders.generation import absl_errors_only
from tfds_builders.map_cutouts.plan import expand, open_map, plan
from tfds_builders.placed_cutouts import PlacedConfig, PlacedCutouts, content_hash, file_stamps
from tfds_builders.planning import Selection, types_and_classes

_CHUNK = 256  # cutouts held at a time


@dataclasses.dataclass
class MapsConfig(PlacedConfig):
    """The cutouts of one data set; made by :func:`make_builder`, named by a hash of all that it depends on."""

    maps: tuple[str, ...] = ()
    catalogue: str = ""

    def about(self) -> dict[str, Any]:
        return {"maps": list(self.maps), "catalogue": self.catalogue}


class Builder(PlacedCutouts, tfds.core.GeneratorBasedBuilder):
    """Cutouts of local maps in splits that share no sky. Made by :func:`make_builder`; there is no default config."""

    VERSION = tfds.core.Version("1.0.0")

    def _cut(self, chosen: np.ndarray) -> Iterator[tuple[np.ndarray, float, int]]:
        """(image, valid fraction, row) of the rows given, map by map."""
        config = self.builder_config
        rows = config.rows
        for number in np.unique(rows["map"][chosen]):
            sky = open_map(config.maps[number], config.bands)
            here = chosen[np.asarray(rows["map"])[chosen] == number]
            for part in np.array_split(here, -(-len(here) // _CHUNK)):
                position = np.asarray(rows["ra_deg"], float)[part], np.asarray(rows["dec_deg"], float)[part]
                images, valid = extract_cutouts(sky, *position, config.size)
                yield from zip(images, valid.tolist(), part.tolist(), strict=True)


def make_builder(config: DataConfig, sky=None) -> Builder:
    """The builder for ``config.maps`` and ``config.catalogue``; ``download_and_prepare()`` then cuts them all.

    Reads all maps, once in a program's life as long as no file changes. ``sky`` is not used: all builders are made by
    the same call. Raises :class:`InputError` for whatever is wrong with the maps or the catalogue (see README.md).
    """
    del sky
    files = expand(config.maps)
    stamps = file_stamps((*files, config.catalogue))
    rows, bands, units, pixel_scale_arcsec = _planned(files, config.catalogue, Selection.of(config), stamps)
    object_types, classes = types_and_classes(rows, binary=config.binary, objects=config.catalogue)
    maps = MapsConfig(
        maps=files,
        catalogue=config.catalogue,
        bands=bands,
        units=units,
        pixel_scale_arcsec=pixel_scale_arcsec,
        size=config.simulated_size,
        classes=classes,
        object_types=object_types,
        min_valid_fraction=config.min_valid_fraction,
        rows=rows,
    )
    maps.name = f"maps-{content_hash(maps, stamps)}"
    with absl_errors_only():
        return Builder(config=maps, data_dir=config.data_dir)


@functools.lru_cache(maxsize=2)
def _planned(
    files: tuple[str, ...], catalogue: str, selection: Selection, stamps: tuple
) -> tuple[Table, tuple[str, ...], str, float]:
    """(rows, bands, units, pixel scale): every job of a run asks, and the maps may be large. ``stamps`` are the key."""
    del stamps
    rows, first = plan(files, catalogue, selection)
    return rows, first.bands, first.units, float(first.pixel_scale_arcsec)
