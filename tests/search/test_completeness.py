"""The completeness model: against draws from a known law, closed forms, finite differences and scikit-learn."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from clusterjax.errors import InputError
from clusterjax.search.completeness import (
    CompletenessModel,
    binomial_interval,
    fit_completeness,
    goodness_of_fit,
)

MASSES = np.array([1, 1.5, 2, 2.5, 3, 4, 5.5, 8]) * 1e14
REDSHIFTS = np.array([0.15, 0.3, 0.5, 0.7, 0.9, 1.2])


def snr(mass, redshift, noise):
    """A matched filter's: grows with a power of the mass, falls with the noise."""
    return 5 * (mass / 3.2e14) ** 1.7 / (1 + 0.4 * (redshift - 0.6) ** 2) / noise


def law(mass, redshift, noise):
    """P(S/N + N(0, 1) > 5), of at most 95 %: no member of the fitted family, but as smooth."""
    return 0.95 * stats.norm.cdf(snr(mass, redshift, noise) - 5)


def draw(seed, *, per_cell=30, noise_spread=0.25):
    rng = np.random.default_rng(seed)
    mass, redshift = (part.ravel() for part in np.meshgrid(np.tile(MASSES, per_cell), REDSHIFTS))
    noise = np.exp(rng.normal(0, noise_spread, mass.size))
    return rng.random(mass.size) < law(mass, redshift, noise), mass, redshift, noise


def test_a_known_law_is_recovered_within_the_errors():
    mass, redshift, noise = (part.ravel() for part in np.meshgrid([2e14, 3e14, 4e14], [0.3, 0.6, 1.0], [0.8, 1.0, 1.3]))
    truth = law(mass, redshift, noise)
    # Far down the flanks the family is not the law, by thousandths that are many of the errors there.
    flank = (truth > 0.02) & (truth < 0.945)
    assert flank.sum() >= 14
    pulls, powers = [], []
    for seed in range(12):
        model = fit_completeness(*draw(seed))
        difference = model.probability(mass, redshift, noise) - truth
        assert np.abs(difference[~flank]).max() < 0.05
        assert np.abs(difference).max() < 0.3
        pulls.append((difference / model.error(mass, redshift, noise))[flank])
        powers.append(model.parameters[-1])
    pulls = np.array(pulls)
    assert np.sqrt(np.mean(pulls**2)) == pytest.approx(1.0, abs=0.35)
    assert np.abs(pulls.mean()) < 0.4
    # M50 goes as the noise to the power 1 / 1.7.
    assert np.mean(powers) == pytest.approx(1 / 1.7, abs=0.06)


