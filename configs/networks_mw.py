"""Every network on the microwave cutouts of ``alexnet_mw``; which, the variant says.

    python -m clusterjax.main --config=configs/networks_mw.py:densenet121

Variants and costs are those of ``networks_ir.py``. But for baseline and cnn_mlp, the middle 32 px are enlarged to 64.
``NAME-filtered`` sees, beside the bands, the matched filter's S/N for clusters of three sizes.
"""

from clusterjax.config import ExperimentConfig
from clusterjax.recipes import any_network, microwave_from_scratch


def get_config(variant: str = "") -> ExperimentConfig:
    return any_network(variant, "mw", microwave_from_scratch)
