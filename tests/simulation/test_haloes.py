import numpy as np
import pytest
import scipy.stats

from clusterjax.simulation.haloes import (
    CLUSTER_MASS_MIN_MSUN,
    cluster_density_per_deg2,
    group_counts,
    group_density_per_deg2,
    log10_cumulative_counts,
    sample_clusters,
    sample_groups,
    sample_training_clusters,
)

# dN/dz per deg2 above each mass: Tinker et al. (2008), Planck18, computed with colossus
MASSES = np.array([0.3, 0.5, 1, 1.5, 2, 3, 5, 7]) * 1e14
COLOSSUS = {
    0.25: [38.2, 18.3, 5.87, 2.74, 1.49, 0.577, 0.137, 0.045],
    0.5: [87.6, 39.0, 11.0, 4.68, 2.34, 0.794, 0.152, 0.042],
    0.9: [95.5, 36.5, 7.86, 2.73, 1.15, 0.293, 0.0354, 0.0067],
    1.3: [53.7, 16.9, 2.59, 0.695, 0.235, 0.0416, 0.0028, 0.0003],
}
COLOSSUS_SUM = [106, 40.8, 9.45, 3.61, 1.69, 0.529, 0.096, 0.027]  # 0.1 < z < 1.8


def counts_above(redshift, mass):
    return 10 ** log10_cumulative_counts(np.asarray(redshift, float), np.asarray(mass, float))


def test_fit_is_within_its_stated_error_of_the_mass_function():
    table = np.array(list(COLOSSUS.values()))
    fit = np.array([log10_cumulative_counts(np.full(len(MASSES), z), MASSES) for z in COLOSSUS])
    error = fit - np.log10(table)
    # 0.0003 is given to one digit: up to 0.08 dex of that entry's error is rounding.
    assert np.abs(error[:, :-1]).max() < 0.10
    assert np.sqrt(np.mean(error[:, :-1] ** 2)) < 0.045


@pytest.mark.parametrize(("mass", "expected"), list(zip(MASSES, COLOSSUS_SUM, strict=True)))
def test_fit_summed_over_redshift(mass, expected):
    z = np.linspace(0.1, 1.8, 400)
    assert np.trapezoid(counts_above(z, np.full_like(z, mass)), z) == pytest.approx(expected, rel=0.09)


def test_group_table_totals():
    assert group_counts().shape == (35, 40)
    assert group_density_per_deg2() == pytest.approx(1728.5, abs=0.1)
    assert group_density_per_deg2(1e13) == pytest.approx(616, abs=1)
    assert group_density_per_deg2(3e13) == pytest.approx(108, abs=0.5)


def test_group_table_and_fit_agree_where_both_hold():
    """Two independent descriptions of one mass function, 4e13 to 1.2e14."""
    z = np.linspace(0.1, 1.775, 300)
    table = group_density_per_deg2(4e13)
    # The lowest cell above 4e13 begins here
    low, high = 4.0256e13, CLUSTER_MASS_MIN_MSUN
    fit = np.trapezoid(counts_above(z, np.full_like(z, low)) - counts_above(z, np.full_like(z, high)), z)
    assert table == pytest.approx(fit, rel=0.05)


def test_sampled_groups_follow_the_table():
    haloes = sample_groups(np.random.default_rng(0), 200_000)
    for mass, density in ((1e13, 616.2), (3e13, 107.9)):
        fraction = np.mean(haloes.m500c_msun > mass)
        # Masses are spread over their cells: at a cell's border the fraction moves by a part of a cell
        assert fraction == pytest.approx(density / 1728.5, rel=0.08)
    expected = np.average(np.linspace(0.05, 1.75, 35), weights=group_counts().sum(axis=1))
    assert haloes.redshift.mean() == pytest.approx(expected, abs=0.004)
    assert haloes.redshift.min() > 0.02
    assert haloes.m500c_msun.max() <= CLUSTER_MASS_MIN_MSUN


def test_groups_between_masses():
    haloes = sample_groups(np.random.default_rng(1), 5000, mass_min_msun=3e13, mass_max_msun=1e14)
    assert haloes.m500c_msun.min() >= 3e13
    assert haloes.m500c_msun.max() <= 1e14
    assert np.percentile(haloes.m500c_msun, 90) > 7e13


def test_sampled_clusters_follow_the_fit():
    haloes = sample_clusters(np.random.default_rng(2), 300_000)
    scale = cluster_density_per_deg2() / 300_000
    for mass, expected in zip(MASSES[3:], COLOSSUS_SUM[3:], strict=True):
        found = np.sum(haloes.m500c_msun > mass) * scale
        assert found == pytest.approx(expected, rel=0.10)
    assert haloes.m500c_msun.min() >= CLUSTER_MASS_MIN_MSUN
    high = np.sum((haloes.redshift > 0.85) & (haloes.redshift < 0.95) & (haloes.m500c_msun > 2e14)) * scale
    assert high == pytest.approx(0.1 * counts_above([0.9], [2e14])[0], rel=0.05)


def test_training_mixture():
    haloes = sample_training_clusters(np.random.default_rng(3), 40_000, mass_floor_msun=1.5e14, redshift_max=1.6)
    mass = haloes.m500c_msun
    assert np.median(mass) == pytest.approx(1.9e14 * 2**0.38, rel=0.01)
    assert mass.max() == 1.5e15
    gamma = scipy.stats.gamma(4.5, scale=0.125)
    low, high = gamma.cdf([0.1, 1.6])
    assert scipy.stats.kstest(haloes.redshift, lambda z: (gamma.cdf(z) - low) / (high - low)).pvalue > 1e-3
    assert haloes.redshift.min() >= 0.1
    assert haloes.redshift.max() <= 1.6


def test_training_mixture_moves_with_its_knobs():
    haloes = sample_training_clusters(np.random.default_rng(3), 5000, mass_floor_msun=3e14, redshift_max=0.8)
    assert haloes.m500c_msun.min() >= 3e14
    assert np.median(haloes.m500c_msun) == pytest.approx(3.8e14 * 2**0.38, rel=0.02)
    assert haloes.redshift.max() <= 0.8
    assert np.mean(haloes.redshift > 0.79) < 0.05  # none piles up at the limit
