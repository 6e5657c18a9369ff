"""Every network on the infrared cutouts of ``alexnet_ir``; which, the variant says.

    python -m clusterjax.main --config=configs/networks_ir.py:densenet121

The names are those of ``python -m clusterjax.models``; without one it is cnn_mlp. ``NAME-reference`` has the
reference system's recipe at our resolution, to see what ours gains; ``NAME-paper`` has the reference
system's input of 224 px, rotations and schedule, for an accelerator, and takes ImageNet's weights by
``--config.model.pretrained=FILE``. ``kosiba_cn-kosiba`` and ``mobilenet_v1-kosiba`` train as Kosiba et al. (2020) did.
``NAME-smoke`` goes through every room once; its scores mean nothing.
Cost grows with the operations that ``python -m clusterjax.models`` lists, at 64 px a twelfth of those at 224 px; from
resnet18 on, take an accelerator.
"""

from clusterjax.config import ExperimentConfig
from clusterjax.recipes import any_network, infrared_from_scratch


def get_config(variant: str = "") -> ExperimentConfig:
    return any_network(variant, "ir", infrared_from_scratch)
