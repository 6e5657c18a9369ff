"""AlexNetVGG on simulated ACT + Planck cutouts at 98, 150 and 220 GHz, then a scan of a simulated map.

    python -m clusterjax.main --config=configs/alexnet_mw.py

The matched filter on the same draws is the ceiling. Other depths: ``--config.microwave.survey=act_dr6`` (or planck).

Variants: ``:smoke`` (under a minute: every job once, scores that mean nothing) and ``:paper`` (224 px input and the
reference system's settings; for an accelerator).
"""

from clusterjax.config import ExperimentConfig, ModelConfig, apply_variant
from clusterjax.recipes import microwave_from_scratch, shrink_to_smoke, use_paper_settings


def get_config(variant: str = "") -> ExperimentConfig:
    kwargs = {"use_batch_norm": True, "head_kwargs": {"width": 1024, "dropout": 0.5}}
    config = microwave_from_scratch("alexnet_mw", ModelConfig("alexnet_vgg", kwargs))
    config.data.input_size = 64  # AlexNet's first layer would leave 7 x 7 of 32 px
    return apply_variant(config, variant, {"smoke": shrink_to_smoke, "paper": use_paper_settings})
