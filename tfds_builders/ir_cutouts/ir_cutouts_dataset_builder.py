"""TFDS builder of infrared cutouts, simulated or of the sky itself, written and read without TensorFlow."""

import tensorflow_datasets as tfds

from clusterjax.config import INFRARED_FRACTIONS, DataConfig
from clusterjax.simulation.knobs import InfraredSky
from clusterjax.sky.surveys.images import INFRARED
from tfds_builders.map_cutouts.from_maps import FromMaps
from tfds_builders.simulated import SimulatedConfig, SimulatedCutouts, make_simulated_builder
from tfds_builders.survey_cutouts import LOCAL_MAPS, SurveyCutouts, make_survey_builder
from tfds_builders.survey_maps import make_survey_maps_builder

DEFAULT = SimulatedConfig(
    description="Simulated unWISE W1 and W2 cutouts, half of them with a cluster of galaxies",
    object_fractions=dict(INFRARED_FRACTIONS),
    sky=InfraredSky(),
)


class Builder(SimulatedCutouts, tfds.core.GeneratorBasedBuilder):
    """Simulated infrared cutouts in splits that share no sky."""

    VERSION = tfds.core.Version("1.2.0")
    RELEASE_NOTES = {  # noqa: RUF012  (TFDS's interface)
        "1.1.0": "The unclustered field is thinned so that total counts stay right.",
        "1.2.0": "Examples know the level of the sky that their object was put into.",
    }
    BUILDER_CONFIGS = [DEFAULT]  # noqa: RUF012


class SurveyBuilder(SurveyCutouts, tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Cutouts of the infrared sky in splits that share none of it."""

    name = "ir_cutouts"
    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES = {"1.1.0": "Examples say how their redshift was measured."}  # noqa: RUF012  (TFDS's interface)


class SurveyMapsBuilder(FromMaps, SurveyCutouts, tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """The same from maps on disk."""

    name = "ir_cutouts"
    VERSION = tfds.core.Version("1.0.0")


def make_builder(config: DataConfig, sky: InfraredSky | None) -> Builder | SurveyBuilder | SurveyMapsBuilder:
    """The builder of the data set that ``config`` and ``sky`` describe; ``download_and_prepare()`` then builds it."""
    if config.survey.service == LOCAL_MAPS:
        return make_survey_maps_builder(SurveyMapsBuilder, config)
    if config.survey.service:
        return make_survey_builder(SurveyBuilder, config, INFRARED)
    return make_simulated_builder(Builder, config, sky)
