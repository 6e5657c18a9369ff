"""Every network on your own labelled images; which, the variant says.

    python -m clusterjax.main --config=configs/networks_images.py:efficientnet_lite0 --config.data.images=FOLDER

The names are those of ``python -m clusterjax.models``; without one it is cnn_mlp. To start from published weights:

    ... --config=configs/networks_images.py:efficientnet_lite0-finetune --config.model.pretrained=WEIGHTS.pth

(a .pth or .safetensors file, hf:OWNER/NAME, or a checkpoint of clusterjax). Variant: ``NAME-smoke``.
"""

from clusterjax.config import ExperimentConfig, ModelConfig, apply_variant
from clusterjax.recipes import fine_tune, labelled_images, shrink_images_to_smoke


def get_config(variant: str = "") -> ExperimentConfig:
    name, _, change = variant.partition("-")
    if name == "smoke":
        name, change = "", "smoke"
    name = name or "cnn_mlp"
    # Position embeddings are those of 224 px, as published, and are resized.
    config = labelled_images(f"{name}_images", ModelConfig(name))
    return apply_variant(config, change, {"smoke": shrink_images_to_smoke, "finetune": fine_tune})
