"""Pretrained against scratch, where infrared cutouts are few: a network that begins with another survey's weights.

    python -m clusterjax.main --config=configs/sweeps/pretraining.py --config.common="{'training.num_members': 3}"

``microwave`` is trained on simulated microwave cutouts; ``pretrained_1000`` and so on begin with its weights (the first
layer fitted to two bands, the head afresh, the backbone at a third of the head's rate), ``scratch_1000`` with none, on
as many infrared cutouts. No weights are fetched: self-made pretraining is what can be compared here. ImageNet's, where
you have them: ``--config.common="{'model.pretrained': 'FILE'}"`` with a network of theirs.

Variant: ``:smoke`` (four steps each).
"""

from clusterjax.config import ExperimentConfig, ModelConfig, SweepConfig
from clusterjax.recipes import infrared_from_scratch, microwave_from_scratch
from clusterjax.sweeps import one_change_each

_SOURCE = "microwave"
_SIZES = {1_000: 24, 4_000: 12, 16_000: 6}  # training cutouts -> epochs


def _few(number: int, num_epochs: int, *, pretrained: bool):
    def change(config: ExperimentConfig) -> None:
        config.data.num_train, config.training.num_epochs = number, num_epochs
        config.lr_range.num_steps = 100
        if pretrained:
            config.model.pretrained, config.optim.backbone_rate = _SOURCE, 0.3

    return change


def get_config(variant: str = "") -> SweepConfig:
    source = microwave_from_scratch("pretraining", ModelConfig("baseline"))
    source.data.centre_pixels = None  # of the same size as the infrared cutouts
    changes = {}
    for number, num_epochs in _SIZES.items():
        for kind in ("scratch", "pretrained"):
            changes[f"{kind}_{number}"] = _few(number, num_epochs, pretrained=kind == "pretrained")
    infrared = infrared_from_scratch("pretraining", ModelConfig("baseline"))
    sweep = one_change_each("pretraining", variant, infrared, changes, base_name=_SOURCE)
    sweep.experiments[_SOURCE] = one_change_each("pretraining", variant, source, {}, base_name=_SOURCE).experiments[
        _SOURCE
    ]
    return sweep
