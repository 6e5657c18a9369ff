"""Extent and extension likelihood of sources whose counts are drawn from known models."""

import numpy as np
import pytest

from clusterjax.simulation.xray_optical.extent import find_centre, measure_extent
from clusterjax.simulation.xray_optical.instrument import BIN_ARCSEC, blur

SIDE = 178


def draw(rng, core_arcsec, counts, background=0.08, centre=(90.0, 87.5)):
    grid = np.arange(240)
    dy, dx = (grid - centre[0])[:, None], (grid - centre[1])[None, :]
    if core_arcsec:
        model = (1 + (dy**2 + dx**2) * (BIN_ARCSEC / core_arcsec) ** 2) ** -1.5
    else:
        model = np.exp(-0.5 * (dy**2 + dx**2) / 0.3**2)
    model = blur(model / model.sum(), 0.0, 0.0)[:SIDE, :SIDE]
    return rng.poisson(np.maximum(model, 0) * counts + background).astype(np.float32)


def test_points_are_points_and_clusters_extended():
    rng = np.random.default_rng(1)
    exposure = np.ones((SIDE, SIDE))
    points = [measure_extent(draw(rng, 0.0, 300), exposure, 0.0) for _ in range(40)]
    assert np.mean([likelihood > 15 for _, likelihood in points]) < 0.05
    for core in (10.0, 20.0, 40.0):
        found = np.array([measure_extent(draw(rng, core, 1000), exposure, 0.0) for _ in range(8)])
        assert np.median(found[:, 0]) == pytest.approx(core, rel=0.45)
        assert (found[:, 1] > 33).all()  # X-CLASS's surest class


def test_more_counts_are_more_likelihood():
    rng = np.random.default_rng(2)
    exposure = np.ones((SIDE, SIDE))
    few, many = (
        np.median([measure_extent(draw(rng, 20.0, counts), exposure, 0.0)[1] for _ in range(8)])
        for counts in (150, 600)
    )
    assert 2 < many / few < 12


def test_what_is_not_seen_is_not_fitted():
    rng = np.random.default_rng(3)
    counts = draw(rng, 20.0, 1000)
    exposure = np.ones((SIDE, SIDE))
    exposure[:, 130:] = 0
    whole = measure_extent(counts, np.ones((SIDE, SIDE)), 0.0)
    counts[:, 130:] = 1e4  # hidden from the fit
    assert measure_extent(counts, exposure, 0.0)[0] == pytest.approx(whole[0], rel=0.5)
    assert measure_extent(counts, np.zeros((SIDE, SIDE)), 0.0) == (0.0, 0.0)
    assert measure_extent(np.zeros((SIDE, SIDE), np.float32), np.ones((SIDE, SIDE)), 0.0)[1] == pytest.approx(0, abs=1)


def test_the_centre_is_found():
    rng = np.random.default_rng(4)
    found = np.array([find_centre(draw(rng, 0.0, 300, centre=(91.2, 86.0))) for _ in range(10)])
    np.testing.assert_allclose(found.mean(axis=0), (91.2, 86.0), atol=0.4)
    assert find_centre(np.zeros((SIDE, SIDE), np.float32)) == (88.5, 88.5)
