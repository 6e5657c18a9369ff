"""CNN+MLP without padding on the microwave cutouts of ``alexnet_mw``: for fast scans, window by window the same scores.

    python -m clusterjax.main --config=configs/search_mw.py

The scan shares the convolutions between windows. As ``networks_mw.py:cnn_mlp`` but for that: no padding, the last map
of 3x3 flattened, and a high-pass filter of 13.5' in place of each window's median.

Variants: ``:small`` (a quarter of the weights: the network "microwave" that clusterjax brings along) and ``:smoke``.
"""

from clusterjax.config import ExperimentConfig, ModelConfig, apply_variant
from clusterjax.recipes import microwave_search, shrink_to_smoke


def get_config(variant: str = "") -> ExperimentConfig:
    config = microwave_search("search_mw", ModelConfig("cnn_mlp", {"pool": 3}))
    return apply_variant(config, variant, {"smoke": shrink_to_smoke, "small": narrow})


def narrow(config: ExperimentConfig) -> None:
    """Fewer filters in the last convolution, and a narrower perceptron."""
    config.model.kwargs |= {"widths": (32, 64, 96), "head_kwargs": {"widths": (96, 64)}}
