"""How fast the simulated sky is made, on one core: ``python benchmarks/simulation.py``.

Claimed: 250 cutouts of 64 x 64 x 2 pixels a second and core without group haloes, 120 with; a map of 2048 x 2048 in
well under a minute. Seconds of processor time, so that other programs on the machine count little.
"""

import time

import numpy as np

from clusterjax.config import DataConfig
from clusterjax.simulation.knobs import OBJECT_TYPES, InfraredSky
from clusterjax.simulation.maps import simulate_map
from tfds_builders.ir_cutouts.examples import simulate_example

NUMBER = 1500


def cutouts_per_second(sky: InfraredSky) -> float:
    """Whole examples of the default mix of objects, positions included."""
    fractions = DataConfig().object_fractions

    def make(start: int, stop: int) -> None:
        for index in range(start, stop):
            simulate_example("train", index, seed=0, sky=sky, object_fractions=fractions, size=64)

    make(0, 100)  # tables and transforms are made once
    start = time.process_time()
    make(100, 100 + NUMBER)
    return NUMBER / (time.process_time() - start)


def map_seconds(side: int) -> float:
    start = time.process_time()
    simulate_map(InfraredSky(), seed=0, shape=(side, side), ra_deg=30.0, dec_deg=5.0, cluster_boost=8.0)
    return time.process_time() - start


def main() -> None:
    print(f"NumPy {np.__version__}; default mix of {', '.join(OBJECT_TYPES)}")
    for groups in (False, True):
        rate = cutouts_per_second(InfraredSky(groups=groups))
        print(f"cutouts {'with' if groups else 'without'} groups: {rate:6.0f} /s/core")
    for side in (1024, 2048):
        print(f"map of {side} x {side} pixels: {map_seconds(side):6.2f} s")


if __name__ == "__main__":
    main()
