"""AlexNetVGG on your own labelled images: a folder with a subfolder a class, or a table with file and label.

    python -m clusterjax.main --config=configs/alexnet_images.py --config.data.images=FOLDER

See tfds_builders/labelled_images/README.md for the layouts. With ``--map=FILE.fits`` and
``--config.search.positive_class=CLASS`` the trained network also scans a map.
"""

from clusterjax.config import (
    AugmentConfig,
    DataConfig,
    ExperimentConfig,
    LrRangeConfig,
    ModelConfig,
    OptimConfig,
    TrainingConfig,
    apply_variant,
)


def get_config(variant: str = "") -> ExperimentConfig:
    config = ExperimentConfig(
        name="alexnet_images",
        # Pictures of 8 bits have had their stretch; FITS images want "asinh".
        data=DataConfig(builder="labelled_images", image_size=128, stretch="linear"),
        model=ModelConfig("alexnet_vgg", {"use_batch_norm": True, "head_kwargs": {"width": 1024, "dropout": 0.5}}),
        augment=AugmentConfig(rotation_deg=180.0, flip=True, shift_fraction=0.05, scale=1.1),
        lr_range=LrRangeConfig(multiplier=5.0),
        optim=OptimConfig(schedule="cosine", warmup_epochs=1.0),
        training=TrainingConfig(num_epochs=20, global_batch_size=64, early_stop_patience=None),
    )
    return apply_variant(config, variant, {"smoke": _shrink})


def _shrink(config: ExperimentConfig) -> None:
    config.data.image_size = 64
    config.training.num_epochs = 1
    config.training.global_batch_size = 16
    config.training.eval_batch_size = 64
