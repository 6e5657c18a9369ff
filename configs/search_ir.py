"""Baseline without padding on the infrared cutouts of ``alexnet_ir``: for fast scans, window by window the same scores.

    python -m clusterjax.main --config=configs/search_ir.py

The scan shares the convolutions between windows. As ``baseline_ir`` but for that: no padding, no median of each window
subtracted, a stride of 4 pixels.

Variants: ``:cnn_mlp`` (that network, pooled to 3x3 with a narrower perceptron, which each window pays for by itself),
``:small`` (a quarter of the weights, half the cutouts: the network "infrared" that clusterjax brings along) and
``:smoke``.
"""

from clusterjax.config import ExperimentConfig, ModelConfig, apply_variant
from clusterjax.recipes import infrared_search, shrink_to_smoke


def get_config(variant: str = "") -> ExperimentConfig:
    config = infrared_search("search_ir", ModelConfig("baseline"))
    return apply_variant(config, variant, {"smoke": shrink_to_smoke, "cnn_mlp": use_cnn_mlp, "small": narrow})


def use_cnn_mlp(config: ExperimentConfig) -> None:
    """Its perceptron sees 3x3 parts of the window, the middle one of them its own."""
    config.model.name = "cnn_mlp"
    config.model.kwargs |= {"pool": 3, "head_kwargs": {"widths": (192, 128)}}


def narrow(config: ExperimentConfig) -> None:
    """Half the filters, half the cutouts."""
    config.model.kwargs |= {"widths": (16, 32, 64, 128)}
    config.data.num_train, config.training.num_epochs = 24_000, 4
