"""What the builders of simulated cutouts share: their config, features, splits and band statistics."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from clusterjax.config import DataConfig
from clusterjax.data.sources import open_source
from clusterjax.data.statistics import fit_band_statistics
from clusterjax.simulation.cutout import POSITIVE_TYPE
from clusterjax.simulation.knobs import XRAY_CLUSTERS
from clusterjax.simulation.skies import Sky, simulation_of
from tfds_builders.generation import CarefulBuild, absl_errors_only, generate_in_parallel, ordered_key
from tfds_builders.leak_check import Levels, describe_levels, note_leak
from tfds_builders.on_beam import Work
from tfds_builders.sharing import Share
from tfds_builders.simulated_example import SPLITS, simulate_example, simulate_without_sources
from tfds_builders.sky_features import sky_features

LABELS = ("other", POSITIVE_TYPE)
_SAMPLE = 1024  # training examples whose pixels statistics are of, evenly spaced: 4 million pixels a band
_CHECKED = 65_536  # examples of a split that the check for leaks takes at most
_OBJECTS = (POSITIVE_TYPE, *XRAY_CLUSTERS)


@dataclasses.dataclass
class SimulatedConfig(tfds.core.BuilderConfig):
    """What is simulated. A builder gives the defaults of its sky; other values go by a name of their own."""

    name: str = "simulated"
    num_train: int = 12_000
    num_validation: int = 2_000
    num_test: int = 4_000
    simulated_size: int = 64
    image_size: int | None = None  # pixels a side that pictures are then resampled to; None: as they are simulated
    object_fractions: dict[str, float] = dataclasses.field(default_factory=dict)
    seed: int = 0
    binary: bool = True
    labels: str = "experts"  # what they are; another name: as a builder's change_labels says
    sky: Sky | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Cluster or other; or the types of object (or the classes of such) that are drawn at all."""
        if self.binary:
            return LABELS
        drawn = (name for name in self.sky.object_types if self.object_fractions.get(name, 0.0) > 0)
        return tuple(dict.fromkeys(self.class_of(name) for name in drawn))

    @property
    def stored_size(self) -> int:
        """Pixels a side of what the data set holds."""
        return self.image_size or self.simulated_size

    def class_of(self, object_type: str) -> str:
        """Its class, where classes are not cluster and other."""
        return (simulation_of(self.sky).class_of or {}).get(object_type, object_type)

    def labelled(self, example: dict, labels: Sequence[str] | None, index: int) -> dict:
        """``example`` with the label that this data set gives it; ``labels`` are what ``change_labels`` says."""
        if labels is not None:
            return example | {"label": labels[index]}
        return example if self.binary else example | {"label": self.class_of(example["object_type"])}

    def content(self) -> dict:
        """All that the data set depends on, JSON-able."""
        return {
            **({} if self.binary else {"binary": False}),
            **({} if self.labels == "experts" else {"labels": self.labels}),
            "num_train": self.num_train,
            "num_validation": self.num_validation,
            "num_test": self.num_test,
            "simulated_size": self.simulated_size,
            **({} if self.image_size is None else {"image_size": self.image_size}),
            "object_fractions": {name: float(self.object_fractions.get(name, 0.0)) for name in self.sky.object_types},
            "seed": self.seed,
            "sky": {
                name: _plain(value)
                for name, value in dataclasses.asdict(self.sky).items()
                if (name, value) not in _ADDED
            },
        }

    def named_by_content(self, default: "SimulatedConfig") -> "SimulatedConfig":
        """The same with the name ``simulated`` if its content is the default's, else ``simulated-<8 hex digits>``."""
        name = "simulated"
        if self.content() != default.content():
            text = json.dumps(self.content(), sort_keys=True)
            name += "-" + hashlib.sha256(text.encode()).hexdigest()[:8]
        return dataclasses.replace(self, name=name)


# Knobs that came later, at the value that all was simulated with before: data sets keep their names.
_ADDED = (("profile", "arnaud"), ("tsz_cib_correlation", 0.0), ("cirrus_scatter", 0.0))


