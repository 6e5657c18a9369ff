"""Clusters put into an infrared map: as much light as the luminosity function says, where it belongs."""

import dataclasses

import numpy as np
import pytest

from clusterjax.errors import InputError
from clusterjax.simulation.haloes import Haloes
from clusterjax.simulation.infrared.injection import inject_clusters
from clusterjax.simulation.infrared.members import expected_counts
from clusterjax.simulation.infrared.psf import BANDS, PIXEL_SCALE_ARCSEC
from clusterjax.simulation.knobs import InfraredSky
from clusterjax.sky.geometry import make_wcs
from clusterjax.sky.skymap import SkyMap

SHAPE = (700, 700)


@pytest.fixture(scope="module")
def empty():
    wcs = make_wcs(SHAPE, ra_deg=30.0, dec_deg=5.0, pixel_scale_arcsec=PIXEL_SCALE_ARCSEC)
    data = np.full((*SHAPE, 2), 2.0, np.float32)
    data[:50, :50] = np.nan
    return SkyMap(data, wcs, np.isfinite(data).all(axis=2), BANDS, "nMgy (Vega)")


def test_light_is_that_of_the_luminosity_function(empty):
    number = 200
    haloes = Haloes(np.full(number, 4e14), np.full(number, 0.6))
    y, x = np.random.default_rng(1).uniform(150, 550, (2, number))
    injected = inject_clusters(np.random.default_rng(2), InfraredSky(), empty, haloes, y, x)
    w1 = np.linspace(11, 20.5, 2000)
    density = expected_counts(w1, Haloes(np.array([4e14]), np.array([0.6])))[:, 0]
    expected = number * np.trapezoid(density * 10 ** (0.4 * (22.5 - w1)), w1)
    added = injected.data - empty.data
    assert np.nansum(added[..., 0]) == pytest.approx(expected, rel=0.08)
    # Colour C(0.6) = 0.028 mag, with scatter
    assert np.nansum(added[..., 1]) / np.nansum(added[..., 0]) == pytest.approx(10 ** (0.4 * 0.028), rel=0.05)


def test_light_lies_about_the_place_and_holes_stay(empty):
    haloes = Haloes(np.array([8e14]), np.array([0.8]))
    injected = inject_clusters(
        np.random.default_rng(0), InfraredSky(), empty, haloes, np.array([300.0]), np.array([500.0])
    )
    added = np.nan_to_num((injected.data - empty.data)[..., 0])
    y, x = np.indices(SHAPE)
    assert (added * y).sum() / added.sum() == pytest.approx(300, abs=6)
    assert (added * x).sum() / added.sum() == pytest.approx(500, abs=6)
    assert np.abs(added[np.hypot(y - 300, x - 500) > 110]).max() < 1e-2  # beyond 2 R500 and the PSF
    assert np.isnan(injected.data[:50, :50]).all()
    assert injected.data.dtype == np.float32
    assert (empty.data[60:] == 2).all()  # the map that was given is as it was


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"units": "DN"}, "the map is in DN; it must be in Vega nanomaggies"),
        ({"bands": ("W1", "W3")}, 'the map has the bands W1, W3 at 2.750"; clusters can be put into maps of W1, W2'),
        ({"pixel_scale_arcsec": 1.375}, 'at 1.375"; clusters can be put'),
    ],
)
def test_other_maps_are_refused(empty, change, message):
    nothing = Haloes(np.zeros(0), np.zeros(0))
    with pytest.raises(InputError, match=message):
        inject_clusters(
            np.random.default_rng(0), InfraredSky(), dataclasses.replace(empty, **change), nothing, np.zeros(0),
            np.zeros(0),
        )  # fmt: skip
