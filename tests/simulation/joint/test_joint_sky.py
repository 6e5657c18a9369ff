"""The infrared and the microwave image of a joint cutout, and of a pair of maps, hold the same haloes and AGN."""

import dataclasses

import numpy as np
import pytest

from clusterjax.errors import InputError
from clusterjax.simulation.haloes import Haloes
from clusterjax.simulation.infrared.members import RICHNESS_SCATTER
from clusterjax.simulation.joint.cutouts import simulate_cutout
from clusterjax.simulation.joint.haloes import place, sample_surroundings
from clusterjax.simulation.joint.maps import simulate_maps
from clusterjax.simulation.knobs import JOINT_OBJECT_TYPES, InfraredSky, JointSky, MicrowaveSky, SharedHaloes

# Little noise, no sources: what is left of a difference is the object's.
QUIET = JointSky(
    InfraredSky(noise_scale=0.01),
    MicrowaveSky(noise_scale=0.01, radio_n10=1e-9, radio_in_clusters=0.0),
    SharedHaloes(mass_floor_msun=1e15, centre_sigma_arcmin=0.4),
)


@pytest.mark.parametrize("object_type", JOINT_OBJECT_TYPES)
def test_every_type_is_made_alike_from_the_same_seed(object_type):
    one, again, other = (simulate_cutout(JointSky(), object_type, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert one.image.shape == (64, 64, 5)
    assert np.isfinite(one.image).all()
    np.testing.assert_array_equal(one.image, again.image)
    assert np.all((one.image != other.image).mean(axis=(0, 1)) > 0.99)
    assert one.label == (object_type == "cluster")
    assert np.isfinite(one.m500c_msun) == (object_type in ("cluster", "group", "near_miss"))


def test_unknown_type():
    with pytest.raises(InputError, match="object_type='ghost' is unknown; use one of cluster, random"):
        simulate_cutout(JointSky(), "ghost", np.random.default_rng(0))


def test_a_cluster_is_at_the_same_place_in_both():
    """The decrement lies where the truth on the infrared pixels says, in arcmin; and so do most of the galaxies."""
    offsets, seen, light = [], [], []
    for seed in range(16):
        with_signal, without = (
            simulate_cutout(
                dataclasses.replace(QUIET, microwave=dataclasses.replace(QUIET.microwave, mass_ratio=ratio)),
                "cluster",
                np.random.default_rng(seed),
            )
            for ratio in (0.63, 1e-9)
        )
        np.testing.assert_array_equal(with_signal.image[..., :2], without.image[..., :2])
        signal = with_signal.image[..., 3] - without.image[..., 3]
        y, x = np.unravel_index(np.argmin(signal), signal.shape)
        decrement = (np.array([y, x]) - 31.5) * 0.5
        centre = (np.array([with_signal.centre_y_pixels, with_signal.centre_x_pixels]) - 31.5) * 2.75 / 60
        seen.append(centre)
        offsets.append(decrement - centre)
        flux = np.clip(with_signal.image[..., 1], 0, 300)
        grid = (np.arange(64) - 31.5) * 2.75 / 60
        light.append([flux.sum(1) @ grid / flux.sum(), flux.sum(0) @ grid / flux.sum()])
    assert np.abs(offsets).max() < 0.3  # half a pixel of 0.5', and rounding
    assert np.std(seen) == pytest.approx(0.4, rel=0.3)
    assert np.corrcoef(np.ravel(light), np.ravel(seen))[0, 1] > 0.4


@pytest.mark.parametrize("correlation", [0.0, 0.8, -0.5])
def test_scatters_of_richness_and_signal(correlation):
    number = 20_000
    sky = JointSky(haloes=SharedHaloes(scatter_correlation=correlation))
    haloes = Haloes(np.full(number, 3e14), np.full(number, 0.5))
    placed = place(np.random.default_rng(1), sky, haloes, np.zeros(number), np.zeros(number))
    assert placed.ln_richness.std() == pytest.approx(RICHNESS_SCATTER, rel=0.02)
    assert placed.ln_signal.std() == pytest.approx(sky.microwave.scatter_ln, rel=0.02)
    assert np.corrcoef(placed.ln_richness, placed.ln_signal)[0, 1] == pytest.approx(correlation, abs=0.02)


def test_surroundings_have_the_true_densities():
    """Of the mass function's table: 106 haloes above 3e13 a deg2 within 0.1 < z < 1.8, 1.69 above 2e14."""
    area, heavy, massive = 0.0, 0, 0
    for seed in range(6):
        clusters, groups, light = sample_surroundings(
            np.random.default_rng(seed), JointSky(), infrared_side=64, microwave_side=600
        )
        area += (600 * 0.5 / 60) ** 2
        masses = np.concatenate([clusters.haloes.m500c_msun, groups.haloes.m500c_msun])
        redshifts = np.concatenate([clusters.haloes.redshift, groups.haloes.redshift])
        heavy += int(np.sum(redshifts > 0.1))
        massive += int(np.sum(masses > 2e14))
        assert light.haloes.m500c_msun.max() <= 3e13 < groups.haloes.m500c_msun.min() * 1.0001
        assert np.abs(light.y_arcmin).max() < (32 + 40) * 2.75 / 60
    assert heavy / area == pytest.approx(106, rel=0.08)
    assert massive / area == pytest.approx(1.69, rel=4 / np.sqrt(massive))


def test_a_pair_of_maps_is_of_one_sky():
    """Stacked on the infrared map's true clusters, the microwave map has a hole; on its AGN, radio galaxies shine."""
    sky = dataclasses.replace(
        QUIET, microwave=MicrowaveSky(noise_scale=0.01, mass_ratio=1.0, radio_n10=30.0, radio_in_clusters=0.0)
    )
    infrared, microwave, truth = simulate_maps(sky, seed=2, side=900, ra_deg=30.0, dec_deg=5.0, cluster_boost=8.0)
    assert infrared.shape == (900, 900)
    assert microwave.shape == (83 + 64, 83 + 64)
    high_pass = microwave.data - np.median(
        np.lib.stride_tricks.sliding_window_view(
            np.pad(microwave.data, [(6, 6), (6, 6), (0, 0)], "reflect"), (13, 13), (0, 1)
        ),
        axis=(3, 4),
    )

    def stacked(rows, band):
        y, x = microwave.sky_to_pixel(rows["ra_deg"], rows["dec_deg"])
        return high_pass[np.round(y).astype(int), np.round(x).astype(int), band]

    clusters = truth[(truth["object_type"] == "cluster") & (truth["m500c_msun"] > 1.5e14)]
    assert len(clusters) > 5
    assert np.mean(stacked(clusters, 1)) < -25
    agn = truth[truth["object_type"] == "agn"]
    spread = 1.48 * np.median(np.abs(high_pass[..., 0]))
    bright = stacked(agn, 0) > 4 * spread
    everywhere = (high_pass[..., 0] > 4 * spread).mean()
    assert bright.mean() > 4 * everywhere
    assert bright.mean() > 0.15
