import astropy.units as u
import numpy as np
import pytest
import scipy.stats
from astropy.coordinates import SkyCoord
from astropy_healpix import HEALPix

from clusterjax.errors import InputError
from clusterjax.sky.catalogues import read_table, with_positions
from clusterjax.sky.regions import (
    NSIDE,
    NUM_BLOCKS,
    SPLIT_FRACTIONS,
    blocks_of_split,
    lies_inside_split,
    sample_positions,
    sky_block,
    split_of_block,
)

SPLITS = tuple(SPLIT_FRACTIONS)
FIRST_TEN = ["test", "train", "train", "test", "train", "train", "train", "test", "train", "test"]


@pytest.fixture(scope="module")
def positions():
    """A dense sample: 4 positions a square degree."""
    rng = np.random.default_rng(0)
    return {split: sample_positions(rng, split, 30_000, margin_arcmin=4.0) for split in SPLITS}


def test_blocks_are_healpix_pixels():
    rng = np.random.default_rng(1)
    ra_deg, dec_deg = rng.uniform(0, 360, 500), np.degrees(np.arcsin(rng.uniform(-1, 1, 500)))
    healpix = HEALPix(nside=NSIDE, order="nested", frame="icrs")
    expected = healpix.skycoord_to_healpix(SkyCoord(ra_deg, dec_deg, unit="deg", frame="icrs"))
    np.testing.assert_array_equal(sky_block(ra_deg, dec_deg), expected)
    # Around the sky once more is the same place
    np.testing.assert_array_equal(sky_block(ra_deg - 360, dec_deg), expected)


def test_every_block_has_one_split_and_keeps_it():
    split = split_of_block(np.arange(NUM_BLOCKS))
    for name, fraction in SPLIT_FRACTIONS.items():
        assert np.mean(split == name) == pytest.approx(fraction, abs=0.03)
    # A data set made today and one made next year must agree: these are the splits of blocks 0 to 9 for ever
    assert split[:10].tolist() == FIRST_TEN
    together = np.concatenate([blocks_of_split(name) for name in SPLITS])
    assert len(np.unique(together)) == len(together)


def test_neighbouring_blocks_do_not_follow_a_pattern():
    train = split_of_block(np.arange(NUM_BLOCKS)) == "train"
    agreement = np.corrcoef(train[:-1], train[1:])[0, 1]
    assert abs(agreement) < 0.06


@pytest.mark.parametrize("split", SPLITS)
def test_positions_lie_in_their_blocks_and_the_footprint(positions, split):
    ra_deg, dec_deg, block = positions[split]
    np.testing.assert_array_equal(sky_block(ra_deg, dec_deg), block)
    assert set(split_of_block(block)) == {split}
    latitude = SkyCoord(ra_deg, dec_deg, unit="deg").galactic.b.deg
    assert np.abs(latitude).min() > 20 - 3  # blocks are centred above 20 deg, and reach 3 deg further


def test_positions_of_two_splits_are_two_margins_apart(positions):
    sky = {split: SkyCoord(*values[:2], unit="deg") for split, values in positions.items()}
    for first, second in (("train", "validation"), ("train", "test"), ("validation", "test")):
        _, separation, _ = sky[first].match_to_catalog_sky(sky[second])
        assert 8.0 <= separation.min().to_value(u.arcmin) < 30


@pytest.mark.parametrize("margin_arcmin", [2.1, 7.3, 30.0])
def test_margins_are_kept_from_every_side_of_a_block(margin_arcmin):
    """Points around a position at the distance of the margin are in the same block, at the poles too."""
    ra_deg, dec_deg, block = sample_positions(np.random.default_rng(2), "train", 4000, margin_arcmin=margin_arcmin)
    centre = SkyCoord(ra_deg, dec_deg, unit="deg")
    for angle in range(0, 360, 30):
        around = centre.directional_offset_by(angle * u.deg, margin_arcmin * u.arcmin)
        np.testing.assert_array_equal(sky_block(around.ra.deg, around.dec.deg), block)


def test_positions_are_uniform_on_the_sphere():
    """In blocks of equal area; within a block the sine of the declination and the right ascension have no slope."""
    ra_deg, dec_deg, block = sample_positions(np.random.default_rng(3), "train", 60_000, margin_arcmin=0.0)
    blocks, counts = np.unique(block, return_counts=True)
    assert len(blocks) == len(blocks_of_split("train"))
    assert scipy.stats.chisquare(counts).pvalue > 1e-3
    healpix = HEALPix(nside=NSIDE * 4, order="nested")
    fine = healpix.lonlat_to_healpix(ra_deg * u.deg, dec_deg * u.deg)
    assert scipy.stats.chisquare(np.bincount(fine % 16)).pvalue > 1e-3


def test_same_seed_same_positions():
    first, again = (sample_positions(np.random.default_rng(4), "test", 5, margin_arcmin=1.0) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_bad_input():
    rng = np.random.default_rng(5)
    with pytest.raises(InputError, match="split='valid' is unknown; use one of train, validation, test"):
        sample_positions(rng, "valid", 1, margin_arcmin=1.0)
    with pytest.raises(InputError, match="margin_arcmin=60 does not fit blocks of 149 arcmin"):
        sample_positions(rng, "train", 1, margin_arcmin=60.0)


@pytest.mark.parametrize("nside", [16, 64])
def test_inside_a_split_means_far_from_all_others(nside):
    """Kept positions of different splits are never closer than twice the margin; in large blocks most are kept."""
    rng = np.random.default_rng(3)
    ra_deg, dec_deg = rng.uniform(20, 50, 20_000), rng.uniform(-12, 12, 20_000)
    kept = lies_inside_split(ra_deg, dec_deg, margin_arcmin=8.0, nside=nside)
    sky = SkyCoord(ra_deg[kept], dec_deg[kept], unit="deg")
    split = split_of_block(sky_block(ra_deg[kept], dec_deg[kept], nside=nside))
    for name in SPLITS:
        separation = sky[split == name].match_to_catalog_sky(sky[split != name])[1]
        assert separation.arcmin.min() > 16.0
    assert kept.mean() > (0.75 if nside == 16 else 0.3)


def test_splits_of_the_real_act_clusters(shared_data):
    """ACT DR5: 4 195 clusters, median redshift 0.52; in splits that keep two 64 px cutouts of 0.5 arcmin apart."""
    act = with_positions(read_table(shared_data / "catalogues/clusters/aactpol.csv.gz"))
    assert len(act) == 4195
    assert np.nanmedian(np.ma.filled(np.ma.asarray(act["redshift"], dtype=float), np.nan)) == pytest.approx(
        0.52, abs=0.005
    )
    ra_deg, dec_deg = np.asarray(act["ra_deg"], float), np.asarray(act["dec_deg"], float)
    margin = 32 * np.sqrt(2) * 0.5
    kept = lies_inside_split(ra_deg, dec_deg, margin_arcmin=margin)
    split = split_of_block(sky_block(ra_deg[kept], dec_deg[kept]))
    sizes = {name: int(np.sum(split == name)) for name in SPLITS}
    total = sum(sizes.values())
    assert total > 0.6 * 4195
    for name, fraction in SPLIT_FRACTIONS.items():
        assert sizes[name] / total == pytest.approx(fraction, abs=0.08)
    sky = SkyCoord(ra_deg[kept], dec_deg[kept], unit="deg")
    for name in SPLITS:
        separation = sky[split == name].match_to_catalog_sky(sky[split != name])[1]
        assert separation.arcmin.min() > 2 * margin