def _plain(value: Any) -> bool | str | float | list | dict:
    """1 and 1.0 are the same sky."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    return value if isinstance(value, bool | str) else float(value)


def simulated_examples(
    config: SimulatedConfig, split: str, recipe: dict[str, Any], labels: Sequence[str] | None, indices: range
) -> Iterator[dict]:
    """Examples ``indices`` of a split, wherever they are wanted."""
    for index in indices:
        yield config.labelled(simulate_example(split, index, image_size=config.image_size, **recipe), labels, index)


class SimulatedCutouts(CarefulBuild):
    """Mix-in before ``tfds.core.GeneratorBasedBuilder``: simulated cutouts in splits that share no sky."""

    share: Share | None = None  # with other hosts
    num_processes: int | None = None  # that simulate; None: one a core. The content does not depend on it.

    def _info(self) -> tfds.core.DatasetInfo:
        config = self.builder_config
        simulation = simulation_of(config.sky)
        scales = simulation.band_scales_arcsec
        resampled = config.simulated_size / config.stored_size
        return self.dataset_info_from_configs(
            features=sky_features(
                config.stored_size,
                len(simulation.bands),
                classes=config.classes,
                object_types=config.sky.object_types,
                measurements=simulation.measurements + simulation.levels,
                dtype=simulation.dtype,
            ),
            supervised_keys=("image", "label"),
            disable_shuffling=True,  # every example is an independent draw: their order is random as it is
            metadata=tfds.core.MetadataDict(
                {
                    "bands": list(simulation.bands),
                    # None where bands have several: they cannot be cut from one map.
                    "pixel_scale_arcsec": None if scales else simulation.pixel_scale_arcsec * resampled,
                    **({"band_scales_arcsec": list(scales)} if scales else {}),
                    "positive_class": POSITIVE_TYPE,
                    "units": simulation.units,
                    # Pixels of 8 bits are pictures, to be shown as they are.
                    "input_kind": "images" if simulation.dtype is np.uint8 else "sky",
                    "simulation": config.content(),
                }
            ),
        )

    def change_labels(self, split: str) -> Sequence[str] | None:
        """The class names that all examples of ``split`` get in place of what they are; None: none do."""
        del split

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        del dl_manager  # nothing to download
        return {split: self._generate_examples(split) for split in SPLITS}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict]]:
        config = self.builder_config
        count = getattr(config, f"num_{split}")
        labels = self.change_labels(split)
        for index, example in enumerate(self._examples(split)):
            self._note(split, index, example)
            yield ordered_key(index, count), config.labelled(example, labels, index)
        self._note_end(split)

    def _evenly_spaced(self, split: str, most: int) -> range:
        """Numbers of ``most`` examples of a split, or fewer."""
        count = getattr(self.builder_config, f"num_{split}")
        return range(0, count, max(-(-count // most), 1))

    def _is_noted(self, split: str, index: int) -> tuple[bool, bool]:
        """Whether an example's pixels count in the statistics, and whether the check for leaks takes it."""
        return (
            split == "train" and index in self._evenly_spaced(split, _SAMPLE),
            split != "validation" and index in self._evenly_spaced(split, _CHECKED),
        )

    def _note(self, split: str, index: int, example: dict) -> None:
        in_statistics, checked = self._is_noted(split, index)
        if index == 0 and split == "train":
            self._images: list[np.ndarray] = []
            self._levels: dict[str, Levels] = {"train": [], "test": []}
        if in_statistics:
            self._images.append(example["image"])
        if checked:
            names = ("ra_deg", "dec_deg", *simulation_of(self.builder_config.sky).levels)
            self._levels[split].append(([example[name] for name in names], example["object_type"] in _OBJECTS))

    def _note_end(self, split: str) -> None:
        """Statistics of the training split; what gives labels away, once the test split is there too."""
        config, metadata = self.builder_config, self.info.metadata
        if split == "train":
            images, self._images = np.stack(self._images), []
            step = max(config.stored_size**2 // 64**2, 1)  # of large cutouts, evenly spaced pixels
            pixels = images.reshape(len(images), -1, images.shape[-1])[:, ::step]
            metadata["band_statistics"] = fit_band_statistics(pixels, metadata["bands"]).to_dict()
        if split == "test":
            note_leak(metadata, self._levels, describe_levels(simulation_of(config.sky).levels))

    def beam_work(self) -> list[Work]:
        config = self.builder_config
        return [
            Work(
                split,
                functools.partial(simulated_examples, config, split, self._recipe(), self.change_labels(split)),
                range(getattr(config, f"num_{split}")),
            )
            for split in SPLITS
        ]

    def note_examples(self) -> None:
        names = self.info.features["object_type"].names
        for split in SPLITS:
            source = open_source(self, split)
            for index in range(len(source)):
                if any(self._is_noted(split, index)):
                    example = source[index]
                    self._note(split, index, example | {"object_type": names[example["object_type"]]})
            self._note_end(split)

    def _examples(self, split: str) -> Iterator[dict]:
        return generate_in_parallel(
            functools.partial(simulate_example, split, image_size=self.builder_config.image_size, **self._recipe()),
            range(getattr(self.builder_config, f"num_{split}")),
            num_processes=self.num_processes,
            description=f"Simulating {split}",
            unit="cutout",
            share=self.share,
        )

    def make_share(self) -> None:
        """On another host than the first: this host's part of what the first one puts together."""
        for split in SPLITS:
            for _ in self._examples(split):
                raise RuntimeError("the first host puts a data set together, no other")

    def _recipe(self) -> dict[str, Any]:
        """What each example depends on, besides its split and number."""
        config = self.builder_config
        return {
            "seed": config.seed,
            "sky": config.sky,
            "object_fractions": config.object_fractions,
            "size": config.simulated_size,
        }

    def without_sources(self, split: str, indices: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
        """(images, which objects have sources of their own) of microwave examples drawn anew without point sources."""
        drawn = generate_in_parallel(
            functools.partial(simulate_without_sources, split, **self._recipe()),
            indices,
            num_processes=self.num_processes,
            description=f"Simulating {split} without sources",
            unit="cutout",
        )
        images, own_sources = zip(*drawn, strict=True)
        return np.stack(images), np.array(own_sources)

    def estimated_bytes(self) -> int:
        config = self.builder_config
        simulation = simulation_of(config.sky)
        count = config.num_train + config.num_validation + config.num_test
        return count * (config.stored_size**2 * len(simulation.bands) * np.dtype(simulation.dtype).itemsize + 1000)


def make_simulated_builder(builder_class: type, config: DataConfig, sky: Sky):
    """A ``builder_class`` of the data set that ``config`` and ``sky`` describe."""
    default = builder_class.BUILDER_CONFIGS[0]
    simulated = dataclasses.replace(
        default,
        num_train=config.num_train,
        num_validation=config.num_validation,
        num_test=config.num_test,
        simulated_size=config.simulated_size,
        image_size=config.image_size,
        object_fractions=dict(config.object_fractions),
        seed=config.seed,
        binary=config.binary,
        labels=config.labels,
        sky=sky,
    ).named_by_content(default)
    with absl_errors_only():
        builder = builder_class(
            config=default.name if simulated.name == default.name else simulated, data_dir=config.data_dir
        )
    builder.num_processes = config.num_processes
    return builder
