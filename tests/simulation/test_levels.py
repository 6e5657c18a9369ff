"""The level of the sky behind an object: that of the very sky, and not the object's."""

import numpy as np
import pytest
import scipy.fft

from clusterjax.simulation.haloes import Haloes, PlacedHaloes
from clusterjax.simulation.infrared import cutouts as infrared
from clusterjax.simulation.infrared.field import sample_field
from clusterjax.simulation.infrared.populations import Sources
from clusterjax.simulation.infrared.rendering import render
from clusterjax.simulation.joint import cutouts as joint
from clusterjax.simulation.joint.haloes import JointHaloes
from clusterjax.simulation.joint.haloes import join as join_haloes
from clusterjax.simulation.knobs import InfraredSky, JointSky, MicrowaveSky, XrayOpticalSky
from clusterjax.simulation.levels import ThinnedMap, block_light, median
from clusterjax.simulation.microwave import surroundings
from clusterjax.simulation.microwave.flat_sky import point_transform
from clusterjax.simulation.microwave.profiles import compton_y_transform
from clusterjax.simulation.microwave.sources import radio_sources
from clusterjax.simulation.xray_optical import cutouts as xray_optical
from clusterjax.simulation.xray_optical import instrument


def test_light_in_blocks_is_a_histogram():
    rng = np.random.default_rng(0)
    y, x = rng.uniform(-20, 70, (2, 500))
    light = rng.normal(size=(2, 500))
    edges = np.linspace(-0.5, 49.5, 9)
    expected = [np.histogram2d(y, x, bins=(edges, edges), weights=row)[0].ravel() / 6.25**2 for row in light]
    np.testing.assert_allclose(block_light(y, x, light, 50), expected, atol=1e-12)


@pytest.mark.parametrize("count", [1, 2, 7, 64])
def test_median_is_numpys(count):
    values = np.random.default_rng(count).normal(size=(3, count)).astype(np.float32)
    np.testing.assert_array_equal(median(values), np.median(values, axis=1))


def test_long_waves_are_those_of_the_map():
    """A map without short waves is what it was, on every fourth pixel; points have the transform of points."""
    rng = np.random.default_rng(0)
    thinned = ThinnedMap((128, 120), (64, 60))
    rows, columns = np.meshgrid(np.arange(128), np.arange(120), indexing="ij")
    waves = sum(
        rng.normal() * np.cos(2 * np.pi * (ky * rows / 128 + kx * columns / 120) + rng.uniform(0, 6))
        for ky in range(-15, 16, 3)
        for kx in range(0, 14, 3)
    )
    transform = scipy.fft.rfft2(np.stack([waves, 2 * waves]), axes=(1, 2))
    values = thinned.values(thinned.cut(transform))
    np.testing.assert_allclose(values, [waves[:64:4, :60:4], 2 * waves[:64:4, :60:4]], atol=1e-6 * np.abs(waves).max())
    y, x, weight = np.array([3.3, 50.0]), np.array([20.7, 1.25]), np.array([[1.0, 2.0], [0.5, 3.0]])
    whole = [sum(w * point_transform(*at, (128, 120)) for w, *at in zip(row, y, x, strict=True)) for row in weight]
    np.testing.assert_allclose(thinned.points(y, x, weight), thinned.cut(np.array(whole)), atol=1e-9)


def test_infrared_level_is_the_fields():
    """That of the field's image, whatever the object: the median of the image's own blocks without one."""
    sky, levels, medians = InfraredSky(), [], []
    for seed in range(60):
        field = sample_field(np.random.default_rng(seed), sky, (64, 64))
        star = Sources(*(np.array([value]) for value in (30.0, 30.0, 6.0, 0.0)))
        without, level = infrared.paint_cutout(np.random.default_rng(1), sky, field, None, size=64)
        with_star, same = infrared.paint_cutout(np.random.default_rng(1), sky, field, star, size=64)
        np.testing.assert_array_equal(level, same)
        assert np.abs(with_star - without).max() > 1e5
        image = render(field.sources(), (64, 64))
        levels.append(level)
        medians.append(np.median(image.reshape(8, 8, 8, 8, 2).mean(axis=(1, 3)).reshape(64, 2), axis=0))
    levels, medians = np.array(levels), np.array(medians)
    for band in range(2):
        assert np.corrcoef(levels[:, band], medians[:, band])[0, 1] > 0.7
    # The point spread function carries light of the bright blocks into the others: a quarter of the level.
    np.testing.assert_allclose(levels.mean(axis=0), medians.mean(axis=0), rtol=0.35)


