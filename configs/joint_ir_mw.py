"""Infrared and microwave fused: a network of two branches on what both surveys have of the same simulated sky.

    python -m clusterjax.main --config=configs/joint_ir_mw.py

W1 and W2 show 2.9' about a position, 98, 150 and 220 GHz 32', of which that branch sees the middle 16'. Haloes, their
places and the AGN are the same in both; richness and SZ effect scatter apart, or together by
``--config.joint.scatter_correlation``. The aperture count, the matched filter and their stacking see the same cutouts.

Variants: ``:infrared`` and ``:microwave`` (either parent alone, on the same cutouts) and ``:smoke``. All three, their
score fusions and the comparison: ``configs/sweeps/fusion.py``. About ten minutes on two cores.
"""

from clusterjax.config import ExperimentConfig, apply_variant
from clusterjax.recipes import shrink_to_smoke
from clusterjax.recipes_joint import PARENTS, joint_from_scratch


def get_config(variant: str = "") -> ExperimentConfig:
    return apply_variant(joint_from_scratch("joint_ir_mw"), variant, {**PARENTS, "smoke": shrink_to_smoke})
