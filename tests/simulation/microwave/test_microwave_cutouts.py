"""Cutouts and maps: reproducible, with the signal that was painted, and as hard as published."""

import dataclasses

import numpy as np
import pytest
from scipy import ndimage
from scipy.special import erfc
from sklearn.metrics import roc_auc_score

from clusterjax.errors import InputError
from clusterjax.evaluation.matched_filter import central_snr
from clusterjax.simulation.haloes import Haloes, log10_cumulative_counts
from clusterjax.simulation.knobs import MICROWAVE_OBJECT_TYPES, MicrowaveSky
from clusterjax.simulation.microwave import pressure, spectra
from clusterjax.simulation.microwave.bands import PIXEL_SCALE_ARCMIN, sz_factor
from clusterjax.simulation.microwave.cutouts import simulate_cutout
from clusterjax.simulation.microwave.filters import matched_filter
from clusterjax.simulation.microwave.flat_sky import GaussianField
from clusterjax.simulation.microwave.maps import simulate_map
from clusterjax.simulation.microwave.painting import inject_clusters
from clusterjax.sky.geometry import make_wcs
from clusterjax.sky.skymap import SkyMap

# The sky that figures were published for: white noise, no radio galaxies in clusters.
PUBLISHED = MicrowaveSky(one_over_f=False, radio_in_clusters=0.0)


def draw(sky, object_type, seed, **kwargs):
    return simulate_cutout(sky, object_type, np.random.default_rng(seed), **kwargs)


@pytest.mark.parametrize("object_type", MICROWAVE_OBJECT_TYPES)
def test_every_type_is_made_alike_from_the_same_seed(object_type):
    one, again, other = (draw(MicrowaveSky(), object_type, seed) for seed in (3, 3, 4))
    assert one.image.shape == (64, 64, 3)
    assert one.image.dtype == np.float32
    assert np.isfinite(one.image).all()
    np.testing.assert_allclose(np.median(one.image, axis=(0, 1)), 0, atol=1e-3)
    np.testing.assert_array_equal(one.image, again.image)
    assert (one.image != other.image).mean() > 0.99
    assert one.label == (object_type == "cluster")
    assert np.isfinite(one.m500c_msun) == (object_type in ("cluster", "group", "near_miss"))


def test_unknown_type_and_survey():
    with pytest.raises(InputError, match="object_type='galaxy' is unknown; use one of cluster, random"):
        draw(MicrowaveSky(), "galaxy", 0)
    with pytest.raises(InputError, match=r"survey='act_dr7' is unknown"):
        draw(MicrowaveSky(survey="act_dr7"), "random", 0)


def test_a_cluster_is_a_decrement_of_its_profile():
    """Two draws that differ in the signal's scatter alone: their difference is the beam-smeared profile."""
    sky = MicrowaveSky(radio_in_clusters=0.0, scatter_ln=0.0, mass_ratio=0.63)
    with_signal, without = (draw(dataclasses.replace(sky, mass_ratio=r), "cluster", 5) for r in (0.63, 1e-9))
    signal = with_signal.image - without.image
    y, x = with_signal.centre_y_pixels, with_signal.centre_x_pixels
    signal -= np.median(signal[:4], axis=(0, 1))
    peak = np.unravel_index(np.argmin(signal[..., 1]), (64, 64))
    assert np.hypot(peak[0] - y, peak[1] - x) < 1.0
    # By brute force: y on a fine grid around the centre, smeared with the Gaussian beam at 150 GHz.
    mass, redshift = 0.63 * with_signal.m500c_msun, with_signal.redshift
    fine = (np.arange(-400, 401) + 0.5) * 0.05
    theta = np.hypot(fine[:, None], fine[None, :])
    profile = pressure.compton_y(theta, mass, redshift)
    sigma = 1.4 / np.sqrt(8 * np.log(2))
    for dy, dx in ((0, 0), (3, 0), (4, -5)):
        at_y, at_x = round(y) + dy, round(x) + dx
        offset_y, offset_x = (at_y - y) * PIXEL_SCALE_ARCMIN, (at_x - x) * PIXEL_SCALE_ARCMIN
        beam = np.exp(-((fine[:, None] - offset_y) ** 2 + (fine[None, :] - offset_x) ** 2) / (2 * sigma**2))
        expected = -0.95837 * 2.7255e6 * np.sum(profile * beam) / beam.sum()
        assert signal[at_y, at_x, 1] == pytest.approx(expected, rel=0.03, abs=1.0)
    assert abs(signal[..., 2].min()) < 0.1 * abs(signal[..., 1].min())  # near the null


