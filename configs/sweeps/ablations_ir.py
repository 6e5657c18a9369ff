"""What each choice of the infrared recipe is worth: the Baseline network as it is, and with one change at a time.

    python -m clusterjax.main --config=configs/sweeps/ablations_ir.py --config.common="{'training.num_members': 3}"

About ten minutes a network on two cores. The page ``runs/ablations_ir/comparison/report/index.html`` has a row each,
and for those on the same test cutouts the differences with their errors. ``initial_data`` has the reference's first
data structure, clusters against random sky alone: its test cutouts are others, and easier.

Variant: ``:smoke`` (four steps each).
"""

from clusterjax.config import ExperimentConfig, ModelConfig, SweepConfig
from clusterjax.recipes import infrared_from_scratch
from clusterjax.sweeps import one_change_each


def no_augmentation(config: ExperimentConfig) -> None:
    config.augment.rotation_deg = config.augment.shift_fraction = 0.0
    config.augment.quarter_turns = config.augment.flip = False


def initial_data(config: ExperimentConfig) -> None:
    config.data.object_fractions = {"cluster": 0.5, "random": 0.5}


def window_59_arcsec(config: ExperimentConfig) -> None:
    config.data.centre_pixels, config.data.input_size = 21, 64  # enlarged, as the reference does


def linear(config: ExperimentConfig) -> None:
    config.data.stretch = "linear"


def log(config: ExperimentConfig) -> None:
    config.data.stretch = "log"


def own_background(config: ExperimentConfig) -> None:
    config.data.subtract_median = False


def w1_alone(config: ExperimentConfig) -> None:
    config.data.bands = ("W1",)


def w2_alone(config: ExperimentConfig) -> None:
    config.data.bands = ("W2",)


CHANGES = (no_augmentation, initial_data, window_59_arcsec, linear, log, own_background, w1_alone, w2_alone)


def get_config(variant: str = "") -> SweepConfig:
    base = infrared_from_scratch("ablations_ir", ModelConfig("baseline"))
    return one_change_each("ablations_ir", variant, base, {change.__name__: change for change in CHANGES})
