"""TFDS builder of simulated infrared cutouts, written and read without TensorFlow."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds

from clusterjax.config import DataConfig
from clusterjax.data.statistics import fit_band_statistics
from clusterjax.simulation.cutouts import POSITIVE_TYPE
from clusterjax.simulation.knobs import OBJECT_TYPES, InfraredSky
from clusterjax.simulation.psf import BANDS, PIXEL_SCALE_ARCSEC
from tfds_builders.generation import CarefulBuild, absl_errors_only, generate_in_parallel, ordered_key
from tfds_builders.ir_cutouts.examples import SPLITS, simulate_example

LABELS = ("other", POSITIVE_TYPE)
UNITS = "nMgy (Vega)"
_STATISTICS_CUTOUTS = 1024  # of the training split, evenly spaced: 4 million pixels a band


@dataclasses.dataclass
class SimulatedConfig(tfds.core.BuilderConfig):
    """What is simulated; a config with other values than the defaults goes by a name of its own."""

    name: str = "simulated"
    description: str = "Simulated unWISE W1 and W2 cutouts, half of them with a cluster of galaxies"
    num_train: int = 12_000
    num_validation: int = 2_000
    num_test: int = 4_000
    simulated_size: int = 64
    object_fractions: dict[str, float] = dataclasses.field(default_factory=lambda: DataConfig().object_fractions)
    seed: int = 0
    sky: InfraredSky = dataclasses.field(default_factory=InfraredSky)

    def content(self) -> dict:
        """All that the data set depends on, JSON-able."""
        return {
            "num_train": self.num_train,
            "num_validation": self.num_validation,
            "num_test": self.num_test,
            "simulated_size": self.simulated_size,
            "object_fractions": {name: float(self.object_fractions.get(name, 0.0)) for name in OBJECT_TYPES},
            "seed": self.seed,
            "sky": {
                name: value if isinstance(value, bool) else float(value)
                for name, value in dataclasses.asdict(self.sky).items()
            },
        }

    def named_by_content(self) -> "SimulatedConfig":
        """The same with the name ``simulated`` if all content is default, else ``simulated-<8 hexadecimal digits>``."""
        name = "simulated"
        if self.content() != SimulatedConfig().content():
            text = json.dumps(self.content(), sort_keys=True)
            name += "-" + hashlib.sha256(text.encode()).hexdigest()[:8]
        return dataclasses.replace(self, name=name)


class Builder(CarefulBuild, tfds.core.GeneratorBasedBuilder):
    """Simulated infrared cutouts in splits that share no sky."""

    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES = {"1.1.0": "The unclustered field is thinned so that total counts stay right."}  # noqa: RUF012  (TFDS's interface)
    BUILDER_CONFIGS = [SimulatedConfig()]  # noqa: RUF012
    num_processes: int | None = None  # that simulate; None: one a core. The content does not depend on it.

    def _info(self) -> tfds.core.DatasetInfo:
        size = self.builder_config.simulated_size
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    # Float noise does not compress: plain bytes are half the time to read of zlib.
                    "image": tfds.features.Tensor(shape=(size, size, len(BANDS)), dtype=np.float32, encoding="bytes"),
                    "label": tfds.features.ClassLabel(names=list(LABELS)),
                    "object_type": tfds.features.ClassLabel(names=list(OBJECT_TYPES)),
                    # Scalar(float64) would be stored as float32: 0.1 arcsec lost.
                    "ra_deg": tfds.features.Tensor(shape=(), dtype=np.float64, encoding="bytes"),
                    "dec_deg": tfds.features.Tensor(shape=(), dtype=np.float64, encoding="bytes"),
                    "redshift": np.float32,
                    "m500c_msun": np.float32,
                    "object_id": np.int64,
                    "sky_block": np.int64,
                }
            ),
            supervised_keys=("image", "label"),
            disable_shuffling=True,  # every example is an independent draw: their order is random as it is
            metadata=tfds.core.MetadataDict(
                {
                    "bands": list(BANDS),
                    "pixel_scale_arcsec": PIXEL_SCALE_ARCSEC,
                    "positive_class": POSITIVE_TYPE,
                    "units": UNITS,
                    "input_kind": "sky",
                    "simulation": self.builder_config.content(),
                }
            ),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        del dl_manager  # nothing to download
        return {split: self._generate_examples(split) for split in SPLITS}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict]]:
        config = self.builder_config
        count = getattr(config, f"num_{split}")
        examples = generate_in_parallel(
            functools.partial(
                simulate_example,
                split,
                seed=config.seed,
                sky=config.sky,
                object_fractions=config.object_fractions,
                size=config.simulated_size,
            ),
            range(count),
            num_processes=self.num_processes,
            description=f"Simulating {split}",
            unit="cutout",
        )
        every = -(-count // _STATISTICS_CUTOUTS)
        sample = []
        for index, example in enumerate(examples):
            if split == "train" and index % every == 0:
                sample.append(example["image"])
            yield ordered_key(index, count), example
        if split == "train":
            self.info.metadata["band_statistics"] = fit_band_statistics(np.stack(sample), BANDS).to_dict()

    def estimated_bytes(self) -> int:
        config = self.builder_config
        count = config.num_train + config.num_validation + config.num_test
        return count * (config.simulated_size**2 * len(BANDS) * 4 + 1000)


def make_builder(config: DataConfig, sky: InfraredSky) -> Builder:
    """The builder of the data set that ``config`` and ``sky`` describe; ``download_and_prepare()`` then builds it."""
    simulated = SimulatedConfig(
        num_train=config.num_train,
        num_validation=config.num_validation,
        num_test=config.num_test,
        simulated_size=config.simulated_size,
        object_fractions=dict(config.object_fractions),
        seed=config.seed,
        sky=sky,
    ).named_by_content()
    with absl_errors_only():
        builder = Builder(config="simulated" if simulated.name == "simulated" else simulated, data_dir=config.data_dir)
    builder.num_processes = config.num_processes
    return builder
