"""TFDS builder of joint infrared and microwave cutouts, simulated, written and read without TensorFlow."""

import tensorflow_datasets as tfds

from clusterjax.config import JOINT_FRACTIONS, DataConfig
from clusterjax.simulation.knobs import JointSky
from tfds_builders.simulated import SimulatedConfig, SimulatedCutouts, make_simulated_builder

DEFAULT = SimulatedConfig(
    description="Simulated unWISE and ACT + Planck cutouts of the same sky, half of them with a cluster of galaxies",
    object_fractions=dict(JOINT_FRACTIONS),
    sky=JointSky(),
)


class Builder(SimulatedCutouts, tfds.core.GeneratorBasedBuilder):
    """Simulated cutouts of both surveys about the same positions, in splits that share no sky."""

    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES = {"1.1.0": "Examples know the level of the sky that their object was put into."}  # noqa: RUF012  (TFDS's interface)
    BUILDER_CONFIGS = [DEFAULT]  # noqa: RUF012  (TFDS's interface)


def make_builder(config: DataConfig, sky: JointSky) -> Builder:
    """The builder of the data set that ``config`` and ``sky`` describe; ``download_and_prepare()`` then builds it."""
    return make_simulated_builder(Builder, config, sky)
