"""The microwave data set as it is built and read; what all simulated data sets share is tested on the infrared one."""

import numpy as np
import pytest

from clusterjax.config import MICROWAVE_FRACTIONS, DataConfig
from clusterjax.data.sources import open_source
from clusterjax.data.statistics import fit_band_statistics
from clusterjax.simulation.knobs import MICROWAVE_OBJECT_TYPES, MicrowaveSky
from tfds_builders.microwave_cutouts.microwave_cutouts_dataset_builder import make_builder
from tfds_builders.simulated_example import simulate_example

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # array_record leaves its files to the collector


def built(folder, sky, **kwargs):
    sizes = {"num_train": 60, "num_validation": 10, "num_test": 12}
    config = DataConfig(
        builder="microwave_cutouts", data_dir=str(folder), num_processes=1,
        object_fractions=dict(MICROWAVE_FRACTIONS), **{**sizes, **kwargs},
    )  # fmt: skip
    builder = make_builder(config, sky)
    builder.download_and_prepare()
    return builder


def test_what_is_written_is_what_was_simulated(tmp_path):
    sky = MicrowaveSky()
    builder = built(tmp_path, sky)
    metadata = builder.info.metadata
    assert (metadata["bands"], metadata["units"], metadata["pixel_scale_arcsec"]) == (
        ["f090", "f150", "f220"], "uK_CMB", 30.0,
    )  # fmt: skip
    assert tuple(builder.info.features["object_type"].names) == MICROWAVE_OBJECT_TYPES
    for split, count in (("train", 60), ("validation", 10), ("test", 12)):
        source = open_source(builder, split)
        assert len(source) == count
        made = simulate_example(split, 3, seed=0, sky=sky, object_fractions=MICROWAVE_FRACTIONS, size=64)
        np.testing.assert_array_equal(source[3]["image"], made["image"])
        assert source[3]["label"] == made["label"]
    train = open_source(builder, "train")
    images = np.stack([train[i]["image"] for i in range(60)])
    assert train.band_statistics == fit_band_statistics(images, metadata["bands"])


def test_another_survey_has_other_bands_and_another_name(tmp_path):
    planck = built(tmp_path, MicrowaveSky(survey="planck"), num_train=4, num_validation=4, num_test=4)
    assert planck.info.metadata["bands"] == ["100", "143", "217"]
    act = built(tmp_path, MicrowaveSky(survey="act_dr6"), num_train=4, num_validation=4, num_test=4)
    assert act.info.full_name != planck.info.full_name


def test_a_class_for_each_type(tmp_path):
    """The same cutouts under other labels; types that are never drawn are no classes."""
    binary = built(tmp_path, MicrowaveSky(), num_validation=4, num_test=4)
    fractions = {**MICROWAVE_FRACTIONS, "near_miss": 0.0, "random": 0.35}
    typed = built(tmp_path, MicrowaveSky(), num_validation=4, num_test=4, binary=False)
    assert typed.info.full_name != binary.info.full_name
    assert tuple(typed.info.features["label"].names) == MICROWAVE_OBJECT_TYPES
    sources = open_source(binary, "train"), open_source(typed, "train")
    for one, other in ([source[i] for source in sources] for i in range(60)):
        np.testing.assert_array_equal(one["image"], other["image"])
        assert other["label"] == other["object_type"]
        assert one["label"] == (MICROWAVE_OBJECT_TYPES[other["label"]] == "cluster")
    config = DataConfig(
        builder="microwave_cutouts", data_dir=str(tmp_path), binary=False, object_fractions=fractions, num_train=4
    )
    assert "near_miss" not in make_builder(config, MicrowaveSky()).info.features["label"].names


def test_another_pressure_profile_has_another_name(tmp_path):
    """And data sets that were built before there was a choice keep theirs."""
    config = DataConfig(
        builder="microwave_cutouts",
        data_dir=str(tmp_path),
        num_train=48_000,
        object_fractions=dict(MICROWAVE_FRACTIONS),
    )
    assert make_builder(config, MicrowaveSky()).info.full_name == "microwave_cutouts/simulated-e0ba47de/1.1.0"
    battaglia = make_builder(config, MicrowaveSky(profile="battaglia"))
    assert battaglia.builder_config.content()["sky"]["profile"] == "battaglia"
    assert battaglia.info.full_name != make_builder(config, MicrowaveSky()).info.full_name
