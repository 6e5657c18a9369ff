"""The reference system's Baseline network on the same infrared cutouts as ``alexnet_ir``: a quarter of the parameters.

python -m clusterjax.main --config=configs/baseline_ir.py
"""

from clusterjax.config import (
    AugmentConfig,
    DataConfig,
    ExperimentConfig,
    ModelConfig,
    TrainingConfig,
    apply_variant,
    shrink_to_smoke,
)


def get_config(variant: str = "") -> ExperimentConfig:
    config = ExperimentConfig(
        name="baseline_ir",
        data=DataConfig(builder="ir_cutouts", num_train=20_000),
        model=ModelConfig("baseline", {"widths": (32, 64, 128, 256), "dropout": 0.5}),
        augment=AugmentConfig(rotation_deg=0.0, quarter_turns=True, flip=True, shift_fraction=2 / 64),
        training=TrainingConfig(num_epochs=6, global_batch_size=64),
    )
    return apply_variant(config, variant, {"smoke": shrink_to_smoke})
