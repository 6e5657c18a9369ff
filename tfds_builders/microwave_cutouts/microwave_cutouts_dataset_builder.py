"""TFDS builder of microwave cutouts, simulated or of the sky itself, written and read without TensorFlow."""

import tensorflow_datasets as tfds

from clusterjax.config import MICROWAVE_FRACTIONS, DataConfig
from clusterjax.simulation.knobs import MicrowaveSky
from clusterjax.sky.surveys.images import MICROWAVE
from tfds_builders.map_cutouts.from_maps import FromMaps
from tfds_builders.simulated import SimulatedConfig, SimulatedCutouts, make_simulated_builder
from tfds_builders.survey_cutouts import LOCAL_MAPS, SurveyCutouts, make_survey_builder
from tfds_builders.survey_maps import make_survey_maps_builder

DEFAULT = SimulatedConfig(
    description="Simulated ACT + Planck cutouts at 98, 150 and 220 GHz, half of them with a cluster of galaxies",
    object_fractions=dict(MICROWAVE_FRACTIONS),
    sky=MicrowaveSky(),
)


class Builder(SimulatedCutouts, tfds.core.GeneratorBasedBuilder):
    """Simulated microwave cutouts in splits that share no sky."""

    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES = {"1.1.0": "Examples know the level of the sky that their object was put into."}  # noqa: RUF012  (TFDS's interface)
    BUILDER_CONFIGS = [DEFAULT]  # noqa: RUF012  (TFDS's interface)


class SurveyBuilder(SurveyCutouts, tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Cutouts of the microwave sky in splits that share none of it."""

    name = "microwave_cutouts"
    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES = {"1.1.0": "Examples say how their redshift was measured."}  # noqa: RUF012  (TFDS's interface)


class SurveyMapsBuilder(FromMaps, SurveyCutouts, tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """The same from maps on disk."""

    name = "microwave_cutouts"
    VERSION = tfds.core.Version("1.0.0")


def make_builder(config: DataConfig, sky: MicrowaveSky | None) -> Builder | SurveyBuilder | SurveyMapsBuilder:
    """The builder of the data set that ``config`` and ``sky`` describe; ``download_and_prepare()`` then builds it."""
    if config.survey.service == LOCAL_MAPS:
        return make_survey_maps_builder(SurveyMapsBuilder, config)
    if config.survey.service:
        return make_survey_builder(SurveyBuilder, config, MICROWAVE)
    return make_simulated_builder(Builder, config, sky)
