"""AlexNetVGG on simulated unWISE W1 and W2 cutouts, then a scan of a simulated map that it has never seen.

    python -m clusterjax.main --config=configs/alexnet_ir.py

About 11 minutes on two cores. Mean of 3 seeds: see README.md.

Variants: ``:smoke`` (under a minute: every job once, scores that mean nothing) and ``:paper`` (224 px input and the
reference system's settings; for an accelerator).
"""

from clusterjax.config import ExperimentConfig, ModelConfig, apply_variant
from clusterjax.recipes import infrared_from_scratch, shrink_to_smoke, use_paper_settings


def get_config(variant: str = "") -> ExperimentConfig:
    # From scratch, batch normalisation learns as much in one epoch as the original in five; at 64 px the pooled
    # features are 6x6 copies of one, for which a head of 4096 is only slow.
    kwargs = {"use_batch_norm": True, "head_kwargs": {"width": 1024, "dropout": 0.5}}
    config = infrared_from_scratch("alexnet_ir", ModelConfig("alexnet_vgg", kwargs))
    return apply_variant(config, variant, {"smoke": shrink_to_smoke, "paper": use_paper_settings})
