"""The custom network of Kosiba et al. (2020) on simulated XMM-Newton + DSS2 cutouts, with their hyper-parameters.

    python -m clusterjax.main --config=configs/cn_xray_optical.py

153 000 steps of 10 images of 356 px: for a GPU. ``:small``, pictures of 64 px and Adam, takes a minute or two on two
cores; three minutes at 96 px (what they give: README.md):
``--config.data.input_size=96 --config.optim.name=adam --config.optim.learning_rate=5e-4
--config.optim.plateau_min_rate=1e-5 --config.training.num_epochs=5``.
On their own images: ``--config.data.survey.service=kosiba2020`` (with ``--config.data.images=Kosiba2020.zip`` if you
have it); see tfds_builders/xray_optical_cutouts/README.md.

Variants: ``:experts`` (as without), ``:volunteers`` (labels are weighted votes of simulated volunteers),
``:volunteers_unweighted``, ``:optical``, ``:xray`` (one image alone), ``:no_augmentation``, ``:five_class``, ``:small``
and ``:smoke`` (a minute; scores that mean nothing).
Other arrangements of the channels: ``--config.data.bands="('optical', 'zero', 'xray')"``; all six:
``--config.xray_optical.channels="('xray_red', 'xray_green', 'xray_blue', 'optical_red', ...)"``.
"""

from clusterjax.config import ExperimentConfig, ModelConfig, apply_variant
from clusterjax.recipes_xray_optical import XRAY_OPTICAL_VARIANTS, xray_optical


def get_config(variant: str = "") -> ExperimentConfig:
    config = xray_optical("cn_xray_optical", ModelConfig("kosiba_cn"))
    return apply_variant(config, variant, XRAY_OPTICAL_VARIANTS)
