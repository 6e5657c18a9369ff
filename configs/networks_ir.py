"""Every network on the infrared cutouts of ``alexnet_ir``; which, the variant says.

    python -m clusterjax.main --config=configs/networks_ir.py:densenet121

The names are those of ``python -m clusterjax.models``; without one it is cnn_mlp. ``NAME-paper`` has the reference
system's input of 224 px, rotations and schedule, for an accelerator, and takes ImageNet's weights by
``--config.model.pretrained=FILE``. ``NAME-smoke`` goes through every room once; its scores mean nothing.
Cost grows with the operations that ``python -m clusterjax.models`` lists, at 64 px a twelfth of those at 224 px; from
resnet18 on, take an accelerator.
"""

from clusterjax.config import ExperimentConfig, ModelConfig, apply_variant
from clusterjax.recipes import infrared_from_scratch, shrink_to_smoke, use_paper_settings

# What a network needs beyond its own defaults at 64 px.
_KWARGS = {
    "alexnet_vgg": {"use_batch_norm": True, "head_kwargs": {"width": 1024}},
    # 64 tokens of 8 px instead of 16 of 16 px.
    "vit_tiny": {"patch_size": 8, "image_size": 64, "drop_path": 0.1},
}
_INPUT_SIZES = {"inception_v3": 96}


def get_config(variant: str = "") -> ExperimentConfig:
    name, _, change = variant.partition("-")
    if name == "smoke":
        name, change = "", "smoke"
    name = name or "cnn_mlp"
    config = infrared_from_scratch(f"{name}_ir", ModelConfig(name, dict(_KWARGS.get(name, {}))))
    config.data.input_size = _INPUT_SIZES.get(name)
    return apply_variant(config, change, {"smoke": shrink_to_smoke, "paper": use_paper_settings})
