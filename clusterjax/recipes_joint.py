"""Settings of the joint infrared and microwave configs, and of either survey alone on the same cutouts."""

from collections.abc import Callable

from clusterjax.config import (
    JOINT_FRACTIONS,
    AugmentConfig,
    DataConfig,
    EvaluationConfig,
    ExperimentConfig,
    LrRangeConfig,
    ModelConfig,
    OptimConfig,
    TrainingConfig,
)

# Objects per deg2: clusters above 2e14 and groups of 3e13 to 1.2e14 Msun by the mass function, and how often a position
# lies 4 to 10' from such a cluster; radio galaxies of 2 to 10 and of 10 to 200 mJy, dusty ones of 8 to 60 mJy, stars of
# W1 4 to 8, by the counts that are simulated. What else there is shares the rest of the sky.
JOINT_DENSITIES = {
    "cluster": 1.7, "group": 108.0, "near_miss": 63.0, "agn": 3.6, "radio": 0.9, "dusty": 1.0, "bright_star": 1.5,
}  # fmt: skip


_NARROW = {"widths": (16, 32, 64, 128)}  # half of baseline's own: a quarter of the work


def joint_from_scratch(name: str) -> ExperimentConfig:
    """A network of two branches on simulated cutouts that both surveys have of the same sky, within minutes on two
    cores. Its microwave branch sees the middle 16'."""
    branches = {
        "branches": ("baseline", "cnn_mlp"),
        "first_bands": 2,
        "centre_pixels": (None, 32),
        "branch_kwargs": (_NARROW, {}),
    }
    return ExperimentConfig(
        name=name,
        data=DataConfig(
            builder="joint_cutouts",
            num_train=12_000,
            num_validation=2_500,
            num_test=6_000,
            object_fractions=dict(JOINT_FRACTIONS),
            band_softening=dict.fromkeys(("f090", "f150", "f220"), 3.0),
        ),
        model=ModelConfig("two_branch", branches),
        # Whole pixels are 2.75" in the one and 0.5' in the other: images move against each other by less than a beam.
        augment=AugmentConfig(rotation_deg=0.0, quarter_turns=True, flip=True, shift_fraction=1 / 64),
        lr_range=LrRangeConfig(num_steps=100, multiplier=4.0),
        optim=OptimConfig(schedule="cosine", warmup_epochs=0.25),
        training=TrainingConfig(num_epochs=3, global_batch_size=64, early_stop_patience=None),
        evaluation=EvaluationConfig(sky_density_per_deg2=dict(JOINT_DENSITIES)),
    )


def _infrared(config: ExperimentConfig) -> None:
    config.model = ModelConfig("baseline", dict(_NARROW))
    config.data.bands = ("W1", "W2")


def _microwave(config: ExperimentConfig) -> None:
    config.model = ModelConfig("cnn_mlp")
    config.data.bands, config.data.centre_pixels = ("f090", "f150", "f220"), 32


# Either parent alone
PARENTS: dict[str, Callable[[ExperimentConfig], None]] = {"infrared": _infrared, "microwave": _microwave}
