"""Changes of prior against Bayes' theorem on Gaussians, and against a sky that is drawn."""

import numpy as np
import pytest
import scipy.spatial
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterjax.errors import InputError
from clusterjax.evaluation import prior_shift
from clusterjax.evaluation.calibration import METHODS
from clusterjax.evaluation.reliability import calibration_error

fraction = st.floats(0.01, 0.99)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(fraction, fraction), min_size=2, max_size=5), st.floats(-3, 3))
def test_closed_form_is_bayes_theorem(pairs, x):
    """Classes are Gaussians of means 0, 1, 2 ...: the posterior under the new prior, computed directly."""
    old, new = (np.array(column) / sum(column) for column in zip(*pairs, strict=True))
    likelihood = scipy.stats.norm.pdf(x, loc=np.arange(len(pairs)))
    before, after = (prior * likelihood / (prior * likelihood).sum() for prior in (old, new))
    np.testing.assert_allclose(prior_shift.shift_prior(before[None], old, new)[0], after, rtol=1e-9)
    back = prior_shift.shift_prior(after[None], new, old)
    np.testing.assert_allclose(back[0], before, rtol=1e-9)


def test_windows_of_the_sky_are_poisson():
    """Types of points dropped on a square: how often the nearest window holds which."""
    rng = np.random.default_rng(0)
    density, radius = {"cluster": 3000.0, "star": 9000.0}, 0.3
    fractions = prior_shift.sky_fractions(
        density, {"cluster": 0.5, "star": 0.1, "random": 0.3, "agn": 0.1}, radius_arcmin=radius
    )
    assert sum(fractions.values()) == pytest.approx(1)
    windows, inside = rng.uniform(0.1, 0.9, (20_000, 2)), {}
    for name, per_deg2 in density.items():
        points = scipy.spatial.cKDTree(rng.uniform(0, 1, (rng.poisson(per_deg2), 2)))
        inside[name] = points.query_ball_point(windows, radius / 60, return_length=True)
    number = sum(inside.values())
    share = inside["cluster"] / np.maximum(number, 1)
    assert fractions["cluster"] == pytest.approx(share.mean(), rel=0.06)
    assert fractions["random"] + fractions["agn"] == pytest.approx(np.mean(number == 0), rel=0.06)
    assert fractions["random"] == pytest.approx(3 * fractions["agn"])


TYPES = ("cluster", "random", "group")
MEANS = {"cluster": 2.0, "random": -1.0, "group": 1.0}


def sky(num, fractions, rng):
    types = rng.choice(TYPES, num, p=[fractions[name] for name in TYPES])
    x = rng.normal([MEANS[name] for name in types])
    return types, (types == "cluster").astype(int), x


def network(x, fractions):
    """The exact posterior of a cluster in a data set with these fractions, three times too sure."""
    densities = {name: fractions[name] * scipy.stats.norm.pdf(x, MEANS[name]) for name in TYPES}
    odds = densities["cluster"] / (densities["random"] + densities["group"])
    return odds**3 / (1 + odds**3)


@pytest.mark.parametrize("method", METHODS)
def test_probabilities_mean_what_they_say_on_another_sky(method):
    """Trained on half clusters and hardly any groups; the sky has few clusters and twice as many groups."""
    rng = np.random.default_rng(3)
    mix, true = {"cluster": 0.5, "random": 0.45, "group": 0.05}, {"cluster": 0.04, "random": 0.88, "group": 0.08}
    types, label, x = sky(60_000, mix, rng)
    score = network(x, mix)
    scores = np.stack([1 - score, score], axis=1)
    calibration = prior_shift.fit_for_sky(method, label, scores, types, true)
    only_mix = prior_shift.fit_for_sky(method, label, scores, types, mix)
    _, label, x = sky(200_000, true, rng)
    score = network(x, mix)
    found = calibration_error(label, calibration.positive(score))
    assert calibration.positive(score).mean() == pytest.approx(0.04, rel=0.1)
    assert found.ece < (0.002 if method == "isotonic" else 0.01)
    assert only_mix.positive(score).mean() > 0.08
    assert calibration_error(label, only_mix.positive(score)).ece > 5 * found.ece


def test_types_within_a_class_matter():
    """Groups that are commoner on the sky than in the data set: the closed form alone would be too trusting."""
    rng = np.random.default_rng(4)
    mix, true = {"cluster": 0.5, "random": 0.48, "group": 0.02}, {"cluster": 0.1, "random": 0.45, "group": 0.45}
    types, label, x = sky(60_000, mix, rng)
    score = network(x, mix)
    scores = np.stack([1 - score, score], axis=1)
    whole = prior_shift.fit_for_sky("isotonic", label, scores, types, true)
    closed = prior_shift.fit_for_sky("isotonic", label, scores, np.where(label, "cluster", "random"), {
        "cluster": 0.1, "random": 0.9,
    })  # fmt: skip
    _, label, x = sky(100_000, true, rng)
    score = network(x, mix)
    assert calibration_error(label, whole.positive(score)).ece < 0.012
    assert closed.positive(score).mean() > 1.5 * label.mean()


def test_bad_input():
    mix = {"cluster": 0.5, "random": 0.5}
    with pytest.raises(InputError, match=r"has the types \['quasar'\], which the data set has not"):
        prior_shift.sky_fractions({"quasar": 1.0}, mix, radius_arcmin=1)
    with pytest.raises(InputError, match="names all types"):
        prior_shift.sky_fractions({"cluster": 1.0, "random": 1.0}, mix, radius_arcmin=1)
    with pytest.raises(InputError, match="class 1 has no example"):
        prior_shift.prior_factors(np.array([1.0, 0.0]), np.array([0.5, 0.5]))
