"""The data card of a data set that was just built, and its figures."""

import numpy as np
import pytest
from astropy.table import Table

from clusterjax import jobs
from clusterjax.config import MICROWAVE_FRACTIONS, AugmentConfig, DataConfig, ExperimentConfig
from clusterjax.report import plots_dataset
from clusterjax.report.dataset import count_types

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # array_record leaves its files to the collector


def test_build_leaves_a_data_card(tmp_path):
    config = ExperimentConfig(
        data=DataConfig(
            builder="microwave_cutouts", data_dir=str(tmp_path / "data"), num_processes=1, num_train=40,
            num_validation=8, num_test=8, object_fractions=dict(MICROWAVE_FRACTIONS), centre_pixels=32,
        ),
        augment=AugmentConfig(rotation_deg=0.0, quarter_turns=True, flip=False, shift_fraction=0.1),
    )  # fmt: skip
    jobs.run("build", config, workdir=tmp_path / "run")
    card = tmp_path / "run" / "data_card"
    page = (card / "index.html").read_text()
    for words in (
        "Sunyaev-Zel",
        "f150",
        "uK_CMB",
        "One cutout, augmented",
        "quarter turns",
        "shift fraction",
        "Alone, right ascension, declination and the median level (f090, f150, f220) of the sky that the object was "
        "put into, without it, tell the label",
    ):
        assert words in page or words.replace("'", "&#39;") in page
    assert "data.survey" not in page  # how it is built is for its README
    assert "rotation deg" not in page  # not changed by this config
    for name in ("sky_coverage", "pixel_distribution", "examples_cluster", "examples_one_cutout__augmented"):
        assert (card / "figures" / f"{name}.png").stat().st_size > 1000
    counts = Table.read(card / "tables" / "dataset_counts.ecsv")
    assert [int(np.sum(counts[split])) for split in ("train", "validation", "test", "all")] == [40, 8, 8, 56]


def test_counts_of_types():
    counts = count_types({"train": np.array(["b", "a", "b"]), "test": np.array(["c"])})
    assert counts["type"].tolist() == ["a", "b", "c"]
    assert counts["train"].tolist() == [1, 2, 0]
    assert counts["test"].tolist() == [0, 0, 1]
    assert counts["all"].tolist() == [1, 2, 1]


def coverage(ra_deg, dec_deg):
    split = ["train", "test"] * (len(ra_deg) // 2)
    return plots_dataset.plot_sky_coverage(Table({"ra_deg": ra_deg, "dec_deg": dec_deg, "split": split}))


def test_the_whole_sky_or_a_close_up():
    rng = np.random.default_rng(0)
    whole = coverage(rng.uniform(0, 360, 40), rng.uniform(-80, 80, 40))
    assert whole.axes[0].name == "mollweide"
    # Across RA = 0: one piece of 4 deg, east to the left.
    close = coverage(np.tile([358.0, 359.0, 1.0, 2.0], 5), rng.uniform(10, 12, 20)).axes[0]
    assert close.name == "rectilinear"
    left, right = close.get_xlim()
    assert left > right
    assert left - right < 6
    drawn = np.concatenate([points.get_offsets()[:, 0] for points in close.collections])
    assert np.ptp(drawn) == pytest.approx(4)


def test_pixels_without_spread_or_values_are_drawn_too():
    figure = plots_dataset.plot_pixels(
        {"flat": (np.ones(50), np.zeros(50)), "none": (np.array([np.nan]),) * 2}, units="K"
    )
    assert figure.axes[0].get_xlabel() == "as stored / K"
