import time

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord

from clusterjax.errors import InputError
from clusterjax.simulation.haloes import cluster_density_per_deg2
from clusterjax.simulation.infrared.maps import simulate_map
from clusterjax.simulation.knobs import InfraredSky

SIZE = 1024  # 0.61 deg2


def make(seed=0, shape=(SIZE, SIZE), ra_deg=30.0, dec_deg=5.0, sky=None, **kwargs):
    return simulate_map(sky or InfraredSky(), seed=seed, shape=shape, ra_deg=ra_deg, dec_deg=dec_deg, **kwargs)


@pytest.fixture(scope="module")
def mock():
    return make(cluster_boost=8.0)


def of_type(truth, object_type):
    return truth[truth["object_type"] == object_type]


def test_a_degree_is_made_in_seconds():
    start = time.process_time()
    sky_map, truth = make(shape=(1400, 1400))
    assert time.process_time() - start < 20
    assert sky_map.area_deg2 == pytest.approx(1.144, rel=0.01)
    assert len(truth) > 1000


def test_the_same_seed_gives_the_same_map(mock):
    sky_map, truth = make(cluster_boost=8.0)
    np.testing.assert_array_equal(sky_map.data, mock[0].data)
    np.testing.assert_array_equal(truth["ra_deg"], mock[1]["ra_deg"])
    assert not np.array_equal(make(seed=1)[0].data, sky_map.data)


def test_map_and_truth_are_complete(mock):
    sky_map, truth = mock
    assert sky_map.data.shape == (SIZE, SIZE, 2)
    assert sky_map.data.dtype == np.float32
    assert sky_map.bands == ("W1", "W2")
    assert sky_map.valid.all()
    assert sky_map.area_deg2 == pytest.approx((SIZE * 2.75 / 3600) ** 2, rel=1e-3)
    area = sky_map.area_deg2
    for object_type, density in (("cluster", 8 * cluster_density_per_deg2()), ("group", 1728.5), ("agn", 67.5)):
        number = len(of_type(truth, object_type))
        assert abs(number - density * area) < 4 * np.sqrt(density * area)
    stars = of_type(truth, "bright_star")
    assert 0 < len(stars) < 40
    assert stars["w1_mag"].max() < 9
    assert len(np.unique(truth["object_id"])) == len(truth)
    haloes = truth[np.isfinite(truth["m500c_msun"])]
    assert set(haloes["object_type"]) == {"cluster", "group"}
    assert haloes["theta500_arcmin"].min() > 0.2
    assert of_type(truth, "cluster")["m500c_msun"].min() > 1.2e14
    assert of_type(truth, "group")["m500c_msun"].max() < 1.26e14


def test_noise_and_background_are_those_of_cutouts(mock):
    data = mock[0].data
    np.testing.assert_allclose(np.median(data, axis=(0, 1)), [1.0, 1.9], atol=0.5)
    rms = 1.4826 * np.median(np.abs(data - np.median(data, axis=(0, 1))), axis=(0, 1))
    np.testing.assert_allclose(rms, [4.7, 10.0], rtol=0.03)


def test_clusters_stand_where_the_truth_says(mock):
    """W1 light stacked on massive clusters peaks at the truth's position; shifted or swapped axes would miss it."""
    sky_map, truth = mock
    clusters = of_type(truth, "cluster")
    stack = []
    for row in clusters[clusters["m500c_msun"] > 1.3e14]:
        y, x = sky_map.sky_to_pixel(np.array([row["ra_deg"]]), np.array([row["dec_deg"]]))
        y, x = round(float(y[0])), round(float(x[0]))
        assert (y, x) == (round(row["y_pixels"]), round(row["x_pixels"]))
        if 30 <= y < SIZE - 30 and 30 <= x < SIZE - 30:
            stack.append(np.clip(sky_map.data[y - 30 : y + 31, x - 30 : x + 31, 0], -20, 200))
    assert len(stack) > 10
    light = np.mean(stack, axis=0)
    assert light[27:34, 27:34].mean() > 2.5 * light.mean()


@pytest.mark.parametrize(("ra_deg", "dec_deg"), [(0.0, 0.0), (0.0, 60.0), (359.99, 85.0), (123.0, -89.5)])
def test_positions_on_the_sky(ra_deg, dec_deg):
    """The brightest star's truth position, by astropy, points at its pixel; separations are angles on the sky."""
    sky_map, truth = make(seed=3, shape=(700, 500), ra_deg=ra_deg, dec_deg=dec_deg)
    stars = truth[np.isfinite(truth["w1_mag"])]
    centre = SkyCoord(ra_deg, dec_deg, unit="deg")
    position = SkyCoord(stars["ra_deg"].data, stars["dec_deg"].data, unit="deg")
    offset = np.hypot(stars["y_pixels"] - 349.5, stars["x_pixels"] - 249.5) * 2.75
    np.testing.assert_allclose(position.separation(centre).arcsec, offset, rtol=1e-4)
    dx, dy = centre.spherical_offsets_to(position)
    # North is up and east is left
    np.testing.assert_allclose(dx.to_value(u.arcsec), -(stars["x_pixels"] - 249.5) * 2.75, atol=1.5)
    np.testing.assert_allclose(dy.to_value(u.arcsec), (stars["y_pixels"] - 349.5) * 2.75, atol=1.5)
    x, y = sky_map.wcs.world_to_pixel(position)
    brightest = np.argmin(stars["w1_mag"])
    peak = sky_map.data[round(float(y[brightest])), round(float(x[brightest])), 0]
    assert peak > 0.05 * 10 ** ((22.5 - stars["w1_mag"][brightest]) / 2.5)


def test_cluster_boost_multiplies_clusters_alone():
    plain, boosted = make(seed=5)[1], make(seed=5, cluster_boost=30.0)[1]
    assert len(of_type(boosted, "cluster")) > 10 * max(len(of_type(plain, "cluster")), 1)
    assert len(of_type(boosted, "group")) == len(of_type(plain, "group"))


def test_background_wave_tilts_cutouts_by_the_knob():
    flat, wavy = (
        make(seed=6, shape=(512, 512), sky=InfraredSky(background_gradient=strength))[0].data[..., 0]
        for strength in (0.0, 4.0)
    )
    wave = np.median((wavy - flat).reshape(8, 64, 8, 64), axis=(1, 3))
    assert np.ptp(wave) == pytest.approx(2 * 4 * 3.5 / 0.765, rel=0.25)


def test_field_without_groups_has_none():
    truth = make(seed=7, shape=(256, 256), sky=InfraredSky(groups=False))[1]
    assert len(of_type(truth, "group")) == 0


@pytest.mark.parametrize("shape", [(8, 512), (512, 60_000)])
def test_impossible_shapes(shape):
    with pytest.raises(InputError, match="each side must be 16 to"):
        make(shape=shape)
