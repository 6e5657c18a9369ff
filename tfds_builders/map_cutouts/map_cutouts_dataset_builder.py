"""TFDS builder of cutouts from maps on disk: known objects of a catalogue against empty sky of the same footprint."""

import dataclasses
import functools
from typing import Any

import tensorflow_datasets as tfds
from astropy.table import Table

from clusterjax.config import DataConfig
from clusterjax.sky.open_map import file_stamps
from tfds_builders.generation import absl_errors_only
from tfds_builders.map_cutouts.from_maps import FromMaps
from tfds_builders.map_cutouts.plan import expand, plan
from tfds_builders.placed_cutouts import PlacedConfig, PlacedCutouts, content_hash
from tfds_builders.planning import Selection, types_and_classes


@dataclasses.dataclass
class MapsConfig(PlacedConfig):
    """The cutouts of one data set; made by :func:`make_builder`, named by a hash of all that it depends on."""

    maps: tuple[str, ...] = ()
    catalogue: str = ""
    num_processes: int | None = None  # that cut; None: one a core

    def about(self) -> dict[str, Any]:
        return {"maps": list(self.maps), "catalogue": self.catalogue}


class Builder(FromMaps, PlacedCutouts, tfds.core.GeneratorBasedBuilder):
    """Cutouts of local maps in splits that share no sky. Made by :func:`make_builder`; there is no default config."""

    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES = {"1.1.0": "Examples say how their redshift was measured."}  # noqa: RUF012  (TFDS's interface)


def make_builder(config: DataConfig, sky=None) -> Builder:
    """The builder for ``config.maps`` and ``config.catalogue``; ``download_and_prepare()`` then cuts them all.

    Opens all maps, once in a program's life as long as no file changes. ``sky`` is not used: all builders are made by
    the same call. Raises :class:`InputError` for whatever is wrong with the maps or the catalogue (see README.md).
    """
    del sky
    files = expand(config.maps)
    stamps = file_stamps([*(file for name in files for file in name.split("+")), config.catalogue])
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
        num_processes=config.num_processes,
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
