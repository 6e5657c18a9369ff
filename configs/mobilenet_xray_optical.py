"""MobileNet on the X-ray + optical cutouts of ``cn_xray_optical``, with the hyper-parameters of Kosiba et al. (2020).

    python -m clusterjax.main --config=configs/mobilenet_xray_optical.py

3 825 steps of 20 images, brought to 224 px. They began with ImageNet's weights: ``--config.model.pretrained=FILE`` (of
timm's mobilenetv1_100). ``:small``, pictures of 64 px from scratch, takes three minutes of processor time. Variants are
those of ``cn_xray_optical``: ``:experts``, ``:volunteers``, ``:optical``, ``:xray``, ``:no_augmentation``,
``:five_class``, ``:small``, ``:smoke`` ...
"""

from clusterjax.config import ExperimentConfig, ModelConfig, apply_variant
from clusterjax.recipes_xray_optical import XRAY_OPTICAL_VARIANTS, xray_optical


def get_config(variant: str = "") -> ExperimentConfig:
    config = xray_optical("mobilenet_xray_optical", ModelConfig("mobilenet_v1"))
    config.data.input_size = 224
    return apply_variant(config, variant, XRAY_OPTICAL_VARIANTS)
