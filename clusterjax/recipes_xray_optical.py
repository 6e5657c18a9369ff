"""Settings of the X-ray + optical configs: those of Kosiba et al. (2020), and what they varied."""

from collections.abc import Callable

from clusterjax.config import (
    XRAY_FRACTIONS,
    AugmentConfig,
    DataConfig,
    ExperimentConfig,
    ModelConfig,
    OptimConfig,
    TrainingConfig,
    apply_variant,
)
from clusterjax.recipes import INPUT_SIZES, fine_tune, kosiba_augmentation, set_iterations, use_kosiba_settings

_SMALL_PIXELS = 64


def xray_optical(name: str, model: ModelConfig) -> ExperimentConfig:
    """Simulated X-ray + optical pictures, trained as Kosiba et al. (2020) did, on as many as their experts classified.

    The test split is larger than theirs of 170: accuracies are good to a hundredth.
    """
    config = ExperimentConfig(name=name, data=_candidates(), model=model)
    use_kosiba_settings(config)
    config.training.eval_batch_size = 64
    return config


def _candidates() -> DataConfig:
    return DataConfig(
        builder="xray_optical_cutouts", num_train=1_233, num_validation=304, num_test=1_000,
        simulated_size=356, object_fractions=dict(XRAY_FRACTIONS), stretch="linear", subtract_median=False,
    )  # fmt: skip


def any_xray_optical(variant: str) -> ExperimentConfig:
    """The config of the variant NAME, or NAME-smoke, -finetune, -xray, ..., of any network; else cnn_mlp's.

    The pictures, the augmentation and the balanced batches of Kosiba et al. (2020), at 128 px; settings of our own.
    """
    name, _, change = variant.partition("-")
    if name == "smoke":
        name, change = "", "smoke"
    name = name or "cnn_mlp"
    config = ExperimentConfig(f"{name}_xray_optical", data=_candidates(), model=ModelConfig(name))
    config.data.image_size = 128
    config.augment = kosiba_augmentation()
    config.lr_range.multiplier = 3.0
    config.optim = OptimConfig(schedule="cosine", warmup_epochs=1.0)
    config.training = TrainingConfig(
        num_epochs=20, global_batch_size=16, eval_batch_size=64, balanced_batches=True, early_stop_patience=None
    )
    kept = ("xray", "optical", "no_augmentation", "five_class")
    changes = {"smoke": _any_smoke, "finetune": fine_tune, **{key: XRAY_OPTICAL_VARIANTS[key] for key in kept}}
    return apply_variant(config, change, changes)


def _any_smoke(config: ExperimentConfig) -> None:
    _xray_smoke(config)
    config.data.image_size = None
    config.data.input_size = INPUT_SIZES.get(config.model.name, _SMALL_PIXELS)
    config.optim.learning_rate = 1e-3  # too few for a range test


def _xray_experts(config: ExperimentConfig) -> None:
    """The default: experts' labels."""


def _xray_volunteers(config: ExperimentConfig) -> None:
    """Volunteers' weighted votes; as many objects as Zooniverse's sample has."""
    config.data.labels = "volunteers"
    config.data.num_train, config.data.num_validation = 1_200, 230
    set_iterations(config)


def _xray_volunteers_unweighted(config: ExperimentConfig) -> None:
    _xray_volunteers(config)
    config.data.labels = "volunteers_unweighted"


def _xray_no_augmentation(config: ExperimentConfig) -> None:
    config.augment = AugmentConfig(rotation_deg=0.0, flip=False, shift_fraction=0.0)


def _see_bands(*bands: str) -> Callable[[ExperimentConfig], None]:
    def change(config: ExperimentConfig) -> None:
        config.data.bands = bands

    return change


def _xray_five_class(config: ExperimentConfig) -> None:
    config.data.binary = False


def _xray_smoke(config: ExperimentConfig) -> None:
    """A few pictures of bright sources, their middle alone."""
    config.data.num_train, config.data.num_validation, config.data.num_test = 80, 32, 48
    config.data.simulated_size, config.data.input_size = 128, 64
    config.xray_optical.flux_min_cgs = 2e-13
    config.training.num_epochs = 1
    config.training.eval_batch_size = 16
    config.training.log_every_steps = 2


def use_small_pictures(config: ExperimentConfig) -> None:
    """For two cores: pictures of 64 px (6.6" each) from the start, and Adam in place of 153 000 small steps.

    The samples, the augmentation and the balanced batches stay those of Kosiba et al. (2020). Rate and length were
    chosen by the validation split, for CN and for MobileNet from scratch.
    """
    config.data.image_size, config.data.input_size = _SMALL_PIXELS, None
    is_custom = config.model.name == "kosiba_cn"
    rate = 1e-3 if is_custom else 3e-3
    config.optim = OptimConfig(name="adam", learning_rate=rate, schedule="cosine", warmup_epochs=0.25)
    config.training.num_epochs = 6 if is_custom else 12
    config.training.global_batch_size = 16


# Of cn_xray_optical and mobilenet_xray_optical
XRAY_OPTICAL_VARIANTS: dict[str, Callable[[ExperimentConfig], None]] = {
    "experts": _xray_experts,
    "volunteers": _xray_volunteers,
    "volunteers_unweighted": _xray_volunteers_unweighted,
    "optical": _see_bands("optical"),
    "xray": _see_bands("xray"),
    "no_augmentation": _xray_no_augmentation,
    "five_class": _xray_five_class,
    "small": use_small_pictures,
    "smoke": _xray_smoke,
}
