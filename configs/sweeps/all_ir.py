"""Every network on the infrared cutouts of ``alexnet_ir``, each with its own LR range test; then all side by side.

    python -m clusterjax.main --config=configs/sweeps/all_ir.py

Each network has a folder in ``runs/all_ir``; ``comparison/report/index.html`` there shows all of them, with the
accuracy that Fomicheva (2025) published beside each and why it is no bar, and ``lr_range.png`` their range tests.
Interrupted, the same command goes on. ``--config.common="{'training.num_members': 3}"`` sets a field in all of them.

Variants: ``:reference`` (the nine networks of that table), ``:small`` (seven that two cores train in a few hours) and
``:smoke`` (those nine, four steps each, the deepest with fewer layers). The rest wants an accelerator.
"""

from clusterjax.config import SweepConfig
from clusterjax.recipes import infrared_from_scratch
from clusterjax.sweeps import all_networks


def get_config(variant: str = "") -> SweepConfig:
    return all_networks(variant, "ir", infrared_from_scratch)
