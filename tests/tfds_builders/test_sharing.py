"""Several hosts make one data set: the same as one host makes."""

import numpy as np
import pytest

from clusterjax.config import DataConfig
from clusterjax.simulation.knobs import InfraredSky
from tfds_builders.ir_cutouts.ir_cutouts_dataset_builder import make_builder
from tfds_builders.sharing import Share
from tfds_builders.simulated_example import SPLITS

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # array_record leaves its files to the collector


def new_builder(folder):
    sizes = {"num_train": 70, "num_validation": 33, "num_test": 5, "simulated_size": 16}
    return make_builder(DataConfig(data_dir=str(folder), num_processes=1, **sizes), InfraredSky())


def test_two_shares_are_the_data_set_of_one_host(tmp_path, capsys):
    alone, together, other = (new_builder(tmp_path / name) for name in ("one", "two", "two"))
    alone.download_and_prepare()
    together.share, other.share = (Share(index, 2, tmp_path / "shares") for index in range(2))
    together.share.clear()
    other.make_share()
    # Three chunks of 32 to train, two to validate: one of each is the other's.
    assert sorted(path.name for path in (tmp_path / "shares").iterdir()) == [
        "Simulating_train_000001.npz", "Simulating_validation_000001.npz",
    ]  # fmt: skip
    together.download_and_prepare()
    assert not list((tmp_path / "shares").iterdir())  # taken, every one
    assert together.info.metadata["band_statistics"] == alone.info.metadata["band_statistics"]
    for split in SPLITS:
        ours, theirs = together.as_data_source(split), alone.as_data_source(split)
        assert len(ours) == len(theirs)
        for mine, other_one in zip(ours, theirs, strict=True):
            for name, value in other_one.items():
                np.testing.assert_array_equal(mine[name], value)
                assert np.asarray(mine[name]).dtype == np.asarray(value).dtype
