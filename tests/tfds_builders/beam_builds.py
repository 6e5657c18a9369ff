"""Small data sets of every kind, built on Beam and as always, one compared with the other example by example.

    python -m tests.tfds_builders.beam_builds FOLDER PIPELINE_OPTIONS KIND...

Runs where Apache Beam is installed, without pytest: test_on_beam.py starts it.
"""

import contextlib
import dataclasses
import functools
import pathlib
import sys

import numpy as np
from astropy.table import Table

from clusterjax.config import MICROWAVE_FRACTIONS, DataConfig, ExperimentConfig, SurveyConfig
from clusterjax.data.sources import open_source
from clusterjax.errors import InputError
from clusterjax.experiment import make_builder
from clusterjax.sky.fits import write_sky_map
from clusterjax.sky.geometry import make_wcs
from clusterjax.sky.skymap import SkyMap
from tests.local_server import LocalServer
from tests.survey_sky import patch_of_sky, respond, survey_mirrors
from tfds_builders import on_beam

FEW = {"num_train": 50, "num_validation": 10, "num_test": 10, "simulated_size": 16, "num_processes": 1}


def infrared(_) -> DataConfig:
    return DataConfig(builder="ir_cutouts", **FEW)


def slow_infrared(_) -> DataConfig:
    return DataConfig(builder="ir_cutouts", **FEW | {"num_train": 350, "simulated_size": 64})


def microwave(_) -> DataConfig:
    return DataConfig(builder="microwave_cutouts", binary=False, object_fractions=dict(MICROWAVE_FRACTIONS), **FEW)


def xray(_) -> DataConfig:
    config = DataConfig(builder="xray_optical_cutouts", **FEW | {"num_train": 40, "simulated_size": 64})
    config.labels, config.object_fractions = "volunteers", {"high_z_cluster": 0.5, "point_source": 0.5}
    return config


def maps(folder: pathlib.Path) -> DataConfig:
    """A map with a gap, so that some cutouts are left out."""
    shape = (300, 400)
    wcs = make_wcs(shape, ra_deg=30.0, dec_deg=-5.0, pixel_scale_arcsec=60.0)
    rng = np.random.default_rng(0)
    data = rng.normal(size=(*shape, 2)).astype(np.float32)
    data[100:140, 200:260] = np.nan
    sky = SkyMap(data, wcs, np.isfinite(data).all(axis=2), ("a", "b"), "uK")
    for band in (0, 1):
        one = dataclasses.replace(sky, data=data[..., band : band + 1], bands=sky.bands[band : band + 1])
        write_sky_map(folder / f"{sky.bands[band]}.fits", one)
    ra, dec = sky.pixel_to_sky(*rng.uniform(0, 1, (2, 150)) * (np.array(shape) - 1)[:, None])
    Table({"ra": ra, "dec": dec}).write(folder / "known.ecsv", overwrite=True)
    return DataConfig(
        builder="map_cutouts", maps=(f"{folder}/a.fits+{folder}/b.fits",), catalogue=str(folder / "known.ecsv"),
        simulated_size=16, block_nside=64, min_valid_fraction=0.95,
    )  # fmt: skip


def lost_map(folder: pathlib.Path) -> DataConfig:
    return maps(folder)


def survey(folder: pathlib.Path, url: str) -> DataConfig:
    return DataConfig(
        builder="ir_cutouts", simulated_size=12,
        survey=SurveyConfig(
            service="hips_unwise", catalogues=("psz2",), held_out=("madcows",), max_objects=30, attempts=1,
            cache_dir=str(folder / "cache"), mirrors=survey_mirrors(url),
        ),
    )  # fmt: skip


TABLES = {"J/A+A/594/A27/psz2": patch_of_sky(120, 0), "J/ApJS/240/33/table3": patch_of_sky(60, 2)}


def build(config: DataConfig, folder: pathlib.Path, options: str):
    data = dataclasses.replace(config, data_dir=str(folder / ("beam" if options else "plain")), beam=options)
    builder = make_builder(ExperimentConfig(data=data))
    if folder.name == "lost_map":  # between the plan and the workers
        (folder / "b.fits").unlink()
    builder.download_and_prepare()
    return builder


def compare(one, other) -> int:
    """Number of examples."""
    assert dict(one.info.metadata) == dict(other.info.metadata), (one.info.metadata, other.info.metadata)
    assert set(one.info.splits) == set(other.info.splits)
    total = 0
    for split in one.info.splits:
        first, second = open_source(one, split), open_source(other, split)
        assert len(first) == len(second), (split, len(first), len(second))
        for index in range(len(first)):
            here, there = first[index], second[index]
            assert here.keys() == there.keys()
            for name in here:
                np.testing.assert_array_equal(here[name], there[name])
        total += len(first)
    return total


def main(folder: str, options: str, *kinds: str) -> None:
    on_beam._SHARD_EXAMPLES = 7  # several shards, and a last one that is shorter
    with contextlib.ExitStack() as stack:
        for kind in kinds:
            here = pathlib.Path(folder) / kind
            here.mkdir(parents=True, exist_ok=True)
            if kind == "survey":
                server = stack.enter_context(LocalServer(functools.partial(respond, tables=TABLES)))
                config = survey(here, server.url)
            else:
                config = globals()[kind](here)
            built = build(config, here, options)
            asked = len(server.asked) if kind == "survey" else 0
            plain = build(config, here, "")
            if kind == "survey":
                assert len(server.asked) == asked, "fetched again what Beam's build had fetched"
            shards = sum(split.num_shards for split in built.info.splits.values())
            print(f"{kind}: {compare(plain, built)} examples are equal, {shards} shards", flush=True)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except InputError as error:
        sys.exit(f"error: {error}")