def test_one_sources_flux():
    """All of its temperature, in the band it is defined in: a dusty galaxy of 8 to 60 mJy at 220 GHz."""
    quiet = MicrowaveSky(noise_scale=1e-3, radio_n10=1e-9)
    cutout = draw(quiet, "dusty", 2)
    y, x = round(cutout.centre_y_pixels), round(cutout.centre_x_pixels)
    peak = cutout.image[y, x, 2] - np.median(cutout.image[y - 6 : y + 7, x - 6 : x + 7, 2])
    per_mjy = 24.4 / (2 * np.pi * (1.0 / np.sqrt(8 * np.log(2))) ** 2)  # µK at the peak of a beam of 1 arcmin
    assert 8 * 0.6 < peak / per_mjy < 60 * 1.2


def test_extremum_is_one():
    smooth = [abs(draw(MicrowaveSky(), "cmb_extremum", seed).image[28:36, 28:36, 1].mean()) for seed in range(40)]
    plain = [abs(draw(MicrowaveSky(), "random", seed).image[28:36, 28:36, 1].mean()) for seed in range(40)]
    assert np.mean(smooth) > 1.3 * np.mean(plain)


def test_filtered_noise_has_mean_0_and_variance_1():
    """On cluster-free maps, edges included; the mirrored edge costs a few per cent at most."""
    sky = dataclasses.replace(PUBLISHED, radio_n10=1e-9)
    field = GaussianField(lambda ell: spectra.map_covariance(sky, ell), (512, 512))
    rng = np.random.default_rng(0)
    find = matched_filter(sky, with_sources=False)
    snr = []
    for _ in range(6):
        bands = field.cut(field.draw_transform(rng)) + field.draw_long_waves(rng)
        snr.append(find(np.moveaxis(bands, 0, -1)))
    assert np.mean(snr) == pytest.approx(0, abs=0.01)
    assert np.std(snr) == pytest.approx(1, abs=0.03)


def test_false_peaks_are_those_of_a_gaussian_field():
    """Peaks per deg2: 0.21 above a S/N of 4, 0.003 above 5; on cluster-free maps as many as the spectrum says.

    High peaks of a Gaussian field: (s1 / s0)^2 v exp(-v^2 / 2) / (2 (2 pi)^1.5) per steradian, s0^2 the variance,
    s1^2 that of the gradient (Bond & Efstathiou 1987, MNRAS 226, 655).
    """
    sky = dataclasses.replace(PUBLISHED, radio_n10=1e-9)
    find = matched_filter(sky, m500c_msun=3e14, redshift=0.5, with_sources=False)
    covariance = spectra.map_covariance(sky, np.maximum(find.ell, 2.0))
    power = np.einsum("lb,lbc,lc->l", find.snr_weight, covariance, find.snr_weight)
    ratio = np.trapezoid(power * find.ell**3, find.ell) / np.trapezoid(power * find.ell, find.ell)

    def per_deg2(snr):
        return ratio * snr * np.exp(-(snr**2) / 2) / (2 * (2 * np.pi) ** 1.5) * np.radians(1) ** 2

    assert per_deg2(4.0) == pytest.approx(0.21, abs=0.011)
    assert per_deg2(5.0) == pytest.approx(0.003, abs=0.0005)
    field = GaussianField(lambda ell: spectra.map_covariance(sky, ell), (512, 512))
    rng, area_deg2, peaks = np.random.default_rng(0), 0.0, []
    for _ in range(6):
        bands = field.cut(field.draw_transform(rng)) + field.draw_long_waves(rng)
        snr = find(np.moveaxis(bands, 0, -1))[20:-20, 20:-20]
        peaks.append(snr[snr == ndimage.maximum_filter(snr, 3)])
        area_deg2 += snr.size / 120**2
    peaks = np.concatenate(peaks)
    for threshold in (3.0, 3.5, 4.0):
        expected = per_deg2(threshold) * area_deg2
        # The formula is of high peaks: at 3 it is a few per cent off.
        assert np.sum(peaks > threshold) == pytest.approx(expected, abs=3 * np.sqrt(expected))


