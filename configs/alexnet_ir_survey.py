"""AlexNetVGG on unWISE W1 and W2 cutouts of the real sky around published clusters, fetched from CDS hips2fits.

    python -m clusterjax.main --config=configs/alexnet_ir_survey.py

6 000 clusters, as many empty positions, half as many galaxies, stars and AGN: 15 000 cutouts in 30 000 requests, four
at a time; MaDCoWS and ACT DR6 are held out as test splits of their own. Interrupt it when you like: what was fetched
is kept in ``runs/downloads``. With ``--config.data.survey.offline=True`` no server is asked. unWISE's own pixels:
``--config.data.survey.service=unwise_me``. Fewer: ``--config.data.survey.max_objects=500``. Variant: ``:smoke``.
"""

from clusterjax.config import ExperimentConfig, ModelConfig, apply_variant
from clusterjax.recipes import infrared_survey, shrink_survey_to_smoke


def get_config(variant: str = "") -> ExperimentConfig:
    kwargs = {"use_batch_norm": True, "head_kwargs": {"width": 1024, "dropout": 0.5}}
    config = infrared_survey("alexnet_ir_survey", ModelConfig("alexnet_vgg", kwargs))
    return apply_variant(config, variant, {"smoke": shrink_survey_to_smoke})
