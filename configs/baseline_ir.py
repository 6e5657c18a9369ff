"""The reference system's Baseline network on the same infrared cutouts as ``alexnet_ir``: 3 % of its parameters.

    python -m clusterjax.main --config=configs/baseline_ir.py

Takes a little longer than ``alexnet_ir`` on two cores, and does as well. Variant: ``:smoke``.
"""

from clusterjax.config import ExperimentConfig, ModelConfig, apply_variant
from clusterjax.recipes import infrared_from_scratch, shrink_to_smoke


def get_config(variant: str = "") -> ExperimentConfig:
    config = infrared_from_scratch("baseline_ir", ModelConfig("baseline"))
    return apply_variant(config, variant, {"smoke": shrink_to_smoke})