def test_signal_to_noise_of_a_cluster():
    """3e14 Msun at z = 0.5 in the profile, DR5 with white noise, all radio power Gaussian: 5.18 (published)."""
    sky = dataclasses.replace(PUBLISHED, mass_ratio=1.0)
    found = matched_filter(sky, m500c_msun=3e14, redshift=0.5, with_sources=False)
    whole = spectra.foreground_power(np.array([97.8, 149.6, 216.5]), np.maximum(found.ell, 2.0))
    part = spectra.foreground_power(
        np.array([97.8, 149.6, 216.5]), np.maximum(found.ell, 2.0), radio_scale=(2 / 15) ** 1.05
    )
    beam = spectra.beam_transform(spectra.survey_of(sky), found.ell)
    radio = (whole - part) * beam[:, :, None] * beam[:, None, :]
    assert 1 / dataclasses.replace(found, covariance=found.covariance + radio).sigma == pytest.approx(5.18, rel=0.01)


def test_recovered_signal_to_noise_is_the_filters():
    """Clusters of the template's own mass and redshift in noisy cutouts: the mean S/N is 1 / sigma within 3 %."""
    sky = dataclasses.replace(PUBLISHED, radio_n10=1e-9, scatter_ln=0.0, centre_offset_arcmin=0.0)
    snr, expected = [], []
    for seed in range(400):
        cutout = draw(sky, "cluster", seed, size=63)  # an odd size has a central pixel
        mass, redshift = cutout.m500c_msun, cutout.redshift
        if seed % 8 == 0:
            find = matched_filter(sky, m500c_msun=mass, redshift=redshift, with_sources=False)
            snr.append(find(cutout.image)[31, 31])
            expected.append(1 / find.sigma)
    error = 1 / np.sqrt(len(snr)) / np.mean(expected)
    assert np.mean(snr) / np.mean(expected) == pytest.approx(1, abs=0.03 + 2 * error)


def test_matched_filter_reaches_its_published_score():
    """Clusters against random sky, one template, best of +-0.5 arcmin: AUC 0.978 +- 0.003, accuracy 0.938 +- 0.006."""
    label = np.arange(2400) % 2
    images = np.stack([draw(PUBLISHED, ("random", "cluster")[i], seed).image for seed, i in enumerate(label)])
    snr = central_snr(matched_filter(PUBLISHED), images)
    assert roc_auc_score(label, snr) == pytest.approx(0.978, abs=0.009)
    accuracy = max(np.mean((snr > cut) == label) for cut in np.quantile(snr, np.linspace(0.2, 0.8, 61)))
    assert accuracy == pytest.approx(0.938, abs=0.018)


@pytest.mark.parametrize(("survey", "area_deg2", "count"), [("act_dr6", 16293, 10040), ("act_dr5", 13211, 4195)])
def test_number_of_clusters_in_the_surveys(survey, area_deg2, count):
    """Found at S/N > 4 with the mass function: the published catalogues' counts within 15 %, with white noise.

    With 1/f it is 0.82 to 0.87 of them: one depth for a whole survey is a rough description.
    """
    sky = dataclasses.replace(PUBLISHED, survey=survey)
    redshift = np.linspace(0.1, 1.8, 35)
    mass = np.geomspace(6e13, 1.5e15, 12)
    fine = np.geomspace(6e13, 1.5e15, 400)
    scatter = np.linspace(-3, 3, 61)
    weight = np.exp(-0.5 * scatter**2) / np.exp(-0.5 * scatter**2).sum()
    per_redshift = []
    for z in redshift:
        filters = (matched_filter(sky, m500c_msun=m, redshift=z) for m in mass)
        snr = np.exp(np.interp(np.log(fine), np.log(mass), np.log([1 / one.sigma for one in filters])))
        found = 0.5 * erfc((4 - snr[:, None] * np.exp(sky.scatter_ln * scatter)) / np.sqrt(2)) @ weight
        above = 10 ** log10_cumulative_counts(np.full(400, z), fine)
        per_redshift.append(np.sum(-np.diff(above) * 0.5 * (found[1:] + found[:-1])))
    assert np.trapezoid(per_redshift, redshift) * area_deg2 == pytest.approx(count, rel=0.15)


@pytest.fixture(scope="module")
def simulated_map():
    return simulate_map(MicrowaveSky(), seed=1, shape=(512, 512), ra_deg=30.0, dec_deg=5.0, cluster_boost=4.0)


def test_map_and_truth(simulated_map):
    sky_map, truth = simulated_map
    assert sky_map.bands == ("f090", "f150", "f220")
    assert sky_map.units == "uK_CMB"
    assert sky_map.area_deg2 == pytest.approx((512 * 0.5 / 60) ** 2, rel=0.01)
    again, _ = simulate_map(MicrowaveSky(), seed=1, shape=(512, 512), ra_deg=30.0, dec_deg=5.0, cluster_boost=4.0)
    np.testing.assert_array_equal(sky_map.data, again.data)
    ra_deg, dec_deg = sky_map.pixel_to_sky(truth["y_pixels"].data, truth["x_pixels"].data)
    np.testing.assert_allclose(truth["ra_deg"], ra_deg)
    np.testing.assert_allclose(truth["dec_deg"], dec_deg)
    assert set(truth["object_type"]) == {"cluster", "group", "radio", "dusty"}
    massive = np.sum(truth["m500c_msun"] > 3e14)
    assert massive == pytest.approx(0.529 * 4 * sky_map.area_deg2, abs=4 * np.sqrt(massive))


