"""AlexNetVGG on ACT DR5 + Planck cutouts of the real sky around ACT's clusters, fetched from CDS hips2fits.

    python -m clusterjax.main --config=configs/alexnet_mw_survey.py

All clusters of ACT DR5 and its MCMF catalogue, as many empty positions, half as many AGN and galaxies, three requests a
cutout, four at a time; ACT DR6 and ComPACT are held out as test splits of their own. Planck alone:
``--config.data.survey.service=hips_planck``. The rest is as in ``alexnet_ir_survey``. Variant: ``:smoke``.
"""

from clusterjax.config import ExperimentConfig, ModelConfig, apply_variant
from clusterjax.recipes import microwave_survey, shrink_survey_to_smoke


def get_config(variant: str = "") -> ExperimentConfig:
    kwargs = {"use_batch_norm": True, "head_kwargs": {"width": 1024, "dropout": 0.5}}
    config = microwave_survey("alexnet_mw_survey", ModelConfig("alexnet_vgg", kwargs))
    config.data.input_size = 64  # AlexNet's first layer would leave 7 x 7 of 32 px
    return apply_variant(config, variant, {"smoke": shrink_survey_to_smoke})
