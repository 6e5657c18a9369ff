"""What each choice of the microwave recipe is worth: CNN+MLP as it is, and with one change at a time.

    python -m clusterjax.main --config=configs/sweeps/ablations_mw.py --config.common="{'training.num_members': 3}"

About five minutes a network on two cores; as ``ablations_ir.py``.
"""

from clusterjax.config import ExperimentConfig, ModelConfig, SweepConfig
from clusterjax.recipes import microwave_from_scratch
from clusterjax.sweeps import one_change_each


def no_augmentation(config: ExperimentConfig) -> None:
    config.augment.shift_fraction = 0.0
    config.augment.quarter_turns = config.augment.flip = False


def initial_data(config: ExperimentConfig) -> None:
    config.data.object_fractions = {"cluster": 0.5, "random": 0.5}


def window_32_arcmin(config: ExperimentConfig) -> None:
    config.data.centre_pixels = None


def linear(config: ExperimentConfig) -> None:
    config.data.stretch = "linear"


def log(config: ExperimentConfig) -> None:
    config.data.stretch = "log"


def softening_1(config: ExperimentConfig) -> None:
    config.data.softening = 1.0  # logarithmic from the CMB's own scale on


def f090_alone(config: ExperimentConfig) -> None:
    config.data.bands = ("f090",)


def f150_alone(config: ExperimentConfig) -> None:
    config.data.bands = ("f150",)


def f220_alone(config: ExperimentConfig) -> None:
    config.data.bands = ("f220",)
    # Where the SZ effect vanishes the range test sees no descent: hardly anything is to be learnt. The others' rate.
    config.optim.learning_rate = 8e-4


CHANGES = (
    no_augmentation, initial_data, window_32_arcmin, linear, log, softening_1, f090_alone, f150_alone, f220_alone,
)  # fmt: skip


def get_config(variant: str = "") -> SweepConfig:
    base = microwave_from_scratch("ablations_mw", ModelConfig("cnn_mlp"))
    return one_change_each("ablations_mw", variant, base, {change.__name__: change for change in CHANGES})
