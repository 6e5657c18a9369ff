"""Every network on the X-ray + optical cutouts of ``cn_xray_optical``; which, the variant says.

    python -m clusterjax.main --config=configs/networks_xray_optical.py:vgg19

VGG19 and Inception v3 are those that Kosiba et al. (2020) tried beside theirs. The pictures have 128 px, the learning
rate is the range test's. From published weights:

    ... --config=configs/networks_xray_optical.py:inception_v3-finetune --config.model.pretrained=WEIGHTS.pth

Variants: ``NAME-xray``, ``-optical``, ``-no_augmentation``, ``-five_class``, ``-finetune``, ``-smoke``; without a
name it is cnn_mlp.
"""

from clusterjax.config import ExperimentConfig
from clusterjax.recipes_xray_optical import any_xray_optical


def get_config(variant: str = "") -> ExperimentConfig:
    return any_xray_optical(variant)
