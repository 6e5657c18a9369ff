"""Settings that several configs share, so that a file in ``configs/`` says only what is its own."""

import dataclasses
from collections.abc import Callable

from clusterjax.config import (
    MICROWAVE_FRACTIONS,
    AugmentConfig,
    DataConfig,
    ExperimentConfig,
    LrRangeConfig,
    ModelConfig,
    OptimConfig,
    SearchConfig,
    SurveyConfig,
    TrainingConfig,
    apply_variant,
)
from clusterjax.errors import InputError


def infrared_from_scratch(name: str, model: ModelConfig) -> ExperimentConfig:
    """Simulated infrared cutouts at native resolution, trained from scratch within minutes on two cores."""
    return ExperimentConfig(
        name=name,
        data=DataConfig(builder="ir_cutouts", num_train=48_000),
        model=model,
        augment=AugmentConfig(rotation_deg=0.0, quarter_turns=True, flip=True, shift_fraction=2 / 64),
        # A cosine to zero may begin above the rate of steepest descent, and needs its end.
        lr_range=LrRangeConfig(multiplier=4.0),
        optim=OptimConfig(schedule="cosine", warmup_epochs=0.25),
        training=TrainingConfig(num_epochs=3, global_batch_size=64, early_stop_patience=None),
        # benchmarks/accuracy.py, at 1 false candidate per deg2: 4 pixels find 0.40 above 3e14, 8 0.51, 12 0.55.
        search=SearchConfig(smoothing_pixels=12.0),
    )


def infrared_search(name: str, model: ModelConfig) -> ExperimentConfig:
    """As :func:`infrared_from_scratch`, for a scan that shares the convolutions between windows.

    No step looks at a window as a whole: no zeros at its border, and the map's background, subtracted once, in place of
    the window's. What is left of it, a tenth of the noise on simulated maps, training learns to ignore.
    """
    model.kwargs = {"padding": "VALID", **model.kwargs}
    config = infrared_from_scratch(name, model)
    config.data.subtract_median = False
    config.augment.background = 0.15
    config.search.stride = 4
    return config


def microwave_from_scratch(name: str, model: ModelConfig) -> ExperimentConfig:
    """Simulated microwave cutouts at native resolution, trained from scratch within minutes on two cores."""
    return ExperimentConfig(
        name=name,
        data=DataConfig(
            builder="microwave_cutouts",
            num_train=48_000,
            object_fractions=dict(MICROWAVE_FRACTIONS),
            softening=3.0,
            # A cluster lies within a few arcmin; to ignore the CMB beyond them takes a network long to learn.
            centre_pixels=32,
        ),
        model=model,
        augment=AugmentConfig(rotation_deg=0.0, quarter_turns=True, flip=True, shift_fraction=1 / 64),
        # The loss falls later than in the infrared: a faint signal has to be found first.
        lr_range=LrRangeConfig(num_steps=300, multiplier=4.0),
        optim=OptimConfig(schedule="cosine", warmup_epochs=0.25),
        training=TrainingConfig(num_epochs=3, global_batch_size=64, early_stop_patience=None),
        # A training cluster lies within 0.7' of the centre: windows must be closer than that.
        search=SearchConfig(
            map_size=576, stride=2, cluster_boost=4.0, min_separation_arcmin=4.0, match_radius_arcmin=2.5,
            smoothing_pixels=2.0,
        ),
    )  # fmt: skip


def microwave_search(name: str, model: ModelConfig) -> ExperimentConfig:
    """As :func:`microwave_from_scratch`, for a scan that shares the convolutions between windows.

    In place of each window's median, the mean of 13.5' about each pixel is subtracted: a high-pass filter against the
    CMB, which is the same on a cutout and on a map. Of a cutout's 64 pixels it leaves the 38 that the network sees.
    """
    model.kwargs = {"padding": "VALID", **model.kwargs}
    config = microwave_from_scratch(name, model)
    config.data.background_pixels, config.data.centre_pixels = 27, 38
    return config


def local_maps(name: str, model: ModelConfig) -> ExperimentConfig:
    """Cutouts of one's own maps around the objects of one's own catalogue, at native resolution."""
    return ExperimentConfig(
        name=name,
        data=DataConfig(builder="map_cutouts"),
        model=model,
        augment=AugmentConfig(rotation_deg=0.0, quarter_turns=True, flip=True, shift_fraction=1 / 64),
        lr_range=LrRangeConfig(num_steps=150, multiplier=4.0),
        optim=OptimConfig(schedule="cosine", warmup_epochs=1.0),
        training=TrainingConfig(num_epochs=20, global_batch_size=64, early_stop_patience=None),
    )


