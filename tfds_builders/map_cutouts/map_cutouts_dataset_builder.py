"""TFDS builder of cutouts from maps on disk: known objects of a catalogue against empty sky of the same footprint."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
from absl import logging
from astropy.table import Table

from clusterjax.config import DataConfig
from clusterjax.errors import InputError
from clusterjax.evaluation.leak import leak_auc
from clusterjax.simulation.cutout import POSITIVE_TYPE
from clusterjax.sky.open_map import file_stamps
from tfds_builders.generation import CarefulBuild, absl_errors_only, generate_in_parallel, ordered_key
from tfds_builders.map_cutouts.cutting import cut
from tfds_builders.map_cutouts.plan import EMPTY, SPLITS, Selection, expand, plan
from tfds_builders.pixel_sample import PixelSample
from tfds_builders.sky_features import sky_features

_CHUNK = 128  # cutouts cut at a time
_LEAK_SIGMA = 3.0


@dataclasses.dataclass
class MapsConfig(tfds.core.BuilderConfig):
    """The cutouts of one data set; made by :func:`make_builder`, named by a hash of all that it depends on."""

    name: str = ""
    maps: tuple[str, ...] = ()
    catalogue: str = ""
    bands: tuple[str, ...] = ()
    units: str = ""
    pixel_scale_arcsec: float = 0.0
    size: int = 0
    classes: tuple[str, ...] = ()
    object_types: tuple[str, ...] = ()
    min_valid_fraction: float = 0.0
    num_processes: int | None = None  # that cut; None: one a core
    rows: Table | None = dataclasses.field(default=None, repr=False)  # as from plan()


class Builder(CarefulBuild, tfds.core.GeneratorBasedBuilder):
    """Cutouts of local maps in splits that share no sky. Made by :func:`make_builder`; there is no default config."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        config = self.builder_config
        return self.dataset_info_from_configs(
            features=sky_features(
                config.size, len(config.bands), classes=config.classes, object_types=config.object_types
            ),
            supervised_keys=("image", "label"),
            disable_shuffling=True,  # Grain shuffles
            metadata=tfds.core.MetadataDict(
                {
                    "bands": list(config.bands),
                    "pixel_scale_arcsec": config.pixel_scale_arcsec,
                    "positive_class": POSITIVE_TYPE if POSITIVE_TYPE in config.classes else None,
                    "units": config.units,
                    "input_kind": "sky",
                    "maps": list(config.maps),
                    "catalogue": config.catalogue,
                }
            ),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        del dl_manager  # nothing to download
        self._levels: dict[str, list] = {split: [] for split in SPLITS}
        return {split: self._generate_examples(split) for split in SPLITS}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict]]:
        config = self.builder_config
        columns = {name: np.asarray(config.rows[name]) for name in config.rows.colnames}
        chosen = np.flatnonzero(columns["split"] == split)
        sample = PixelSample(len(chosen), config.size)
        results = generate_in_parallel(
            functools.partial(cut, config.maps, config.bands, config.size, config.name),
            np.stack([columns[name][chosen] for name in ("map", "ra_deg", "dec_deg")], axis=1, dtype=np.float64),
            num_processes=config.num_processes,
            description=f"Cutting {split}",
            unit="cutout",
            chunk_size=_CHUNK,
            by_chunk=True,
        )
        for row, (image, valid_fraction, border) in zip(chosen.tolist(), results, strict=True):
            if valid_fraction < config.min_valid_fraction:
                continue
            example = self._example(image, row, columns)
            if split == "train":
                sample.add(image)
            features = [example["ra_deg"], example["dec_deg"], valid_fraction, *border]
            self._levels[split].append((features, example["object_type"] != EMPTY))
            yield ordered_key(row, len(config.rows)), example
        if split == "train":
            self.info.metadata.update(sample.statistics(config.bands))
        if split == SPLITS[-1]:
            self._check_for_leaks()

    def _example(self, image: np.ndarray, row: int, columns: dict[str, np.ndarray]) -> dict:
        config = self.builder_config
        object_type = str(columns["object_type"][row])
        label = object_type if object_type in config.classes else "other"
        return {
            "image": image,
            "label": label,
            "object_type": object_type,
            "ra_deg": float(columns["ra_deg"][row]),
            "dec_deg": float(columns["dec_deg"][row]),
            "redshift": np.float32(columns["redshift"][row]),
            "m500c_msun": np.float32(columns["m500c_msun"][row]),
            "object_id": row,
            "sky_block": int(columns["sky_block"][row]),
        }

    def _check_for_leaks(self) -> None:
        """What position, depth and border level alone tell of the label, into the metadata; a warning if much."""
        train, test = (self._levels[split] for split in ("train", "test"))
        features = [np.array([row[0] for row in rows], np.float64) for rows in (train, test)]
        labels = [np.array([row[1] for row in rows], bool) for rows in (train, test)]
        value, error = leak_auc(features[0], labels[0], features[1], labels[1])
        self.info.metadata["leak_check"] = {"auc": value, "error": error}
        if abs(value - 0.5) > _LEAK_SIGMA * error:
            logging.warning(
                "position, depth and the level at the border alone tell objects from empty sky: AUC %.3f +- %.3f; a "
                "network may learn the footprint instead of the objects",
                value,
                error,
            )

    def estimated_bytes(self) -> int:
        config = self.builder_config
        return len(config.rows) * (config.size**2 * len(config.bands) * 4 + 1000)


def make_builder(config: DataConfig, sky=None) -> Builder:
    """The builder for ``config.maps`` and ``config.catalogue``; ``download_and_prepare()`` then cuts them all.

    Opens all maps, once in a program's life as long as no file changes. ``sky`` is not used: all builders are made by
    the same call. Raises :class:`InputError` for whatever is wrong with the maps or the catalogue (see README.md).
    """
    del sky
    selection = Selection(
        size=config.simulated_size,
        exclusion_arcmin=config.exclusion_arcmin,
        random_per_object=config.random_per_object,
        block_nside=config.block_nside,
        seed=config.seed,
    )
    files = expand(config.maps)
    stamps = file_stamps([*(file for name in files for file in name.split("+")), config.catalogue])
    rows, bands, units, pixel_scale_arcsec = _planned(files, config.catalogue, selection, stamps)
    object_types = tuple(
        sorted(set(np.asarray(rows["object_type"]).tolist()), key=lambda name: (name != POSITIVE_TYPE, name))
    )
    if config.binary and POSITIVE_TYPE not in object_types:
        raise InputError(
            f"{config.catalogue} has the types {', '.join(object_types)} and no {POSITIVE_TYPE!r}; name the objects "
            f"to find {POSITIVE_TYPE!r}, or set config.data.binary=False for a class a type"
        )
    maps = MapsConfig(
        maps=files,
        catalogue=config.catalogue,
        bands=bands,
        units=units,
        pixel_scale_arcsec=pixel_scale_arcsec,
        size=config.simulated_size,
        classes=("other", POSITIVE_TYPE) if config.binary else object_types,
        object_types=object_types,
        min_valid_fraction=config.min_valid_fraction,
        num_processes=config.num_processes,
        rows=rows,
    )
    maps.name = f"maps-{_content_hash(maps, stamps)}"
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


def _content_hash(maps: MapsConfig, stamps: tuple) -> str:
    """Of all that the cutouts depend on."""
    content = [
        stamps,
        maps.size,
        maps.classes,
        maps.min_valid_fraction,
        [(name, np.asarray(maps.rows[name]).tolist()) for name in maps.rows.colnames],
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:8]
