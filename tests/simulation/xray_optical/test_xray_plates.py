"""Plates: light, response, grain, and which galaxies of clusters they show."""

import numpy as np
import pytest

from clusterjax.simulation.xray_optical import plates
from clusterjax.simulation.xray_optical.populations import (
    agn_density_per_deg2,
    characteristic_r,
    cluster_galaxies,
    mass_of_flux,
    sample_agn,
)

PIXEL_ARCSEC = 420 / 356


@pytest.mark.parametrize("mag", [12.0, 16.0, 19.0])
@pytest.mark.parametrize("radius", [0.0, 3.0])
def test_the_light_of_an_object(mag, radius):
    """In that of a pixel of sky at 20.8 mag/arcsec2; the wings beyond the patch are lost, the spikes' 2 % added."""
    one = [np.array([value]) for value in (178.3, 175.6, mag, radius, 0.6, 0.4)]
    light = plates.render(plates.Objects(*one), 356)
    expected = 10 ** (0.4 * (20.8 - mag)) / PIXEL_ARCSEC**2
    assert light.sum() == pytest.approx(expected, rel=0.12)
    y, x = np.indices(light.shape)
    assert np.average(y, weights=light) == pytest.approx(178.3, abs=0.2)
    assert np.average(x, weights=light) == pytest.approx(175.6, abs=0.2)


def test_faint_and_bright_ways_agree():
    objects = plates.galaxies(np.random.default_rng(0), [100.4], [60.7], [19.0])
    faint = plates.render(objects, 356)
    one = np.zeros((356, 356), np.float32)
    alpha, slope, ratio = plates._widths(objects, PIXEL_ARCSEC, 2.3)
    flux = 10 ** (0.4 * (20.8 - 19.0)) / PIXEL_ARCSEC**2
    plates._add_large(one, flux, 100.4, 60.7, alpha[0], slope[0], ratio[0], objects.angle_rad[0])
    patch = np.s_[95:106, 55:67]
    np.testing.assert_allclose(faint[patch], one[patch], rtol=1e-3, atol=1e-5)


def test_objects_at_the_border_and_beyond():
    light = plates.render(plates.stars([-0.4, 355.4, 100.0], [10.0, 355.4, -30.0], [19.0, 20.0, 19.0]), 356)
    assert np.isfinite(light).all()
    assert light[0, 10] > 0.1


def test_response_and_grain():
    rng = np.random.default_rng(1)
    sky = plates.expose(rng, np.zeros((200, 200), np.float32))
    assert sky.mean() == pytest.approx(5000, rel=0.01)
    assert sky.std() == pytest.approx(260, rel=0.1)
    assert plates.expose(rng, np.full((9, 9), 1e6, np.float32), noise_scale=0.0).max() == pytest.approx(
        25_000, rel=0.01
    )
    assert plates.expose(rng, np.zeros((99, 99), np.float32), noise_scale=0.0).std() < 1e-2


def test_galaxies_of_near_clusters_alone_are_seen():
    """R* is 16.4 at z = 0.1, 19.2 at 0.3; of plates with stars to 20.8 only a few galaxies remain beyond."""
    np.testing.assert_allclose(characteristic_r(np.array([0.1, 0.3, 0.6])), [16.4, 19.2, 21.2], atol=0.15)
    rng = np.random.default_rng(2)
    seen = [
        np.mean([(cluster_galaxies(rng, 3e14, z, 178.0, 178.0, 356).r_mag < 20).sum() for _ in range(8)])
        for z in (0.1, 0.3, 0.6)
    ]
    assert seen[0] > 30
    assert 5 < seen[1] < seen[0]
    assert seen[2] < 2


def test_agn_counts():
    assert agn_density_per_deg2(1e-14) == 85.0
    rng = np.random.default_rng(3)
    flux = sample_agn(rng, 100.0)
    for limit in (3e-15, 1e-14, 3e-14):
        expected = agn_density_per_deg2(limit) * 100
        assert (flux > limit).sum() == pytest.approx(expected, abs=5 * np.sqrt(expected))
    assert flux.min() >= 1.5e-15 * 0.999


def test_mass_of_a_flux():
    """L500 (0.1-2.4 keV) of 3.9e14 Msun is 10^0.274 E^(7/3) 1e44 erg/s (Arnaud et al. 2010)."""
    from astropy.cosmology import FlatLambdaCDM

    cosmology = FlatLambdaCDM(70, 0.3)
    luminosity = 10**0.274 * cosmology.efunc(0.2) ** (7 / 3) * 1e44 * 0.62
    flux = luminosity / (4 * np.pi * cosmology.luminosity_distance(0.2).to_value("cm") ** 2)
    assert mass_of_flux(flux, 0.2) == pytest.approx(3.9e14, rel=2e-3)
