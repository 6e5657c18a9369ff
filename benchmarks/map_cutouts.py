"""Cutouts a second of a data set built from maps on disk, in one process.

    python benchmarks/map_cutouts.py

Writes a map of noise (two bands, one file a band, 0.5 GB) into a temporary folder, so that it is in the page cache,
and builds data sets of 64x64x2 cutouts from it. A build has costs that do not grow with it (statistics of four million
pixels a band, files): it is timed with a quarter of the objects and with all, and the difference is what each further
cutout takes. CPU time is that of one core, whatever else the machine does.
Aim: 1 500 cutouts/s/core. That memory does not grow with the map is a test (tests/tfds_builders/test_map_cutouts.py).
"""

import argparse
import pathlib
import shutil
import statistics
import tempfile
import time

import numpy as np
from astropy.table import Table

from clusterjax.config import DataConfig
from clusterjax.sky.fits import write_sky_map
from clusterjax.sky.geometry import make_wcs
from clusterjax.sky.skymap import SkyMap
from tfds_builders.map_cutouts.map_cutouts_dataset_builder import make_builder


def write_map(folder: pathlib.Path, side: int) -> tuple[str, SkyMap]:
    wcs = make_wcs((side, side), ra_deg=30.0, dec_deg=5.0, pixel_scale_arcsec=10.0)
    rng = np.random.default_rng(0)
    for band in ("a", "b"):
        data = rng.standard_normal((side, side, 1), np.float32)
        sky = SkyMap(data, wcs, np.ones((side, side), bool), (band,), "uK")
        write_sky_map(folder / f"map_{band}.fits", sky)
    return "+".join(str(folder / f"map_{band}.fits") for band in ("a", "b")), sky


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=8192)
    parser.add_argument("--objects", type=int, default=16_000)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        maps, sky = write_map(folder, args.side)
        y, x = np.random.default_rng(1).uniform(0, args.side - 1, (2, args.objects))
        ra, dec = sky.pixel_to_sky(y, x)
        del sky

        def build(objects: int, seed: int) -> tuple[int, float, float]:
            """(cutouts, seconds, CPU seconds)."""
            Table({"ra": ra[:objects], "dec": dec[:objects]}).write(folder / "known.ecsv", overwrite=True)
            wall, own = time.perf_counter(), time.process_time()
            builder = make_builder(
                DataConfig(
                    builder="map_cutouts", data_dir=str(folder / "data"), maps=(maps,), seed=seed, num_processes=1,
                    catalogue=str(folder / "known.ecsv"), exclusion_arcmin=0.5, block_nside=32,
                )
            )  # fmt: skip
            builder.download_and_prepare()
            count = sum(split.num_examples for split in builder.info.splits.values())
            measured = count, time.perf_counter() - wall, time.process_time() - own
            shutil.rmtree(folder / "data")
            return measured

        build(args.objects // 4, 0)  # imports, page cache
        further, whole = [], []
        for seed in range(1, args.repeats + 1):
            small, large = (np.array(build(objects, seed)) for objects in (args.objects // 4, args.objects))
            count, wall, own = large - small
            further.append((count / wall, count / own))
            whole.append((large[0] / large[1], large[0] / large[2]))
    for what, rates in (("each further cutout", further), ("the whole build", whole)):
        wall, own = (statistics.median(column) for column in zip(*rates, strict=True))
        print(f"{what:20s} {wall:6.0f} cutouts/s, {own:6.0f} per second of CPU time")


if __name__ == "__main__":
    main()
