"""Settings of the X-ray + optical configs: those of Kosiba et al. (2020), and what they varied."""

from collections.abc import Callable

from clusterjax.config import XRAY_FRACTIONS, AugmentConfig, DataConfig, ExperimentConfig, ModelConfig, OptimConfig
from clusterjax.recipes import set_iterations, use_kosiba_settings


def xray_optical(name: str, model: ModelConfig) -> ExperimentConfig:
    """Simulated X-ray + optical pictures, trained as Kosiba et al. (2020) did, on as many as their experts classified.

    The test split is larger than theirs of 170: accuracies are good to a hundredth.
    """
    config = ExperimentConfig(
        name=name,
        data=DataConfig(
            builder="xray_optical_cutouts", num_train=1_233, num_validation=304, num_test=1_000,
            simulated_size=356, object_fractions=dict(XRAY_FRACTIONS), stretch="linear", subtract_median=False,
        ),
        model=model,
    )  # fmt: skip
    use_kosiba_settings(config)
    config.training.eval_batch_size = 64
    return config


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
    chosen by the validation split.
    """
    config.data.image_size, config.data.input_size = 64, None
    config.optim = OptimConfig(name="adam", learning_rate=1e-3, schedule="cosine", warmup_epochs=0.25)
    config.training.num_epochs = 6
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
