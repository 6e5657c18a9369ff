"""TFDS builder of simulated infrared cutouts, written and read without TensorFlow."""

import tensorflow_datasets as tfds

from clusterjax.config import INFRARED_FRACTIONS, DataConfig
from clusterjax.simulation.knobs import InfraredSky
from tfds_builders.simulated import SimulatedConfig, SimulatedCutouts, make_simulated_builder

DEFAULT = SimulatedConfig(
    description="Simulated unWISE W1 and W2 cutouts, half of them with a cluster of galaxies",
    object_fractions=dict(INFRARED_FRACTIONS),
    sky=InfraredSky(),
)


class Builder(SimulatedCutouts, tfds.core.GeneratorBasedBuilder):
    """Simulated infrared cutouts in splits that share no sky."""

    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES = {"1.1.0": "The unclustered field is thinned so that total counts stay right."}  # noqa: RUF012  (TFDS's interface)
    BUILDER_CONFIGS = [DEFAULT]  # noqa: RUF012


def make_builder(config: DataConfig, sky: InfraredSky) -> Builder:
    """The builder of the data set that ``config`` and ``sky`` describe; ``download_and_prepare()`` then builds it."""
    return make_simulated_builder(Builder, config, sky)
