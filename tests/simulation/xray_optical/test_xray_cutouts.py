"""Whole X-ray + optical cutouts, of every class."""

import dataclasses

import numpy as np
import pytest

from clusterjax.errors import InputError
from clusterjax.simulation.knobs import XRAY_CLUSTERS, XRAY_OBJECT_TYPES, XrayOpticalSky
from clusterjax.simulation.skies import simulation_of
from clusterjax.simulation.xray_optical import cutouts
from clusterjax.simulation.xray_optical.cutouts import (
    MEASUREMENTS,
    grey_images,
    simulate_cutout,
    simulate_observation,
)
from clusterjax.simulation.xray_optical.instrument import FLUX_PER_COUNT_RATE

BARE = XrayOpticalSky(background_scale=0.0, agn_density_scale=0.0, blended=0.0, agn_in_clusters=0.0, irregular=0.0)


def observe(object_type, number, sky=None, seed=5):
    return [
        simulate_observation(sky or XrayOpticalSky(), object_type, np.random.default_rng([seed, i]))
        for i in range(number)
    ]


@pytest.mark.parametrize("object_type", XRAY_OBJECT_TYPES)
def test_every_type(object_type):
    for seed in range(3):
        cutout = simulate_cutout(XrayOpticalSky(), object_type, np.random.default_rng(seed))
        assert cutout.image.shape == (356, 356, 3)
        assert cutout.image.dtype == np.uint8
        assert not cutout.image[..., 0].any()
        assert np.ptp(cutout.image[..., 2]) > 100
        assert cutout.label == (object_type in XRAY_CLUSTERS)
        assert np.isfinite(cutout.m500c_msun) == (object_type in XRAY_CLUSTERS)
        assert tuple(cutout.measurements) == MEASUREMENTS
        if object_type in XRAY_CLUSTERS:
            assert (cutout.redshift < 0.3) == (object_type == "low_z_cluster")


def test_same_seed_same_cutout_whatever_was_drawn_before():
    first = simulate_cutout(XrayOpticalSky(), "double", np.random.default_rng(3)).image
    observe("artefact", 2)
    again = simulate_cutout(XrayOpticalSky(), "double", np.random.default_rng(3)).image
    np.testing.assert_array_equal(first, again)
    assert (simulate_cutout(XrayOpticalSky(), "double", np.random.default_rng(4)).image != first).any()


@pytest.mark.parametrize("object_type", ["point_source", "high_z_cluster"])
def test_counts_are_those_of_the_flux(object_type):
    """Flux over 9.04e-13, times exposure and vignetting at the source; what falls into gaps or outside is little."""
    sky = dataclasses.replace(BARE, exposure_ks=1000.0, off_axis_max_arcmin=3.0)
    for seen in observe(object_type, 4, sky):
        expected = seen.target.flux_cgs / FLUX_PER_COUNT_RATE * 1e6 * float(np.mean(seen.exposure[60:118, 60:118]))
        assert seen.counts.sum() == pytest.approx(expected, rel=0.2)


def test_background_and_exposure_time():
    """About 8e-6 counts a second in 2.5 arcsec on axis: 2 000 in 10 ks over 7 arcmin."""
    sky = XrayOpticalSky(agn_density_scale=0.0, off_axis_max_arcmin=1.0, flux_max_cgs=2.1e-14, blended=0.0)
    corner = np.s_[:60, :60]
    some = [observe("point_source", 4, dataclasses.replace(sky, exposure_ks=time)) for time in (10.0, 20.0)]
    counts = [np.mean([o.counts[corner].sum() for o in each]) for each in some]
    seen = [np.mean([o.exposure[corner].sum() for o in each]) for each in some]
    # Within 5' of the axis, exposure is less than 1 through gaps and vignetting.
    assert counts[0] == pytest.approx(8e-6 * 1e4 * seen[0] * (2.36 / 2.5) ** 2, rel=0.12)
    assert counts[1] / counts[0] == pytest.approx(2, rel=0.1)


def test_clusters_are_extended_and_points_are_not():
    """Bright ones nearly all, by XAmin's class C2; points with others close by look extended now and then."""

    def selected(object_type, **knobs):
        some = observe(object_type, 25, XrayOpticalSky(**knobs))
        return np.mean([o.extent_arcsec >= 5 and o.extension_likelihood > 15 for o in some])

    assert selected("high_z_cluster", flux_min_cgs=5e-14) > 0.85
    assert selected("point_source", blended=0.0) < 0.1
    assert selected("point_source", blended=1.0, flux_min_cgs=2e-13, flux_max_cgs=4e-13) < 0.4


