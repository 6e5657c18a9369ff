"""Every network on the microwave cutouts of ``alexnet_mw``; which, the variant says.

    python -m clusterjax.main --config=configs/networks_mw.py:densenet121

Variants and costs are those of ``networks_ir.py``. But for baseline and cnn_mlp, the middle 32 px are enlarged to 64.
"""

from clusterjax.config import ExperimentConfig
from clusterjax.recipes import any_network, microwave_from_scratch


def get_config(variant: str = "") -> ExperimentConfig:
    return any_network(variant, "mw", microwave_from_scratch)
