"""TFDS builder of X-ray + optical cutouts, simulated or of the public archive, written and read without TensorFlow."""

from collections.abc import Sequence

import numpy as np
import tensorflow_datasets as tfds

from clusterjax.config import XRAY_FRACTIONS, DataConfig
from clusterjax.data.votes.dawid_skene import dawid_skene_classes
from clusterjax.data.votes.weighting import final_classes, is_cluster
from clusterjax.errors import InputError
from clusterjax.simulation.knobs import XrayOpticalSky
from clusterjax.simulation.xray_optical.objects import SIZE
from clusterjax.simulation.xray_optical.volunteers import simulate_votes
from tfds_builders.simulated import LABELS, SimulatedConfig, SimulatedCutouts, make_simulated_builder
from tfds_builders.simulated_example import SPLITS, simulated_type
from tfds_builders.xray_optical_cutouts.published import SERVICE, PublishedCutouts, make_published_builder

_VOTES_SEED = 7236582  # so that votes and pixels are drawn apart

DEFAULT = SimulatedConfig(
    description="Simulated XMM-Newton + DSS2 cutouts of 7', half of them with a cluster of galaxies",
    num_train=1233,  # as many as the experts' sample of Kosiba et al. (2020) has
    num_validation=304,
    num_test=1000,
    simulated_size=SIZE,
    object_fractions=dict(XRAY_FRACTIONS),
    sky=XrayOpticalSky(),
)


class Builder(SimulatedCutouts, tfds.core.GeneratorBasedBuilder):
    """Simulated X-ray + optical cutouts in splits that share no sky."""

    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES = {"1.1.0": "Examples know the level of the sky that their object was put into."}  # noqa: RUF012  (TFDS's interface)
    BUILDER_CONFIGS = [DEFAULT]  # noqa: RUF012  (TFDS's interface)

    def change_labels(self, split: str) -> Sequence[str] | None:
        """What volunteers voted, in training and validation; the test split keeps the truth, as the paper's."""
        config = self.builder_config
        if config.labels == "experts" or split == "test":
            return None
        types = [
            simulated_type(split, index, seed=config.seed, sky=config.sky, object_fractions=config.object_fractions)
            for index in range(getattr(config, f"num_{split}"))
        ]
        votes = simulate_votes(types, np.random.default_rng([_VOTES_SEED, config.seed, SPLITS.index(split)]))
        if config.labels == "volunteers_dawid_skene":
            called = dawid_skene_classes(votes, binary=config.binary)
        else:
            weighted = config.labels == "volunteers"
            called = (is_cluster if config.binary else final_classes)(votes, weighted=weighted)
        if config.binary:
            called = [LABELS[int(positive)] for positive in called]
        unknown = sorted(set(called) - set(config.classes))
        if unknown:
            raise InputError(f"volunteers called objects {unknown[0]!r}, of which object_fractions has none")
        return list(called)


class PublishedBuilder(PublishedCutouts, tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """X-ray + optical images of X-CLASS candidates, classified by experts."""

    name = "xray_optical_cutouts"
    VERSION = tfds.core.Version("1.0.0")


def make_builder(config: DataConfig, sky: XrayOpticalSky | None) -> Builder | PublishedBuilder:
    """The builder of the data set that ``config`` and ``sky`` describe; ``download_and_prepare()`` then builds it."""
    if config.survey.service == SERVICE:
        return make_published_builder(PublishedBuilder, config, sky or XrayOpticalSky())
    if config.survey.service:
        raise InputError(
            f"config.data.survey.service={config.survey.service!r} has no X-ray + optical images; use {SERVICE!r}, or "
            "none for simulated ones"
        )
    return make_simulated_builder(Builder, config, sky)
