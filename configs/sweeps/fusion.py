"""Infrared and microwave, each alone and together: three networks on the same cutouts, and two fusions of scores.

    python -m clusterjax.main --config=configs/sweeps/fusion.py --config.common="{'training.num_members': 3}"

The joint network sees both (``configs/joint_ir_mw.py``); ``stacked`` and ``product_of_odds`` are made of the scores of
``infrared`` and ``microwave``, the first fitted on the validation split. The page
``runs/fusion/comparison/report/index.html`` has each one's purity at equal completeness, on the mix of objects that
the sky has, with the paired differences. About half an hour a member on two cores.

Variant: ``:smoke`` (four steps each).
"""

from clusterjax.config import SweepConfig
from clusterjax.recipes_joint import PARENTS, joint_from_scratch
from clusterjax.sweeps import one_change_each


def get_config(variant: str = "") -> SweepConfig:
    sweep = one_change_each("fusion", variant, joint_from_scratch("joint_ir_mw"), PARENTS, base_name="joint")
    sweep.experiments["joint"] = sweep.experiments.pop("joint")  # last: the parents first
    sweep.fused = tuple(PARENTS)
    return sweep
