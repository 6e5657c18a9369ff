"""Plate-carrée maps far from the equator: on the sky they are as isotropic as flat ones, without a seam."""

import dataclasses
import functools

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table

from clusterjax.simulation.haloes import cluster_density_per_deg2
from clusterjax.simulation.knobs import MicrowaveSky
from clusterjax.simulation.microwave import spectra
from clusterjax.simulation.microwave.bands import survey_of
from clusterjax.simulation.microwave.filters import cluster_snr, matched_filter
from clusterjax.simulation.microwave.flat_sky import GaussianField
from clusterjax.simulation.microwave.maps import simulate_map
from clusterjax.simulation.microwave.plate_carree import make_zones, over_zones, row_width
from clusterjax.simulation.microwave.write_map import main
from clusterjax.sky.fits import read_sky_map
from clusterjax.sky.geometry import make_wcs
from clusterjax.sky.skymap import SkyMap

BANDS = ("f090", "f150", "f220")
PIXEL = np.radians(0.5 / 60)


def gaussian_map(sky, shape, dec_deg, seed) -> SkyMap:
    """CMB, foregrounds and noise; nothing painted."""
    covariance = functools.partial(spectra.map_covariance, sky)

    def make(zone):
        field, rng = GaussianField(covariance, shape, width=zone.width), np.random.default_rng(seed)
        return field.cut(field.draw_transform(rng)) + field.draw_long_waves(rng)

    image = over_zones(make, make_zones(row_width(np.arange(shape[0], dtype=float), shape, dec_deg)))
    data = np.ascontiguousarray(np.moveaxis(image, 0, -1), np.float32)
    wcs = make_wcs(shape, ra_deg=30.0, dec_deg=dec_deg, pixel_scale_arcsec=30.0, projection="CAR")
    return SkyMap(data, wcs, np.ones(shape, bool), BANDS, "uK_CMB")


@pytest.mark.parametrize(("low_deg", "high_deg"), [(-63.0, 23.0), (-0.5, 0.5), (-55.4, -55.0), (40.0, 64.9)])
def test_zones_share_out_every_row(low_deg, high_deg):
    width = np.cos(np.radians(np.linspace(low_deg, high_deg, 777)))
    zones = make_zones(width)
    weights = np.array([zone.weight for zone in zones])
    np.testing.assert_allclose(weights.sum(axis=0), 1, atol=1e-12)
    assert (weights >= 0).all()
    assert ((weights > 1e-9).sum(axis=0) <= 2).all()
    widths = np.array([zone.width for zone in zones])
    np.testing.assert_allclose(widths @ weights, width, rtol=3e-4 if len(zones) > 1 else 0.01)
    assert (len(zones) == 1) == (np.ptp(np.log(width)) < 0.0075)


@pytest.mark.parametrize("dec_deg", [-55.0, 20.0])
def test_power_is_the_skys_along_both_axes(dec_deg):
    """Modes along Dec and modes along RA, in multipoles of the sky itself, within 4 %."""
    sky, shape, total = MicrowaveSky(), (240, 480), 0.0
    window = np.hanning(shape[0])[:, None] * np.hanning(shape[1])
    for seed in range(10):
        image = gaussian_map(sky, shape, dec_deg, seed).data
        total = total + np.abs(np.fft.fft2(window[..., None] * (image - image.mean((0, 1))), axes=(0, 1))) ** 2
    width = np.cos(np.radians(dec_deg))
    power = total / 10 / np.sum(window**2) * PIXEL**2 * width
    ell_y = np.abs(2 * np.pi * np.fft.fftfreq(shape[0], PIXEL))[:, None]
    ell_x = np.abs(2 * np.pi * np.fft.fftfreq(shape[1], PIXEL * width))[None, :]
    ell = np.hypot(ell_y, ell_x)
    angle = np.degrees(np.arctan2(ell_y, ell_x))
    for low, high in ((1000, 2000), (2500, 4000), (6000, 9000), (12000, 16000)):
        for along in ("RA", "Dec"):
            chosen = (ell > low) & (ell < high) & (angle < 25 if along == "RA" else angle > 65)
            expected = np.diagonal(spectra.map_covariance(sky, ell[chosen]).mean(axis=0))
            # A window's transform is some three modes wide each way.
            error = np.sqrt(9 / (chosen.sum() * 10))
            np.testing.assert_allclose(power[chosen].mean(axis=0) / expected, 1, atol=0.02 + 3 * error, err_msg=along)