def infrared_survey(name: str, model: ModelConfig) -> ExperimentConfig:
    """Cutouts of unWISE around clusters found otherwise (SZ effect, X-rays), and what is taken for clusters."""
    config = infrared_from_scratch(name, model)
    config.data.survey = SurveyConfig(
        service="hips_unwise",
        catalogues=("act_dr5", "spt_sz", "spt_ecs", "psz2", "mcxc2", "erass1"),
        negatives=("sga2020", "2masx", "tycho2", "milliquas", "allwise_agn"),
        held_out=("madcows", "act_dr6"),
        max_objects=6000,
    )
    config.training.num_epochs = 12  # a quarter of the simulated cutouts
    return config


def microwave_survey(name: str, model: ModelConfig) -> ExperimentConfig:
    """Cutouts of ACT DR5 + Planck around the clusters of its own footprint, and what is taken for clusters."""
    config = microwave_from_scratch(name, model)
    config.data.survey = SurveyConfig(
        service="hips_act",
        catalogues=("act_dr5", "act_dr5_mcmf"),
        negatives=("milliquas", "sga2020", "2masx"),
        held_out=("act_dr6", "compact"),
    )
    config.training.num_epochs = 12
    return config


def shrink_survey_to_smoke(config: ExperimentConfig) -> None:
    """A few hundred cutouts; the scores mean nothing."""
    shrink_to_smoke(config)
    config.data.survey.max_objects = 120
    config.optim.learning_rate = 1e-3  # too few for a range test


# What a network needs beyond its own defaults at 64 px.
_KWARGS_AT_64_PX = {
    "alexnet_vgg": {"use_batch_norm": True, "head_kwargs": {"width": 1024}},
    # 64 tokens of 8 px instead of 16 of 16 px.
    "vit_tiny": {"patch_size": 8, "image_size": 64, "drop_path": 0.1},
}
INPUT_SIZES = {"inception_v3": 96}  # where 64 px are too few
_FIT_FOR_32_PX = ("baseline", "cnn_mlp")  # others get the middle of a microwave cutout enlarged


def any_network(
    variant: str, wavelength: str, from_scratch: Callable[[str, ModelConfig], ExperimentConfig]
) -> ExperimentConfig:
    """The config of the variant NAME, or NAME-smoke, -reference, -paper, -kosiba, on a sky's 64 px; else cnn_mlp's.

    On the microwave sky also NAME-filtered.
    """
    name, _, change = variant.partition("-")
    if name == "smoke":
        name, change = "", "smoke"
    name = name or "cnn_mlp"
    config = from_scratch(f"{name}_{wavelength}", ModelConfig(name, dict(_KWARGS_AT_64_PX.get(name, {}))))
    enlarged = config.data.centre_pixels == 32 and name not in _FIT_FOR_32_PX
    config.data.input_size = INPUT_SIZES.get(name, 64 if enlarged else None)
    changes = {
        "smoke": shrink_to_smoke,
        "reference": use_reference_recipe,
        "paper": use_paper_settings,
        "kosiba": use_kosiba_settings,
        **({"filtered": add_matched_filters} if config.data.builder == "microwave_cutouts" else {}),
    }
    return apply_variant(config, change, changes)


def add_matched_filters(config: ExperimentConfig) -> None:
    """The S/N of clusters of three sizes, from the smallest to the largest but a few, beside the bands."""
    config.data.matched_filter_arcmin = (1.2, 2.2, 4.0)


def labelled_images(name: str, model: ModelConfig) -> ExperimentConfig:
    """Pictures of whatever orientation, a few hundred to a few thousand of them, at 128 px."""
    return ExperimentConfig(
        name=name,
        # Pictures of 8 bits have had their stretch; FITS images want "asinh".
        data=DataConfig(builder="labelled_images", image_size=128, stretch="linear"),
        model=model,
        augment=AugmentConfig(rotation_deg=180.0, flip=True, shift_fraction=0.05, scale=1.1),
        lr_range=LrRangeConfig(multiplier=5.0),
        optim=OptimConfig(schedule="cosine", warmup_epochs=1.0),
        training=TrainingConfig(num_epochs=20, global_batch_size=64, early_stop_patience=None),
    )


