"""What the builders of cutouts of a real sky share: features, splits, statistics, and the check for leaks."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from absl import logging
from astropy.table import Table

from clusterjax.evaluation.leak import leak_auc
from clusterjax.simulation.cutout import POSITIVE_TYPE
from tfds_builders.generation import CarefulBuild, ordered_key
from tfds_builders.pixel_sample import PixelSample
from tfds_builders.planning import EMPTY, SPLITS
from tfds_builders.sky_features import sky_features

_LEAK_SIGMA = 3.0


@dataclasses.dataclass
class PlacedConfig(tfds.core.BuilderConfig):
    """The cutouts of one data set: ``rows`` has a row each, with its position, type, numbers, block and split."""

    name: str = ""
    bands: tuple[str, ...] = ()
    units: str = ""
    pixel_scale_arcsec: float = 0.0
    size: int = 0
    classes: tuple[str, ...] = ()
    object_types: tuple[str, ...] = ()
    min_valid_fraction: float = 0.0
    rows: Table | None = dataclasses.field(default=None, repr=False)

    def about(self) -> dict[str, Any]:
        """What the metadata say of where the pixels and the objects are from."""
        return {}


class PlacedCutouts(CarefulBuild):
    """Mix-in before ``tfds.core.GeneratorBasedBuilder``. A builder adds ``_cut``."""

    def _cut(self, chosen: np.ndarray, split: str) -> Iterator[tuple[np.ndarray, float, np.ndarray]]:
        """(image, valid fraction, border level of each band) of each of the rows given, with a progress bar."""
        raise NotImplementedError

    def _info(self) -> tfds.core.DatasetInfo:
        config = self.builder_config
        return self.dataset_info_from_configs(
            features=sky_features(
                config.size,
                len(config.bands),
                classes=config.classes,
                object_types=config.object_types,
                redshift_kinds=True,
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
                    **config.about(),
                }
            ),
        )

    @property
    def split_names(self) -> tuple[str, ...]:
        """Train, validation and test; then those of catalogues that are held out."""
        own = set(np.asarray(self.builder_config.rows["split"]).tolist())
        return (*SPLITS, *sorted(own - set(SPLITS)))

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        del dl_manager  # it is of another kind of download
        self._levels: dict[str, list] = {split: [] for split in self.split_names}
        return {split: self._generate_examples(split) for split in self.split_names}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict]]:
        config = self.builder_config
        columns = {name: np.asarray(config.rows[name]) for name in config.rows.colnames}
        chosen = np.flatnonzero(columns["split"] == split)
        sample = PixelSample(len(chosen), config.size)
        for row, (image, valid_fraction, border) in zip(chosen.tolist(), self._cut(chosen, split), strict=True):
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
            "redshift_kind": str(columns["redshift_kind"][row]) or "unknown",
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


def content_hash(config: PlacedConfig, source: Any) -> str:
    """Of all that the cutouts depend on; ``source`` says where their pixels come from."""
    content = [
        source,
        config.size,
        config.classes,
        config.min_valid_fraction,
        [(name, np.asarray(config.rows[name]).tolist()) for name in config.rows.colnames],
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:8]
