"""AlexNetVGG on cutouts of your own maps around the objects of your own catalogue.

    python -m clusterjax.main --config=configs/alexnet_maps.py --config.data.catalogue=known.fits \\
        --config.data.maps="('field1_w1.fits+field1_w2.fits', 'field2_w1.fits+field2_w2.fits')"

See tfds_builders/map_cutouts/README.md. With ``--map=FILE.fits`` the trained network also scans a map. Variant:
``:smoke``.
"""

from clusterjax.config import ExperimentConfig, ModelConfig, apply_variant
from clusterjax.recipes import local_maps, shrink_to_smoke


def get_config(variant: str = "") -> ExperimentConfig:
    kwargs = {"use_batch_norm": True, "head_kwargs": {"width": 1024, "dropout": 0.5}}
    config = local_maps("alexnet_maps", ModelConfig("alexnet_vgg", kwargs))
    return apply_variant(config, variant, {"smoke": shrink_to_smoke})