def test_infrared_level_is_without_what_no_negative_has():
    """Groups above 1e14 Msun are in the image of a cluster's field, and not in its level; lighter ones are in both."""
    sky, size = InfraredSky(), (64, 64)
    for mass_msun, counts in ((1.1e14, False), (9e13, True)):
        groups = PlacedHaloes(Haloes(np.full(8, mass_msun), np.full(8, 0.4)), *np.full((2, 8), 32.0))
        field, empty = (
            sample_field(np.random.default_rng(0), sky, size, groups=placed)
            for placed in (groups, PlacedHaloes(Haloes(*np.empty((2, 0))), *np.empty((2, 0))))
        )
        (image, level), (without, expected) = (
            infrared.paint_cutout(np.random.default_rng(1), sky, each, None, size=64) for each in (field, empty)
        )
        assert np.abs(image - without).max() > 100
        assert np.array_equal(level, expected) != counts


def test_microwave_level_is_that_of_the_sky_behind(monkeypatch):
    """The median of the very sky without an object; the same with a bright source and a heavy cluster painted on it."""
    sky, seen = MicrowaveSky(), []
    setting = surroundings.setting_of(sky, 64)
    monkeypatch.setattr(surroundings, "median", lambda values: seen.append(median(values)) or seen[-1])
    source = radio_sources(np.random.default_rng(0), sky, np.array([31.0]), np.array([33.0]), np.array([300.0]))
    profile = compton_y_transform(setting.ell, 3e15, 0.3, profile=sky.profile)
    halo = surroundings.halo_transform(sky, profile, 30.0, 30.0, setting.field.padded)
    whole, levels = [], []
    for seed in range(40):
        _, level = surroundings.paint_cutout(np.random.default_rng(seed), sky, setting, None, lambda: (0.0, 0.0))
        whole.append(seen[-2])
        levels.append(level)
        if seed < 5:
            _, same = surroundings.paint_cutout(np.random.default_rng(seed), sky, setting, source, lambda: (halo, halo))
            np.testing.assert_allclose(same, level, atol=0.05)  # µK
            assert np.abs(seen[-2] - whole[-1]).max() > 5
            other = surroundings.paint_cutout(np.random.default_rng(seed), sky, setting, source, lambda: (halo, 0.0))
            assert np.abs(other[1] - level).max() > 5  # haloes that are not the object's count
    whole, levels = np.array(whole), np.array(levels)
    assert whole.std() > 30
    assert np.sqrt(np.mean((levels - whole) ** 2)) < 0.12 * whole.std()  # of 256 places in place of 4096 pixels


def test_joint_level_is_without_what_no_negative_has(monkeypatch):
    """A heavy halo 6' away goes with the label: a cluster's image has it, no level knows of it."""
    sample = joint.sample_surroundings
    one = (np.array([value]) for value in (6.0, 0.0, 0.0, 0.0))
    heavy = JointHaloes(Haloes(np.array([9e14]), np.array([0.3])), *one)
    for object_type, is_seen in (("cluster", True), ("random", False)):
        without = joint.simulate_cutout(JointSky(), object_type, np.random.default_rng(3))
        with monkeypatch.context() as patch:
            patch.setattr(
                joint,
                "sample_surroundings",
                lambda *args, **kwargs: (drawn := sample(*args, **kwargs))._replace(
                    groups=join_haloes(drawn.groups, heavy)
                ),
            )
            beside = joint.simulate_cutout(JointSky(), object_type, np.random.default_rng(3))
        assert (np.abs(beside.image - without.image).max() > 20) == is_seen
        np.testing.assert_allclose(list(beside.levels.values()), list(without.levels.values()), atol=0.1)


def test_no_level_where_the_sky_is_the_object():
    sky = MicrowaveSky()
    setting = surroundings.setting_of(sky, 64)
    rng = np.random.default_rng(0)
    level = surroundings.paint_cutout(rng, sky, setting, None, lambda: (0.0, 0.0), seek_extremum=True)[1]
    assert np.isnan(level).all()
    edge = xray_optical.simulate_observation(XrayOpticalSky(), "edge", rng).levels
    assert np.isnan([edge["sky_exposure"], edge["sky_level_xray"]]).all()
    assert np.isfinite(edge["sky_level_optical"])


@pytest.mark.parametrize("object_type", ["low_z_cluster", "artefact"])
def test_xray_level_is_the_backgrounds(object_type, monkeypatch):
    """Without field sources: the background and the exposure about the place, whatever is put there."""
    sky = XrayOpticalSky(agn_density_scale=0.0)
    pointings = []
    point_at = xray_optical._point_at
    monkeypatch.setattr(xray_optical, "_point_at", lambda *args: pointings.append(point_at(*args)) or pointings[-1])
    for seed in range(6):
        levels = xray_optical.simulate_observation(sky, object_type, np.random.default_rng(seed)).levels
        x, y = pointings[-1].x_arcmin, pointings[-1].y_arcmin
        radius, seen = np.hypot(x, y), instrument.exposure(x, y)
        background = np.median(instrument.background(seen, radius)) * 1000 * sky.exposure_ks
        assert levels["sky_level_xray"] == pytest.approx(background, rel=0.1)
        assert levels["sky_exposure"] == pytest.approx(np.mean(seen * instrument.vignetting(radius)), rel=0.1)
