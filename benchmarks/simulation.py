"""How fast the simulated sky is made, on one core: ``python benchmarks/simulation.py``.

Claimed: 250 infrared cutouts of 64 x 64 x 2 pixels a second and core without group haloes, 120 with; 300 microwave
cutouts of 64 x 64 x 3; 40 X-ray + optical cutouts of 356 x 356 x 2; a map of 2048 x 2048 in well under a minute.
Seconds of processor time, so that other programs on the machine count little.
"""

import argparse
import time

import numpy as np

from clusterjax.config import INFRARED_FRACTIONS, MICROWAVE_FRACTIONS, XRAY_FRACTIONS
from clusterjax.simulation.knobs import InfraredSky, MicrowaveSky, XrayOpticalSky
from clusterjax.simulation.skies import Sky, simulation_of
from tfds_builders.simulated_example import simulate_example

NUMBER = 1500


def cutouts_per_second(sky: Sky, fractions: dict[str, float], *, size: int = 64, number: int = NUMBER) -> float:
    """Whole examples of a mix of objects, positions included."""

    def make(start: int, stop: int) -> None:
        for index in range(start, stop):
            simulate_example("train", index, seed=0, sky=sky, object_fractions=fractions, size=size)

    make(0, 100)  # tables and transforms are made once
    start = time.process_time()
    make(100, 100 + number)
    return number / (time.process_time() - start)


def map_seconds(sky: Sky, side: int) -> float:
    start = time.process_time()
    simulate_map = simulation_of(sky).simulate_map
    simulate_map(sky, seed=0, shape=(side, side), ra_deg=30.0, dec_deg=5.0, cluster_boost=8.0)
    return time.process_time() - start


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print(f"NumPy {np.__version__}; default mixes of objects")
    for groups in (False, True):
        rate = cutouts_per_second(InfraredSky(groups=groups), INFRARED_FRACTIONS)
        print(f"infrared cutouts {'with' if groups else 'without'} groups: {rate:6.0f} /s/core")
    print(f"microwave cutouts: {cutouts_per_second(MicrowaveSky(), MICROWAVE_FRACTIONS):6.0f} /s/core")
    rate = cutouts_per_second(XrayOpticalSky(channels=("xray", "optical")), XRAY_FRACTIONS, size=356, number=300)
    print(f"X-ray + optical cutouts: {rate:6.0f} /s/core")
    for sky in (InfraredSky(), MicrowaveSky()):
        for side in (1024, 2048):
            print(f"{type(sky).__name__}, map of {side} x {side} pixels: {map_seconds(sky, side):6.2f} s")


if __name__ == "__main__":
    main()