def test_the_limit_of_half_is_that_of_a_logistic_regression():
    """At one redshift and one noise, with another link and another library."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(5)
    mass = rng.permutation(np.repeat(MASSES, 400))
    found = rng.random(mass.size) < stats.norm.cdf(4 * np.log(mass / 2.7e14))
    model = fit_completeness(found, mass, np.full(mass.size, 0.5), np.ones(mass.size))
    other = LogisticRegression(C=1e6).fit(np.log(mass / 3e14)[:, None], found)
    theirs = 3e14 * np.exp(-other.intercept_[0] / other.coef_[0, 0])
    ours, error = model.mass_limit(0.5, 0.5)
    assert ours == pytest.approx(theirs, rel=0.02)
    assert ours == pytest.approx(2.7e14, rel=0.03)
    # Of a probit, the error of ln M50 follows from the information of each draw: phi^2 / (P (1 - P)) s^2.
    argument = 4 * np.log(mass / 2.7e14)
    weight = stats.norm.pdf(argument) ** 2 / (stats.norm.cdf(argument) * stats.norm.sf(argument))
    least = 1 / np.sqrt(np.sum(weight * 16))
    assert least < error / ours < 2.5 * least  # slope, bend and ceiling are fitted too


@pytest.fixture(scope="module")
def model():
    return fit_completeness(*draw(1))


def test_gradients_are_those_of_finite_differences(model):
    mass, redshift, noise = np.array([1.5e14, 3e14, 6e14]), np.array([0.2, 0.7, 1.1]), np.array([0.8, 1.1, 1.4])
    _, gradient = model._evaluate(mass, redshift, noise)
    for index in range(len(model.parameters)):
        moved = [model.parameters.copy() for _ in range(2)]
        for sign, parameters in zip((-1, 1), moved, strict=True):
            parameters[index] += sign * 1e-5
        low, high = (
            dataclasses.replace(model, parameters=parameters).probability(mass, redshift, noise) for parameters in moved
        )
        np.testing.assert_allclose(gradient[:, index], (high - low) / 2e-5, atol=1e-6)


def test_mass_limits_invert_the_probability_and_their_errors_are_those_of_draws(model):
    redshift = np.array([0.2, 0.5, 1.0])
    rng = np.random.default_rng(0)
    for probability in (0.5, 0.8, 0.9):
        mass, error = model.mass_limit(probability, redshift, 1.2)
        np.testing.assert_allclose(model.probability(mass, redshift, 1.2), probability, rtol=1e-9)
        parameters = rng.multivariate_normal(model.parameters, model.covariance, 400)
        others = [
            dataclasses.replace(model, parameters=one).mass_limit(probability, redshift, 1.2)[0] for one in parameters
        ]
        low, high = np.nanquantile(others, [0.1587, 0.8413], axis=0)
        np.testing.assert_allclose(error, (high - low) / 2, rtol=0.3)
    assert np.isnan(model.mass_limit(0.99, redshift)[0]).all()  # more than there ever is


def test_the_error_of_a_mass_limit_is_its_change_with_each_parameter(model):
    for index in range(len(model.parameters)):
        unit = np.zeros(len(model.parameters))
        unit[index] = 1e-4
        alone = dataclasses.replace(model, covariance=np.outer(unit, unit))
        _, error = alone.mass_limit(0.9, np.array([0.3, 1.0]), 1.3)
        low, high = (
            dataclasses.replace(model, parameters=model.parameters + sign * unit).mass_limit(
                0.9, np.array([0.3, 1.0]), 1.3
            )[0]
            for sign in (-1, 1)
        )
        np.testing.assert_allclose(error, np.abs(high - low) / 2, rtol=1e-3)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-2, 2), min_size=2, max_size=2),
    st.floats(-1, 3),
    st.floats(-1, 1),
    st.floats(-2, 3),
    st.floats(-1, 6),
    st.floats(0, 3),
)
def test_never_falls_with_mass(powers, ln_slope, change, bend, ceiling, redshift):
    parameters = np.array([*powers, ln_slope, change, bend, ceiling])
    model = CompletenessModel(parameters, np.eye(6), 1, (0.1, 1.2), fits_noise=False)
    chance = model.probability(np.geomspace(1e13, 1e16, 300), redshift)
    assert (np.diff(chance) >= -1e-12).all()
    assert 0 <= chance[0] <= chance[-1] <= model.ceiling <= 1


@pytest.mark.parametrize(("found", "low", "high"), [(False, 0.0, 0.02), (True, 0.95, 1.0)])
def test_all_or_none_found_stays_finite(found, low, high):
    _, mass, redshift, noise = draw(0, per_cell=5)
    model = fit_completeness(np.full(mass.size, found), mass, redshift, noise)
    chance, error = model.probability(mass, redshift, noise), model.error(mass, redshift, noise)
    assert np.isfinite(error).all()
    assert np.isfinite(model.covariance).all()
    middle = chance[mass > 1.5e14] if found else chance[mass < 5e14]
    assert ((middle >= low) & (middle <= high)).mean() > 0.9


def test_uniform_noise_fits_no_power_and_other_redshifts_are_held():
    found, mass, redshift, noise = draw(3, noise_spread=0.0)
    model = fit_completeness(found, mass, redshift, noise)
    assert not model.fits_noise
    np.testing.assert_array_equal(model.probability(3e14, 2.5), model.probability(3e14, 1.2))
    np.testing.assert_array_equal(model.probability(3e14, 0.5, 1.0), model.probability(3e14, 0.5, 3.0))


def test_more_noise_never_makes_a_cluster_easier_to_find():
    """Where crowded places are found in more easily, and seem noisier: the mean over both is what is right."""
    rng = np.random.default_rng(5)
    mass, redshift = (part.ravel() for part in np.meshgrid(np.tile(MASSES, 40), REDSHIFTS))
    noise = np.exp(rng.normal(0, 0.1, mass.size))
    found = rng.random(mass.size) < law(mass * noise**4, redshift, np.ones(mass.size))
    model = fit_completeness(found, mass, redshift, noise)
    assert model.fits_noise
    assert model.parameters[-1] == 0
    assert model.probability(3e14, 0.6, 2.0) == model.probability(3e14, 0.6, 1.0)
    chance = model.probability(mass, redshift, noise)
    for each in MASSES:
        of_mass = mass == each
        assert found[of_mass].mean() == pytest.approx(chance[of_mass].mean(), abs=0.06)


def test_goodness_of_fit_accepts_the_law_and_refuses_another():
    found, mass, redshift, noise = draw(4, noise_spread=0.0)
    good = goodness_of_fit(fit_completeness(found, mass, redshift, noise), found, mass, redshift, noise, draws=25)
    assert good.num_cells == 48
    assert good.p_value > 0.05
    fisher = fit_completeness(found, mass, redshift, noise).covariance
    ratio = np.sqrt(np.diag(good.bootstrap_covariance)[:4] / np.diag(fisher)[:4])
    assert ((ratio > 0.5) & (ratio < 2)).all()
    # Massive clusters that are lost at every other mass.
    rng = np.random.default_rng(0)
    odd = found & ((np.searchsorted(MASSES, mass) % 2 == 0) | (rng.random(mass.size) < 0.5))
    bad = goodness_of_fit(fit_completeness(odd, mass, redshift, noise), odd, mass, redshift, noise, draws=25)
    assert bad.p_value < 0.05


def test_intervals_are_the_closed_forms():
    # Wilson (1927): (p + z^2/2n +- z sqrt(p q / n + z^2 / 4n^2)) / (1 + z^2/n), at one sigma
    z, p, n = stats.norm.ppf(0.5 + 0.6827 / 2), 0.3, 20
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    expected = [(p + z**2 / (2 * n) + sign * half) / (1 + z**2 / n) for sign in (-1, 1)]
    np.testing.assert_allclose(binomial_interval(6, 20), expected, rtol=1e-6)
    tail = (1 - 0.6827) / 2
    exact = stats.beta.ppf(tail, 6, 15), stats.beta.ppf(1 - tail, 7, 14)
    np.testing.assert_allclose(binomial_interval(6, 20, method="exact"), exact, rtol=1e-6)
    assert binomial_interval(0, 0) == (0.0, 1.0)


def test_nothing_to_fit():
    nothing = np.zeros(0)
    with pytest.raises(InputError, match="nothing to fit"):
        fit_completeness(nothing.astype(bool), nothing, nothing, nothing)