def shrink_images_to_smoke(config: ExperimentConfig) -> None:
    """One epoch at 64 px."""
    config.data.image_size = 64
    config.training.num_epochs = 1
    config.training.global_batch_size = 16
    config.training.eval_batch_size = 64


def fine_tune(config: ExperimentConfig) -> None:
    """For a network that begins with published weights: at first the head alone, then the backbone more slowly."""
    config.optim.frozen_epochs = 1.0
    config.optim.backbone_rate = 0.3
    config.lr_range.multiplier = 1.0


def use_reference_recipe(config: ExperimentConfig) -> None:
    """Fomicheva (2025): Adam at the range test's rate, decay 0.8 an epoch; small rotations, flips and shifts."""
    config.augment = AugmentConfig(rotation_deg=15.0, flip=True, shift_fraction=20 / 224)
    config.lr_range.multiplier = 1.0
    config.optim = OptimConfig(schedule="exponential", decay_per_epoch=0.8)


def use_paper_settings(config: ExperimentConfig) -> None:
    """Fomicheva (2025) whole: the network as it is, 224 px, that recipe, batch 64."""
    use_reference_recipe(config)
    config.data.input_size = 224
    config.model.kwargs = {}
    config.training.num_epochs = 20


_KOSIBA = {
    "kosiba_cn": (
        OptimConfig(
            name="sgd", learning_rate=1e-4, schedule="constant", decay_per_step=1e-6,
            plateau_patience=14, plateau_factor=0.75, plateau_metric="accuracy", plateau_min_rate=1e-4,
        ),
        10,
        153_000,
    ),
    # Keras's decay divides the rate by 1 + 0.95 t.
    "mobilenet_v1": (
        OptimConfig(
            name="adadelta", kwargs={"rho": 0.95}, learning_rate=1.0, schedule="constant", decay_per_step=0.95,
            plateau_patience=4, plateau_factor=0.85, plateau_metric="accuracy", plateau_min_rate=0.01,
        ),
        20,
        3_825,
    ),
}  # fmt: skip


def use_kosiba_settings(config: ExperimentConfig) -> None:
    """Kosiba et al. (2020), of their two networks: optimizer, plateaus, balanced batches, augmentation, iterations."""
    if config.model.name not in _KOSIBA:
        raise InputError(f"Kosiba et al. (2020) trained {' and '.join(_KOSIBA)}, not {config.model.name!r}")
    optim, batch_size, _ = _KOSIBA[config.model.name]
    config.optim = dataclasses.replace(optim)
    config.augment = kosiba_augmentation()
    config.training.global_batch_size = batch_size
    config.training.balanced_batches = True
    config.training.early_stop_patience = None
    set_iterations(config)


def kosiba_augmentation() -> AugmentConfig:
    """Kosiba et al. (2020): any angle, 4 of 356 pixels, a scale from 1 / 1.3 to 1.3."""
    return AugmentConfig(rotation_deg=180.0, flip=False, shift_fraction=4 / 356, scale=1.3)


def published_iterations(model: str) -> int:
    """Training steps of one of Kosiba et al. (2020)'s two networks."""
    return _KOSIBA[model][2]


def set_iterations(config: ExperimentConfig) -> None:
    """As many epochs as make the iterations of Kosiba et al. (2020), of their two networks."""
    _, batch_size, iterations = _KOSIBA[config.model.name]
    config.training.num_epochs = max(1, round(iterations * batch_size / config.data.num_train))


def shrink_to_smoke(config: ExperimentConfig) -> None:
    """A run of under a minute on two cores that goes through every room; its scores mean nothing."""
    config.data.num_train, config.data.num_validation, config.data.num_test = 768, 128, 256  # simulated ones
    config.training.num_epochs = 2
    config.training.global_batch_size = 32
    config.training.eval_batch_size = 64
    config.training.log_every_steps = 4
    config.evaluation.ceilings = False
    config.evaluation.sky_density_per_deg2 = {}  # so few cutouts need not hold every type
    config.lr_range.num_steps = min(config.lr_range.num_steps, 70)
    # So massive that so few steps can learn something.
    config.microwave.mass_floor_msun = config.joint.mass_floor_msun = 1e15
    config.explain.num_cutouts, config.explain.num_steps = 4, 8
    config.search.map_size = min(config.search.map_size, 512)
    config.search.stride = 16
