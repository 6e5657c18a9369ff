"""TFDS builder of simulated microwave cutouts, written and read without TensorFlow."""

import tensorflow_datasets as tfds

from clusterjax.config import MICROWAVE_FRACTIONS, DataConfig
from clusterjax.simulation.knobs import MicrowaveSky
from tfds_builders.simulated import SimulatedConfig, SimulatedCutouts, make_simulated_builder

DEFAULT = SimulatedConfig(
    description="Simulated ACT + Planck cutouts at 98, 150 and 220 GHz, half of them with a cluster of galaxies",
    object_fractions=dict(MICROWAVE_FRACTIONS),
    sky=MicrowaveSky(),
)


class Builder(SimulatedCutouts, tfds.core.GeneratorBasedBuilder):
    """Simulated microwave cutouts in splits that share no sky."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [DEFAULT]  # noqa: RUF012  (TFDS's interface)


def make_builder(config: DataConfig, sky: MicrowaveSky) -> Builder:
    """The builder of the data set that ``config`` and ``sky`` describe; ``download_and_prepare()`` then builds it."""
    return make_simulated_builder(Builder, config, sky)
