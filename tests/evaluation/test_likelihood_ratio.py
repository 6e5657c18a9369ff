"""The likelihood ratio against SciPy's densities, and the folded solution against the whole matrix's."""

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from clusterjax.evaluation.likelihood_ratio import Signals, make_likelihood_ratio, solve_stationary

NY, NX, BANDS = 6, 8, 2


def lag_covariance(ny=NY, nx=NX):
    """Two correlated bands, smooth and of unequal lengths along y and x, on white noise."""
    y, x = np.arange(ny)[:, None], np.arange(nx)[None, :]
    smooth = np.exp(-0.5 * ((y / 2.0) ** 2 + (x / 3.0) ** 2))
    lags = smooth[..., None, None] * np.array([[3.0, 1.5], [1.5, 2.0]])
    lags[0, 0] += np.diag([1.0, 0.5])
    return lags


def whole_matrix(lags, level):
    """Pixel by pixel, with a constant of variance ``level`` in each band."""
    ny, nx, bands, _ = lags.shape
    pixels = list(np.ndindex(ny, nx))
    matrix = np.array([[lags[abs(a - c), abs(b - d)] for c, d in pixels] for a, b in pixels])
    matrix = np.moveaxis(matrix, 1, 2).reshape(ny * nx * bands, -1)
    return matrix + level * np.kron(np.ones((ny * nx, ny * nx)), np.eye(bands))


def test_solution_is_that_of_the_whole_matrix():
    right = np.random.default_rng(0).normal(size=(5, NY, NX, BANDS))
    lags = lag_covariance()
    expected = np.linalg.solve(whole_matrix(lags, 1e9), right.reshape(5, -1).T).T.reshape(right.shape)
    found = solve_stationary(lags, right)
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())
    # A constant in any band is seen by nothing.
    assert np.abs(found.sum(axis=(1, 2))).max() < 2e-3 * np.abs(found).sum(axis=(1, 2)).min()


@pytest.mark.parametrize("shape", [(5, 8), (6, 7)])
def test_odd_sides_are_refused(shape):
    with pytest.raises(ValueError, match="both sides must be even"):
        solve_stationary(lag_covariance(*shape), np.zeros((1, *shape, BANDS)))


@pytest.fixture(scope="module")
def signals():
    rng = np.random.default_rng(1)
    prior = rng.uniform(0.5, 1.0, (3, 4))
    return Signals(rng.normal(size=(3, NY, NX, BANDS)), rng.uniform(0.2, 3.0, (3, 4)), prior / prior.sum())


def test_ratio_of_the_densities(signals):
    """log of the mean density with each signal, less that without, written out; whatever the bands' zero points."""
    lags = lag_covariance()
    observer = make_likelihood_ratio(lags, signals)
    images = np.random.default_rng(2).normal(size=(300, NY, NX, BANDS)) * 2  # more than a chunk of them
    images[:20] += 2.0 * signals.templates[1]
    noise = multivariate_normal(np.zeros(NY * NX * BANDS), whole_matrix(lags, 1e5))
    without = noise.logpdf(images.reshape(300, -1))
    terms = [
        noise.logpdf((images - amplitude * template).reshape(300, -1)) + np.log(prior)
        for template, amplitudes, priors in zip(signals.templates, signals.amplitude, signals.prior, strict=True)
        for amplitude, prior in zip(amplitudes, priors, strict=True)
    ]
    expected = logsumexp(terms, axis=0) - without
    found = observer(images)
    np.testing.assert_allclose(found, expected, atol=0.02, rtol=2e-3)
    assert found[:20].min() > found[20:].mean()
    np.testing.assert_allclose(observer(images + np.array([1.0, -3.0])), found, atol=0.02, rtol=2e-3)


def test_a_signal_of_any_strength_is_finite(signals):
    observer = make_likelihood_ratio(lag_covariance(), signals)
    ratio = observer(np.stack([1e4 * signals.templates[0], -1e4 * signals.templates[0]]))
    assert np.isfinite(ratio).all()
    assert ratio[0] > 1e4
    assert observer(np.zeros((0, NY, NX, BANDS))).shape == (0,)
