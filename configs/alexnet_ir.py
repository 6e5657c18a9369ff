"""AlexNetVGG on simulated unWISE W1 and W2 cutouts, then a scan of a simulated map that it has never seen.

    python -m clusterjax.main --config=configs/alexnet_ir.py

About 10 minutes on two cores. Mean of 3 seeds: see README.md.

Variants: ``:smoke`` (under a minute: every job once, scores that mean nothing) and ``:paper`` (224 px input and the
reference system's settings; for an accelerator).
"""

from clusterjax.config import AugmentConfig, ExperimentConfig, ModelConfig, OptimConfig, apply_variant
from clusterjax.recipes import infrared_from_scratch, shrink_to_smoke


def get_config(variant: str = "") -> ExperimentConfig:
    # From scratch, batch normalisation learns as much in one epoch as the original in five; at 64 px the pooled
    # features are 6x6 copies of one, for which a head of 4096 is only slow.
    kwargs = {"stem_stride": 4, "head_width": 1024, "dropout": 0.5, "use_batch_norm": True}
    config = infrared_from_scratch("alexnet_ir", ModelConfig("alexnet_vgg", kwargs))
    return apply_variant(config, variant, {"smoke": shrink_to_smoke, "paper": _use_paper_settings})


def _use_paper_settings(config: ExperimentConfig) -> None:
    """Fomicheva (2025): AlexNet as it is, 224 px, Adam at the range test's rate, decay 0.8 an epoch, batch 64."""
    config.data.input_size = 224
    config.model.kwargs = {"stem_stride": 4, "head_width": 4096, "dropout": 0.5, "use_batch_norm": False}
    config.augment = AugmentConfig(rotation_deg=15.0, flip=True, shift_fraction=20 / 224)
    config.lr_range.multiplier = 1.0
    config.optim = OptimConfig(schedule="exponential", decay_per_epoch=0.8)
    config.training.num_epochs = 20
