import numpy as np
import pytest
import scipy.stats

from clusterjax.simulation.haloes import group_density_per_deg2, sample_groups
from clusterjax.simulation.infrared.field import unclustered_galaxies
from clusterjax.simulation.infrared.members import sample_members
from clusterjax.simulation.infrared.populations import (
    FIELD_GALAXIES,
    STARS,
    field_colour,
    field_redshift,
    passive_colour,
    sample_agn,
    star_density_factor,
)


@pytest.mark.parametrize(("w1", "expected"), [(17.0, 7.2e3), (17.5, 1.23e4), (17.9, 1.81e4), (18.5, 3.0e4)])
def test_galaxy_counts(w1, expected):
    assert FIELD_GALAXIES.brighter_than(np.array([w1]))[0] == pytest.approx(expected, rel=0.02)


def test_galaxies_and_stars_of_the_unwise_catalogue():
    """N(W1 < 17.9) = 2.13e4 per deg2."""
    both = FIELD_GALAXIES.brighter_than(np.array([17.9])) + STARS.brighter_than(np.array([17.9]))
    assert both[0] == pytest.approx(2.13e4, rel=0.02)


def test_sampled_magnitudes_follow_the_counts():
    sample = STARS.sample(np.random.default_rng(0), 50_000)
    cdf = scipy.stats.kstest(sample, lambda w1: STARS.brighter_than(w1) / STARS.per_deg2)
    assert cdf.pvalue > 1e-3


@pytest.mark.parametrize(
    ("w1", "left"), [(15.0, 0.63), (16.0, 0.41), (17.0, 0.43), (17.9, 0.60), (19.0, 0.73), (20.5, 0.85)]
)
def test_unclustered_field_and_group_members_make_up_the_whole(w1, left):
    """``left`` is the share of galaxies brighter than W1 that are in no group, found once by another program."""
    number = 20_000
    members = sample_members(
        np.random.default_rng(1), sample_groups(np.random.default_rng(2), number), pixel_scale_arcsec=2.75
    )
    in_groups = np.sum(members.w1_mag < w1) / number * group_density_per_deg2()
    unclustered = unclustered_galaxies().brighter_than(np.array([w1]))[0]
    whole = FIELD_GALAXIES.brighter_than(np.array([w1]))[0]
    assert unclustered / whole == pytest.approx(left, abs=0.03)
    assert in_groups + unclustered == pytest.approx(whole, rel=0.03)


@pytest.mark.parametrize(
    ("redshift", "colour"),
    [(0.05, 0.146), (0.2, 0.315), (0.5, 0.125), (0.7, -0.006), (1.0, 0.240), (1.5, 0.723), (2.5, 0.723)],
)
def test_colour_of_passive_galaxies(redshift, colour):
    assert passive_colour(np.array([redshift]))[0] == pytest.approx(colour)


@pytest.mark.parametrize(("w1", "median"), [(13.0, 0.07), (15.5, 0.25), (17.5, 0.75), (18.5, 0.95)])
def test_field_redshifts_grow_with_magnitude(w1, median):
    sample = field_redshift(np.random.default_rng(3), np.full(40_000, w1))
    assert np.median(sample) == pytest.approx(median, rel=0.02)


def test_field_colours_scatter_about_the_passive_colour():
    colour = field_colour(np.random.default_rng(4), np.full(20_000, 0.5))
    assert colour.mean() == pytest.approx(0.125, abs=0.004)
    assert colour.std() == pytest.approx(0.15, rel=0.02)


def test_agn_satisfy_their_selection():
    w1, colour = sample_agn(np.random.default_rng(5), 20_000)
    w2 = w1 - colour
    assert colour.min() > 0.8
    assert np.median(colour) == pytest.approx(1.1, abs=0.05)
    assert w2.max() <= 15.2
    # Counts as 10^(0.5 W2): each magnitude holds a factor of 3.2 more
    assert np.sum(w2 > 14.2) / np.sum(w2 > 13.2) == pytest.approx((1 - 10**-0.5) / (1 - 10**-1.0), rel=0.02)


@pytest.mark.parametrize(("latitude", "factor"), [(60.0, 1.0), (-60.0, 1.0), (30.0, 2.04), (90.0, 0.829)])
def test_stars_thin_out_away_from_the_galactic_plane(latitude, factor):
    assert star_density_factor(latitude) == pytest.approx(factor, rel=0.01)
