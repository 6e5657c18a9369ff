import functools

import numpy as np
import pytest
import scipy.ndimage
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from clusterjax.evaluation import aperture_count
from clusterjax.evaluation.aperture_count import find_sources, fit_aperture_count
from clusterjax.evaluation.logistic import fit_logistic
from clusterjax.simulation.infrared.cutouts import simulate_cutout
from clusterjax.simulation.infrared.populations import Sources
from clusterjax.simulation.infrared.rendering import render
from clusterjax.simulation.knobs import InfraredSky


@functools.cache
def cutouts(stream, number):
    rng = np.random.default_rng([11, stream])
    drawn = [
        simulate_cutout(InfraredSky(), "cluster" if i % 2 else "random", np.random.default_rng(rng.integers(2**60)))
        for i in range(number)
    ]
    images = np.array([cutout.image for cutout in drawn])
    return images, np.array([c.label for c in drawn]), np.array([c.redshift for c in drawn])


@pytest.fixture(scope="module")
def observer():
    return fit_aperture_count(*cutouts(0, 1500))


def test_it_tells_clusters_from_empty_sky(observer):
    images, label, _ = cutouts(1, 500)
    score = observer(images)
    assert ((score >= 0) & (score <= 1)).all()
    # 0.91 with 12 000 training cutouts; a coin gets 0.5, and three standard errors of 500 cutouts are 0.04
    assert np.mean((score > 0.5) == label) > 0.86
    assert roc_auc_score(label, score) > 0.93


def test_colour_and_redshift_are_worth_having(observer):
    images, label, _ = cutouts(1, 500)
    plain = fit_aperture_count(*cutouts(0, 1500)[:2])
    assert roc_auc_score(label, observer(images)) > roc_auc_score(label, plain(images))
    grey = images.copy()
    grey[..., 1] = grey[..., 0]  # all sources have one colour
    assert roc_auc_score(label, observer(grey)) < roc_auc_score(label, observer(images)) - 0.008


def test_sources_are_found_with_their_photometry():
    """Three isolated sources on a faint floor: positions, W1 and colour of the matched filter."""
    y, x = np.array([20.0, 40.0, 50.0]), np.array([31.0, 12.0, 52.0])
    w1, colour = np.array([15.0, 16.0, 14.2]), np.array([0.0, 0.6, -0.2])
    image = render(Sources(y, x, w1, colour), (64, 64))[None]
    found, magnitude, found_colour, radius = find_sources(image)
    assert found.tolist() == [0, 0, 0]
    order = np.argsort(radius)
    expected = np.hypot(y - 31.5, x - 31.5)
    np.testing.assert_allclose(radius[order], np.sort(expected), atol=1e-9)
    # The filter has no wings: it misses those of the PSF, 0.05 mag
    np.testing.assert_allclose(magnitude[order], w1[np.argsort(expected)], atol=0.12)
    np.testing.assert_allclose(found_colour[order], colour[np.argsort(expected)], atol=0.03)


def test_smoothing_is_scipys_gaussian():
    image = np.random.default_rng(0).normal(size=(2, 30, 40)).astype(np.float32)
    sigma = 0.942
    taps = np.exp(-0.5 * (np.arange(-3, 4) / sigma) ** 2)
    norm = (taps.sum() / np.sum((taps / taps.sum()) ** 2) / taps.sum()) ** 2
    expected = scipy.ndimage.gaussian_filter(image, sigma, radius=3, axes=(1, 2), mode="mirror") * norm
    np.testing.assert_allclose(aperture_count._smooth(image, sigma), expected, rtol=2e-4, atol=1e-4)


def test_one_image_scores_the_same_alone_and_among_others(observer):
    images = cutouts(1, 500)[0][:300]  # more than are smoothed at a time
    together = observer(images)
    alone = np.concatenate([observer(images[i : i + 1]) for i in (0, 255, 256, 299)])
    np.testing.assert_allclose(together[[0, 255, 256, 299]], alone, rtol=1e-5)


def test_missing_pixels_are_no_sources(observer):
    images = cutouts(1, 500)[0][:3].copy()
    images[:, :20] = np.nan
    assert np.isfinite(observer(images)).all()
    assert np.isfinite(observer(np.full((2, 64, 64, 2), np.nan, np.float32))).all()


def test_scale_of_the_score_is_that_of_a_logistic_regression():
    rng = np.random.default_rng(1)
    x = rng.normal(2, 8, 3000)
    positive = rng.random(3000) < 1 / (1 + np.exp(-(0.4 * x - 1)))
    slope, intercept = fit_logistic(x, positive)
    sklearn = LogisticRegression(C=np.inf, tol=1e-10).fit(x[:, None], positive)
    assert slope == pytest.approx(sklearn.coef_[0, 0], rel=1e-3)
    assert intercept == pytest.approx(sklearn.intercept_[0], rel=1e-3)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_alone_cannot_be_fitted(label):
    with pytest.raises(ValueError, match="with and without clusters"):
        fit_aperture_count(np.zeros((4, 64, 64, 2), np.float32), np.full(4, label))