def test_filtered_noise_has_variance_1_at_every_declination():
    """From dec -59 to -51, in blocks of rows as high as a third of a zone: none is quieter than another."""
    sky = MicrowaveSky(radio_n10=1e-9)
    blocks = []
    shape = (960, 256)
    assert len(make_zones(row_width(np.arange(960.0), shape, -55.0))) > 7
    for seed in range(2):
        snr = cluster_snr(sky, gaussian_map(sky, shape, -55.0, seed), tsz_painted=False)
        blocks.append([[np.nanmean(part), np.nanvar(part)] for part in np.array_split(snr, 24)])
    mean, variance = np.mean(blocks, axis=0).T
    assert np.sqrt(variance.mean()) == pytest.approx(1, abs=0.03)
    assert abs(mean.mean()) < 0.02
    # 40 rows of 256 narrow pixels are some 600 independent places a map.
    assert np.abs(np.sqrt(variance) - 1).max() < 0.15
    thirds = np.sqrt(variance.reshape(3, 8).mean(axis=1))  # the one in the middle is about dec -55
    np.testing.assert_allclose(thirds, 1, atol=0.035)


def test_a_filter_that_takes_the_pixels_for_squares_is_worse():
    """The test of variance would see it: the S/N of the noise is off by more than its tolerance."""
    sky = MicrowaveSky(radio_n10=1e-9)
    sky_map = gaussian_map(sky, (256, 512), -55.0, 5)
    assert np.nanstd(cluster_snr(sky, sky_map)) == pytest.approx(1, abs=0.06)
    assert abs(np.std(matched_filter(sky)(sky_map.data)) - 1) > 0.1


@pytest.fixture(scope="module")
def far_map():
    sky = MicrowaveSky(radio_n10=4.0)
    return sky, *simulate_map(
        sky, seed=3, shape=(480, 720), ra_deg=30.0, dec_deg=-55.0, cluster_boost=6.0, projection="CAR"
    )


def test_objects_of_a_far_map(far_map):
    """As many as its area has, where the truth says, and round on the sky."""
    sky, sky_map, truth = far_map
    area = 6.0 * np.degrees(np.sin(np.radians(-53.0)) - np.sin(np.radians(-57.0)))
    assert sky_map.area_deg2 == pytest.approx(area, rel=1e-3)
    number = np.sum(truth["object_type"] == "cluster")
    expected = cluster_density_per_deg2() * 6.0 * area
    assert number == pytest.approx(expected, abs=4 * np.sqrt(expected))
    ra, _ = sky_map.pixel_to_sky(truth["y_pixels"].data, truth["x_pixels"].data)
    np.testing.assert_allclose(truth["ra_deg"], ra)
    # More of them where parallels are longer.
    north = np.sum(truth["dec_deg"] > -55) / len(truth)
    south, middle, border = np.sin(np.radians([-57, -55, -53]))
    share = (border - middle) / (border - south)
    assert north == pytest.approx(share, abs=4 * 0.5 / np.sqrt(len(truth)))
    snr = cluster_snr(sky, sky_map, tsz_painted=True)
    massive = truth[(truth["object_type"] == "cluster") & (truth["m500c_msun"] > 3e14)]
    y, x = (np.rint(massive[name]).astype(int) for name in ("y_pixels", "x_pixels"))
    y, x = np.clip(y, 0, 479), np.clip(x, 0, 719)
    assert np.nanmedian(snr[y, x]) > 2.5
    assert abs(np.nanmedian(snr[(y + 60) % 480, x])) < 0.6


