"""Cutouts a second of a data set built from maps on disk, by one process and by one a core, and the memory it takes.

    python benchmarks/map_cutouts.py

Writes a map of noise (two bands, one file a band, 0.5 GB) into a temporary folder, so that it is in the page cache,
and builds data sets of 64x64x2 cutouts from it; each build is timed as a whole, with the leak check and the
statistics. Aim: 1 500 cutouts/s of one process, and memory that does not grow with the map.
"""

import argparse
import pathlib
import statistics
import tempfile
import time

import numpy as np
import psutil
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
    parser.add_argument("--objects", type=int, default=6000)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        maps, sky = write_map(folder, args.side)
        y, x = np.random.default_rng(1).uniform(0, args.side - 1, (2, args.objects))
        ra, dec = sky.pixel_to_sky(y, x)
        Table({"ra": ra, "dec": dec}).write(folder / "known.ecsv")
        del sky
        anonymous_before = psutil.Process().memory_full_info().uss

        def build(num_processes: int | None, seed: int) -> float:
            start = time.perf_counter()
            builder = make_builder(
                DataConfig(
                    builder="map_cutouts", data_dir=str(folder / "data"), maps=(maps,), seed=seed,
                    catalogue=str(folder / "known.ecsv"), exclusion_arcmin=1.0, block_nside=32,
                    num_processes=num_processes,
                )
            )  # fmt: skip
            builder.download_and_prepare()
            count = sum(split.num_examples for split in builder.info.splits.values())
            return count / (time.perf_counter() - start)

        build(1, 0)  # imports, page cache
        rates = [(build(1, 2 * n + 1), build(None, 2 * n + 2)) for n in range(args.repeats)]
        memory = psutil.Process().memory_full_info().uss - anonymous_before
    for what, column in zip(("one process", "one process a core"), zip(*rates, strict=True), strict=True):
        print(f"{what:20s} {statistics.median(column):7.0f} cutouts/s   (lowest {min(column):.0f})")
    print(f"memory of its own after {2 * args.repeats + 1} builds: {memory / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
