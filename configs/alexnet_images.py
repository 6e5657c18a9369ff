"""AlexNetVGG on your own labelled images: a folder with a subfolder a class, or a table with file and label.

    python -m clusterjax.main --config=configs/alexnet_images.py --config.data.images=FOLDER

See tfds_builders/labelled_images/README.md for the layouts. With ``--map=FILE.fits`` and
``--config.search.positive_class=CLASS`` the trained network also scans a map. Variant: ``:smoke``.
"""

from clusterjax.config import ExperimentConfig, ModelConfig, apply_variant
from clusterjax.recipes import labelled_images, shrink_images_to_smoke


def get_config(variant: str = "") -> ExperimentConfig:
    kwargs = {"use_batch_norm": True, "head_kwargs": {"width": 1024, "dropout": 0.5}}
    config = labelled_images("alexnet_images", ModelConfig("alexnet_vgg", kwargs))
    return apply_variant(config, variant, {"smoke": shrink_images_to_smoke})