def test_edges_show_the_end_of_the_field():
    edges = observe("edge", 6)
    assert min(np.mean(o.exposure == 0) for o in edges) > 0.05
    assert all(not o.counts[o.exposure == 0].any() for o in edges)
    central = observe("point_source", 6, XrayOpticalSky(off_axis_max_arcmin=6.0))
    assert max(np.mean(o.exposure == 0) for o in central) < 0.02


def test_stars_galaxies_and_points_on_the_plate():
    """Light of the central object: stars and galaxies are seen, far AGN hardly."""

    def light(object_type):
        return np.median([o.plate[160:196, 160:196].max() - 5000 for o in observe(object_type, 8)])

    assert light("star_agn") > 10_000
    assert light("nearby_galaxy") > 8_000
    assert light("point_source") < 4_000


@pytest.mark.parametrize(
    ("knob", "value", "measure"),
    [
        ("exposure_ks", 40.0, lambda o: o.counts.sum()),
        ("background_scale", 3.0, lambda o: o.counts.sum()),
        ("agn_density_scale", 30.0, lambda o: o.counts.sum()),
        ("plate_noise_scale", 3.0, lambda o: np.median(np.abs(o.plate - np.median(o.plate)))),
        ("flux_min_cgs", 5e-13, lambda o: o.target.flux_cgs),
        ("core_radius_min_arcsec", 50.0, lambda o: o.target.extended[0].core_arcsec),
        ("irregular", 1.0, lambda o: len(o.target.extended)),
        ("agn_in_clusters", 1.0, lambda o: len(o.target.points)),
        ("psf_scale", 3.0, lambda o: -o.counts.max()),
    ],
)
def test_knobs(knob, value, measure):
    sky = XrayOpticalSky(irregular=0.0, agn_in_clusters=0.0)
    before, after = (
        np.mean([measure(o) for o in observe("low_z_cluster", 5, s)])
        for s in (sky, dataclasses.replace(sky, **{knob: value}))
    )
    assert after > before * (1.1 if before > 0 else 0.9)


def test_raw_channels_and_smaller_cutouts():
    raw = XrayOpticalSky(channels=("counts", "plate"))
    cutout = simulate_cutout(raw, "low_z_cluster", np.random.default_rng(2))
    seen = simulate_observation(raw, "low_z_cluster", np.random.default_rng(2))
    assert cutout.image.dtype == np.float32
    assert cutout.image[..., 0].sum() == pytest.approx(seen.counts.sum())
    np.testing.assert_array_equal(cutout.image[..., 1], seen.plate)
    small = simulate_cutout(raw, "low_z_cluster", np.random.default_rng(2), size=100)
    np.testing.assert_array_equal(small.image, cutout.image[128:228, 128:228])
    assert small.centre_y_pixels == cutout.centre_y_pixels - 128
    assert simulation_of(raw).dtype is np.float32


def test_pictures_are_dark_where_it_is_bright():
    seen = observe("nearby_galaxy", 1)[0]
    grey = grey_images(seen)
    assert grey["optical"][178, 178] < 30 < grey["optical"].mean()
    brightest = np.unravel_index(np.argmax(seen.counts), seen.counts.shape)
    assert grey["xray"][2 * brightest[0], 2 * brightest[1]] < 60


def test_enlarging_keeps_planes_and_sums():
    y, x = np.mgrid[:6, :8].astype(np.float32)
    plane = cutouts._enlarge(2 * y + 3 * x)
    yy, xx = (np.indices((12, 16)) - 0.5) / 2
    np.testing.assert_allclose(plane[1:-1, 1:-1], (2 * yy + 3 * xx)[1:-1, 1:-1], atol=1e-5)


@pytest.mark.parametrize(
    ("sky", "object_type", "size", "reason"),
    [
        (XrayOpticalSky(), "cluster", 356, r"object_type='cluster' is unknown; use one of low_z_cluster"),
        (XrayOpticalSky(), "double", 400, r"simulated_size=400: X-ray \+ optical cutouts have 2 to 356"),
        (XrayOpticalSky(channels=("xray", "counts")), "double", 356, "use one kind"),
        (XrayOpticalSky(channels=("radio",)), "double", 356, "'radio' is unknown"),
    ],
)
def test_bad_input(sky, object_type, size, reason):
    with pytest.raises(InputError, match=reason):
        simulate_cutout(sky, object_type, np.random.default_rng(0), size=size)
