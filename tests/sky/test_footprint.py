"""The footprint that a catalogue's objects tell: it holds the survey, little else, and is drawn from evenly."""

import numpy as np
import pytest
from scipy.stats import kstest

from clusterjax.sky.footprint import footprint_of
from clusterjax.sky.regions import sky_block
from clusterjax.sky.selection import draw_away_from
from clusterjax.sky.surveys.registry import read_catalogue


def draw_band(rng, number, ra=(330.0, 390.0), dec=(-60.0, 20.0)):
    """As ACT's: across RA 0."""
    sine = rng.uniform(*np.sin(np.radians(dec)), number)
    return rng.uniform(*ra, number) % 360, np.degrees(np.arcsin(sine))


@pytest.mark.parametrize(("number", "nside"), [(1500, 16), (30, 2), (60_000, 64)])
def test_the_blocks_fit_the_number_of_objects(number, nside):
    rng = np.random.default_rng(0)
    found = footprint_of(*draw_band(rng, number))
    assert found.nside == nside
    blocks = sky_block(*draw_band(rng, 5000), nside=nside)
    assert np.isin(blocks, found.blocks).mean() > 0.9
    assert found.contains(*draw_band(rng, 5000)).mean() > 0.9


def test_the_footprint_of_act_dr5(shared_data):
    """13 211 deg2 (Hilton et al. 2021), of which one block in twenty has no cluster."""
    catalogue = read_catalogue(f"act_dr5={shared_data / 'catalogues/clusters/aactpol.csv.gz'}")
    found = footprint_of(catalogue["ra_deg"], catalogue["dec_deg"])
    area = len(found.blocks) / (12 * found.nside**2) * 4 * np.pi * np.degrees(1) ** 2
    assert area == pytest.approx(13_211, rel=0.08)


def test_draws_are_uniform_within_and_keep_away():
    rng = np.random.default_rng(1)
    found = footprint_of(*draw_band(rng, 5000))
    assert not found.contains(np.array([180.0]), np.array([-30.0])).any()
    ra, dec = found.draw(rng, 20_000)
    assert found.contains(ra, dec).all()
    inside = (dec > -50) & (dec < 10) & ((ra > 340) | (ra < 20))
    assert kstest(np.sin(np.radians(dec[inside])), "uniform", (-np.sin(np.radians(50)), np.sin(np.radians(50))
                  + np.sin(np.radians(10)))).pvalue > 0.01  # fmt: skip
    assert kstest((ra[inside] + 180) % 360, "uniform", (160, 40)).pvalue > 0.01
    known = draw_band(rng, 300)
    ra, dec = draw_away_from(
        lambda number: found.draw(rng, number), 500, known_ra_deg=known[0], known_dec_deg=known[1],
        exclusion_arcmin=60.0,
    )  # fmt: skip
    assert len(ra) == 500
    east, north = np.radians(ra)[:, None] - np.radians(known[0]), np.radians(dec)[:, None]
    cosine = np.sin(north) * np.sin(np.radians(known[1])) + np.cos(north) * np.cos(np.radians(known[1])) * np.cos(east)
    assert np.degrees(np.arccos(np.clip(cosine.max(), -1, 1))) > 1.0
