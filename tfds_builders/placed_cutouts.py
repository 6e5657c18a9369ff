"""What the builders of cutouts of a real sky share: features, splits, statistics, and the check for leaks."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from astropy.table import Table

from clusterjax.data.sources import open_source
from clusterjax.simulation.cutout import POSITIVE_TYPE
from tfds_builders.border_levels import border_levels
from tfds_builders.generation import CarefulBuild, ordered_key
from tfds_builders.leak_check import Levels, note_leak
from tfds_builders.on_beam import Work
from tfds_builders.pixel_sample import PixelSample
from tfds_builders.planning import EMPTY, NUMBERS, SPLITS
from tfds_builders.sky_features import sky_features

_BEAM_CHUNK = 128  # cutouts that a worker cuts at a time

# (image, valid fraction, border level of each band)
Cut = tuple[np.ndarray, float, np.ndarray]


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

    def example(self, image: np.ndarray, row: dict[str, Any]) -> dict:
        """The data set's features of a cutout; ``row`` is that of ``rows``, with its number as ``object_id``."""
        object_type = str(row["object_type"])
        return {
            "image": image,
            "label": object_type if object_type in self.classes else "other",
            "object_type": object_type,
            **{name: float(row[name]) for name in ("ra_deg", "dec_deg")},
            **{name: np.float32(row[name]) for name in NUMBERS},
            "redshift_kind": str(row["redshift_kind"]) or "unknown",
            **{name: int(row[name]) for name in ("object_id", "sky_block")},
        }


def placed_examples(
    config: PlacedConfig, cut: Callable[[list[dict]], Iterable[Cut]], rows: Sequence[dict]
) -> Iterator[dict]:
    """The examples of ``rows`` that are valid enough, wherever they are wanted."""
    for start in range(0, len(rows), _BEAM_CHUNK):
        chunk = rows[start : start + _BEAM_CHUNK]
        for row, (image, valid_fraction, _) in zip(chunk, cut(chunk), strict=True):
            if valid_fraction >= config.min_valid_fraction:
                yield config.example(image, row)


class PlacedCutouts(CarefulBuild):
    """Mix-in before ``tfds.core.GeneratorBasedBuilder``. A builder adds ``_cut`` and ``_beam_cut``."""

    def _cut(self, chosen: np.ndarray, split: str) -> Iterator[Cut]:
        """The cutout of each of the rows given, with a progress bar."""
        raise NotImplementedError

    def _beam_cut(self) -> Callable[[list[dict]], Iterable[Cut]]:
        """The same as a function of rows that travels to other machines, with all done that only one may do."""
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
        self._levels: dict[str, Levels] = {split: [] for split in self.split_names}
        return {split: self._generate_examples(split) for split in self.split_names}

    def _chosen(self, split: str) -> np.ndarray:
        """Numbers of the rows of a split."""
        return np.flatnonzero(np.asarray(self.builder_config.rows["split"]) == split)

    def _rows(self, chosen: np.ndarray) -> Iterator[dict[str, Any]]:
        table = self.builder_config.rows
        columns = {name: np.asarray(table[name])[chosen].tolist() for name in table.colnames}
        columns["object_id"] = chosen.tolist()
        for values in zip(*columns.values(), strict=True):
            yield dict(zip(columns, values, strict=True))

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict]]:
        config = self.builder_config
        chosen = self._chosen(split)
        sample = PixelSample(len(chosen), config.size)
        for row, (image, valid_fraction, border) in zip(self._rows(chosen), self._cut(chosen, split), strict=True):
            if valid_fraction < config.min_valid_fraction:
                continue
            example = config.example(image, row)
            self._note(split, sample, example, valid_fraction, border)
            yield ordered_key(row["object_id"], len(config.rows)), example
        self._note_end(split, sample)

    def _note(self, split: str, sample: PixelSample, example: dict, valid_fraction: float, border: np.ndarray) -> None:
        if split == "train":
            sample.add(example["image"])
        features = [example["ra_deg"], example["dec_deg"], valid_fraction, *border]
        self._levels[split].append((features, example["object_type"] != EMPTY))

    def _note_end(self, split: str, sample: PixelSample) -> None:
        """Of a split, once all its examples are noted."""
        if split == "train":
            self.info.metadata.update(sample.statistics(self.builder_config.bands))
        if split == SPLITS[-1]:
            note_leak(self.info.metadata, self._levels, "position, depth and the level at the border")

    def beam_work(self) -> list[Work]:
        config = dataclasses.replace(self.builder_config, rows=None)
        make = functools.partial(placed_examples, config, self._beam_cut())
        return [Work(split, make, list(self._rows(self._chosen(split)))) for split in self.split_names]

    def note_examples(self) -> None:
        self._levels = {split: [] for split in self.split_names}
        names = self.info.features["object_type"].names
        for split in self.split_names:
            sample = PixelSample(len(self._chosen(split)), self.builder_config.size)
            source = open_source(self, split)
            for index in range(len(source)):
                example = source[index]
                image = example["image"]
                example["object_type"] = names[example["object_type"]]
                valid_fraction = np.isfinite(image).all(axis=2).mean(dtype=np.float32)
                self._note(split, sample, example, float(valid_fraction), border_levels(image[None])[0])
            self._note_end(split, sample)

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