def test_sources_of_a_far_map_are_round(far_map):
    """The stack of bright radio galaxies at 98 GHz: as wide as high in arcmin of the sky, and as wide as the beam."""
    _, sky_map, truth = far_map
    bright = truth[(truth["object_type"] == "radio") & (truth["flux_mjy"] > 40)]
    inside = (np.abs(bright["y_pixels"] - 239.5) < 205) & (np.abs(bright["x_pixels"] - 359.5) < 325)
    bright = bright[inside]
    assert len(bright) > 10
    y, x = np.rint(bright["y_pixels"]).astype(int), np.rint(bright["x_pixels"]).astype(int)
    stamps = np.stack([sky_map.data[b - 30 : b + 31, a - 30 : a + 31, 0] for b, a in zip(y, x, strict=True)])
    stack = np.average(stamps, axis=0, weights=bright["flux_mjy"])
    centre = SkyCoord(bright["ra_deg"][0], bright["dec_deg"][0], unit="deg")
    along = {"y": stack[20:41, 30], "x": stack[30, 10:51]}
    beyond = {}
    for axis, profile in along.items():
        profile = profile - np.median(np.concatenate([stack[:6].ravel(), stack[-6:].ravel()]))
        half = np.flatnonzero(profile > profile.max() / 2)
        edges = []
        for inner, outer in ((half[0], half[0] - 1), (half[-1], half[-1] + 1)):
            share = (profile[inner] - profile.max() / 2) / (profile[inner] - profile[outer])
            edges.append(inner + share * (outer - inner))
        step = (1, 0) if axis == "y" else (0, 1)
        there = sky_map.pixel_to_sky(y[0] + step[0], x[0] + step[1])
        here = sky_map.pixel_to_sky(float(y[0]), float(x[0]))
        pixel = SkyCoord(*here, unit="deg").separation(SkyCoord(*there, unit="deg")).arcmin
        beyond[axis] = (edges[1] - edges[0]) * float(pixel)
    assert centre.dec.deg < -50
    assert beyond["x"] == pytest.approx(beyond["y"], rel=0.1)
    assert beyond["y"] == pytest.approx(2.2, rel=0.12)


@pytest.mark.slow
@pytest.mark.parametrize(("survey", "tolerance"), [("act_dr5", 0.06), ("act_dr6", 0.06), ("planck", 0.12)])
def test_one_map_from_the_south_to_the_north_of_acts(survey, tolerance):
    """Dec -63 to +23 in one piece: the noise of the filter is 1 in every ten degrees. Planck has wide beams."""
    sky, shape = MicrowaveSky(survey=survey, radio_n10=1e-9), (10320, 128)
    sky_map = gaussian_map(sky, shape, -20.0, 0)
    np.testing.assert_allclose(sky_map.pixel_to_sky(np.array([-0.5, 10319.5]), np.zeros(2))[1], [-63, 23], atol=1e-6)
    snr = cluster_snr(sky, dataclasses.replace(sky_map, bands=survey_of(sky).bands), tsz_painted=False)
    np.testing.assert_allclose([np.nanstd(part) for part in np.array_split(snr, 8)], 1, atol=tolerance)


def test_a_far_map_as_files(tmp_path, capsys):
    main(
        [str(tmp_path / "sky"), "--projection", "CAR", "--dec_deg", "-55", "--shape", "64", "80", "--survey", "act_dr6"]
    )
    assert "truth.ecsv" in capsys.readouterr().out
    sky_map = read_sky_map([tmp_path / "sky" / "map.fits"])
    assert sky_map.shape == (64, 80)
    assert sky_map.bands == BANDS
    assert sky_map.wcs.wcs.ctype[0] == "RA---CAR"
    assert sky_map.pixel_scale_arcsec == pytest.approx(30 * np.sqrt(np.cos(np.radians(55))), rel=1e-4)
    assert (np.abs(Table.read(tmp_path / "sky" / "truth.ecsv")["dec_deg"] + 55) < 0.27).all()