def test_clusters_of_a_map_are_where_the_truth_says(simulated_map):
    """Filtered, the stacked signal at the truth's positions is as high as the filters say, and nowhere else."""
    sky_map, truth = simulated_map
    snr = matched_filter(MicrowaveSky(), tsz_painted=True)(sky_map.data)
    clusters = truth[(truth["object_type"] == "cluster") & (truth["m500c_msun"] > 3e14)]
    y, x = (np.clip(np.rint(clusters[name]).astype(int), 0, 511) for name in ("y_pixels", "x_pixels"))
    assert np.median(snr[y, x]) > 2.5
    assert abs(np.median(snr[(y + 40) % 512, x])) < 0.6


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"shape": (32, 512)}, "a TAN map 32 pixels high: it must be 64 to 3600"),
        ({"shape": (512, 3601), "projection": "CAR"}, "a CAR map 3601 pixels wide: it must be 64 to 3600"),
        ({"dec_deg": -64.6, "projection": "CAR"}, r"to 65\.1 deg from the equator: .* stay within 65 deg, or use TAN"),
        ({"projection": "SIN"}, "use TAN or CAR"),
    ],
)
def test_maps_that_cannot_be(kwargs, message):
    with pytest.raises(InputError, match=message):
        simulate_map(MicrowaveSky(), **{"seed": 0, "shape": (128, 128), "ra_deg": 0.0, "dec_deg": 0.0, **kwargs})


@pytest.mark.parametrize(("units", "factor"), [("uK_CMB", 1.0), ("K_CMB", 1e-6)])
def test_clusters_injected_into_a_map(units, factor):
    """Where they were put, of the profile's height through the beam, in the map's units; nothing else changes."""
    wcs = make_wcs((200, 220), ra_deg=30.0, dec_deg=0.0, pixel_scale_arcsec=60.0)
    data = np.full((200, 220, 1), 3.0, np.float32)
    data[150:, :20] = np.nan
    before = SkyMap(data, wcs, np.isfinite(data[..., 0]), ("143",), units)
    haloes = Haloes(np.array([8e14, 6e14]), np.array([0.1, 0.4]))
    sky = MicrowaveSky(survey="planck", scatter_ln=0.0)
    y, x = np.array([60.0, 120.4]), np.array([50.0, 170.7])
    after = inject_clusters(np.random.default_rng(0), sky, before, haloes, y, x)
    signal = (after.data - before.data)[..., 0] / factor
    assert np.array_equal(np.isnan(signal), np.isnan(data[..., 0]))
    fine = (np.arange(-800, 801) + 0.5) * 0.05
    sigma = 7.30 / np.sqrt(8 * np.log(2))
    beam = np.exp(-(fine[:, None] ** 2 + fine[None, :] ** 2) / (2 * sigma**2))
    profile = pressure.compton_y(np.hypot(fine[:, None], fine[None, :]), 0.63 * 8e14, 0.1)
    expected = sz_factor(144.5) * 2.7255e6 * np.sum(profile * beam) / beam.sum()
    assert signal[60, 50] == pytest.approx(expected, rel=0.03)
    assert np.nanargmin(signal[100:, 100:]) == 20 * 120 + 71
    assert abs(np.nanmax(signal)) < 0.02 * abs(expected)


def test_injection_into_what_is_no_such_map():
    wcs = make_wcs((80, 80), ra_deg=30.0, dec_deg=0.0, pixel_scale_arcsec=60.0)
    none = Haloes(np.zeros(0), np.zeros(0))
    sky = MicrowaveSky(survey="planck")
    cases = ((("W1",), "uK_CMB", r"bands \['W1'\]; planck has 100, 143, 217"), (("143",), "", "unknown units"))
    for bands, units, message in cases:
        before = SkyMap(np.zeros((80, 80, 1), np.float32), wcs, np.ones((80, 80), bool), bands, units)
        with pytest.raises(InputError, match=message):
            inject_clusters(np.random.default_rng(0), sky, before, none, np.zeros(0), np.zeros(0))
