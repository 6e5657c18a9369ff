"""Every network on the microwave cutouts of ``alexnet_mw``; as ``all_ir.py``, with the same variants.

python -m clusterjax.main --config=configs/sweeps/all_mw.py
"""

from clusterjax.config import SweepConfig
from clusterjax.recipes import microwave_from_scratch
from clusterjax.sweeps import all_networks


def get_config(variant: str = "") -> SweepConfig:
    return all_networks(variant, "mw", microwave_from_scratch)
