"""What a build says of its own leaks: nothing of the skies as they are, and each that is planted."""

import dataclasses

import numpy as np
import pytest

from clusterjax.config import INFRARED_FRACTIONS, JOINT_FRACTIONS, MICROWAVE_FRACTIONS, XRAY_FRACTIONS, DataConfig
from clusterjax.simulation.infrared import cutouts as infrared
from clusterjax.simulation.knobs import InfraredSky, JointSky, MicrowaveSky, XrayOpticalSky
from clusterjax.simulation.microwave import cutouts as microwave
from clusterjax.simulation.microwave.cirrus import Cirrus
from clusterjax.simulation.skies import simulation_of
from clusterjax.simulation.xray_optical import cutouts as xray_optical
from tfds_builders import simulated_example
from tfds_builders.ir_cutouts.ir_cutouts_dataset_builder import make_builder as make_infrared
from tfds_builders.joint_cutouts.joint_cutouts_dataset_builder import make_builder as make_joint
from tfds_builders.microwave_cutouts.microwave_cutouts_dataset_builder import make_builder as make_microwave
from tfds_builders.xray_optical_cutouts.xray_optical_cutouts_dataset_builder import make_builder as make_xray

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # array_record leaves its files to the collector

SKIES = {
    "infrared": (make_infrared, InfraredSky(), INFRARED_FRACTIONS, 64),
    "microwave": (make_microwave, MicrowaveSky(), MICROWAVE_FRACTIONS, 64),
    "joint": (make_joint, JointSky(), JOINT_FRACTIONS, 64),
    "xray_optical": (make_xray, XrayOpticalSky(channels=("counts", "plate")), XRAY_FRACTIONS, 64),
}


def leak_of(name, folder, *, num_train=240, num_test=160):
    make, sky, fractions, size = SKIES[name]
    config = DataConfig(
        num_train=num_train, num_validation=1, num_test=num_test, simulated_size=size, object_fractions=dict(fractions),
        data_dir=str(folder), num_processes=1,
    )  # fmt: skip
    builder = make(config, sky)
    builder.download_and_prepare()
    return builder.info.metadata["leak_check"], builder


@pytest.mark.parametrize("name", ["infrared", "microwave"])
def test_nothing_is_told(name, tmp_path):
    leak, builder = leak_of(name, tmp_path)
    assert abs(leak["auc"] - 0.5) < 3.5 * leak["error"]
    levels = simulation_of(SKIES[name][1]).levels
    assert "without" in leak["features"]
    assert all(level.removeprefix("sky_level_") in leak["features"] for level in levels)
    row = builder.as_data_source("test")[0]
    assert all(np.isfinite(row[level]) for level in levels)


@pytest.mark.slow
@pytest.mark.parametrize("name", SKIES)
def test_nothing_is_told_by_many(name, tmp_path):
    numbers = {"xray_optical": (1200, 1000)}.get(name, (6000, 3000))
    leak, _ = leak_of(name, tmp_path, num_train=numbers[0], num_test=numbers[1])
    assert leak["error"] < 0.02
    assert abs(leak["auc"] - 0.5) < 3 * leak["error"]


def test_clusters_that_lie_elsewhere_are_seen(tmp_path, monkeypatch, caplog):
    """Position: clusters in the north, all else in the south."""
    draw = simulated_example._draw

    def by_hemisphere(*args, **kwargs):
        rng, (ra_deg, dec_deg, block), cutout = draw(*args, **kwargs)
        return rng, (ra_deg, np.abs(dec_deg) * (1 if cutout.label else -1), block), cutout

    monkeypatch.setattr(simulated_example, "_draw", by_hemisphere)
    leak, _ = leak_of("infrared", tmp_path)
    assert leak["auc"] > 0.5 + 4 * leak["error"]
    assert "alone tell" in caplog.text


def test_clusters_in_denser_star_fields_are_seen(tmp_path, monkeypatch):
    """Level: the field of clusters is another than that of the others, and they themselves are as ever."""
    sample_field = infrared.sample_field

    def with_more_stars(rng, sky, shape, **kwargs):
        if kwargs["group_mass_max_msun"] == np.inf:
            sky = dataclasses.replace(sky, galactic_latitude_deg=12.0)
        return sample_field(rng, sky, shape, **kwargs)

    monkeypatch.setattr(infrared, "sample_field", with_more_stars)
    leak, _ = leak_of("infrared", tmp_path)
    assert leak["auc"] > 0.5 + 4 * leak["error"]


def test_clusters_on_an_offset_are_seen(tmp_path, monkeypatch):
    """Level: a background of the microwave sky that only clusters have; the median of the stored image is 0 for all."""
    paint_cutout, simulate_cutout = microwave.paint_cutout, microwave.simulate_cutout
    types = []

    def paint(rng, sky, setting, *args, **kwargs):
        if types[-1] == "cluster":
            setting = dataclasses.replace(setting, cirrus=Offset())
        return paint_cutout(rng, sky, setting, *args, **kwargs)

    class Offset(Cirrus):
        def __init__(self):
            pass

        def draw(self, rng, beam):
            return 0.0, np.full((3, 1, 1), 150.0)

    def simulate(sky, object_type, *args, **kwargs):
        types.append(object_type)
        return simulate_cutout(sky, object_type, *args, **kwargs)

    simulation = dataclasses.replace(simulation_of(MicrowaveSky()), simulate_cutout=simulate)
    monkeypatch.setattr(microwave, "paint_cutout", paint)
    monkeypatch.setattr(simulated_example, "simulation_of", lambda sky: simulation)
    leak, builder = leak_of("microwave", tmp_path)
    assert leak["auc"] > 0.5 + 4 * leak["error"]
    np.testing.assert_allclose(np.median(builder.as_data_source("test")[0]["image"], axis=(0, 1)), 0, atol=1e-3)


def test_clusters_near_the_axis_are_seen(tmp_path, monkeypatch):
    """Depth: clusters where XMM-Newton sees most."""
    for name in ("low_z_cluster", "high_z_cluster"):

        def near_axis(rng, sky, recipe=xray_optical.RECIPES[name]):
            target = recipe(rng, sky)
            target.off_axis_arcmin = 3.0
            return target

        monkeypatch.setitem(xray_optical.RECIPES, name, near_axis)
    leak, _ = leak_of("xray_optical", tmp_path, num_train=120, num_test=100)
    assert leak["auc"] > 0.5 + 4 * leak["error"]
    assert "exposure" in leak["features"]
