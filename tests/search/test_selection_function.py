"""The selection function as a whole: what it says at a place, written and read; false candidates and purity."""

import numpy as np
import pytest
from astropy.table import Table

import clusterjax
from clusterjax.errors import InputError
from clusterjax.search.completeness import CompletenessModel
from clusterjax.search.contamination import contamination_table, purity_table
from clusterjax.search.recovery import mass_limits, position_table
from clusterjax.search.selection import SelectionFunction
from clusterjax.sky.fits import write_fits_table
from clusterjax.sky.geometry import make_wcs
from clusterjax.sky.noise import NoiseMap


def model(ln_m50, noise_power=0.6):
    # degree 1, slope e^1.5, b = 0.3, ceiling logistic(3)
    parameters = np.array([ln_m50, 0.1, 1.5, 0.05, 0.3, 3.0, noise_power])
    return CompletenessModel(parameters, 0.01 * np.eye(7), 1, (0.1, 1.2), fits_noise=True)


@pytest.fixture
def selection():
    depth = np.ones((20, 30), np.float32)
    depth[:, 15:] = 2.0
    depth[:5] = np.nan
    wcs = make_wcs((20, 30), ra_deg=30.0, dec_deg=5.0, pixel_scale_arcsec=600.0)
    contamination = contamination_table(np.array([0.5, 1.5, 1.6, 3.2]), 2.0, np.array([0.0, 1.0, 2.0]))
    return SelectionFunction(
        [model(-0.4), model(0.0), model(0.5)], np.array([0.0, 1.0, 2.0]), 1.0, NoiseMap(depth, wcs),
        {"CONTAMINATION": contamination}, {"finder": "network", "ceiling": 0.95}, {"seed": 7},
    )  # fmt: skip


def test_public_and_documented():
    assert clusterjax.SelectionFunction is SelectionFunction
    assert "SelectionFunction" in clusterjax.__all__


def test_depth_is_looked_up_where_it_is_asked_for(selection):
    left, right, below, outside = (
        *(selection.noise.pixel_to_sky(12.0, column) for column in (7.0, 22.0)), selection.noise.pixel_to_sky(2.0, 7.0),
        (200.0, -40.0),
    )  # fmt: skip
    mass, own = 3.5e14, selection.model()
    assert selection(mass, 0.5, *left) == pytest.approx(own.probability(mass, 0.5, 1.0))
    assert selection(mass, 0.5, *right) == pytest.approx(own.probability(mass, 0.5, 2.0))
    assert selection(mass, 0.5, *right) < selection(mass, 0.5, *left)
    assert selection.error(mass, 0.5, *right) == pytest.approx(own.error(mass, 0.5, 2.0))
    for place in (below, outside):
        assert selection(mass, 0.5, *place) == 0
        assert selection.error(mass, 0.5, *place) == 0


def test_everything_broadcasts(selection):
    ra, dec = selection.noise.pixel_to_sky(np.array([12.0, 2.0]), np.array([7.0, 7.0]))
    chance = selection(np.array([2e14, 4e14, 8e14])[:, None], 0.5, ra, dec)
    assert chance.shape == (3, 2)
    assert (np.diff(chance[:, 0]) > 0).all()
    assert (chance[:, 1] == 0).all()
    assert selection(3e14, 0.5, ra[0], dec[0], threshold=selection.thresholds[0]) > selection(3e14, 0.5, ra[0], dec[0])
    with pytest.raises(InputError, match="masses must be above 0"):
        selection([1e14, -1], 0.5, 30.0, 5.0)


def test_written_and_read(selection, tmp_path):
    selection.write(tmp_path / "selection.fits")
    read = SelectionFunction.read(tmp_path / "selection.fits")
    ra, dec = selection.noise.pixel_to_sky(*np.mgrid[0:20:3, 0:30:4].astype(float))
    for threshold in (None, *selection.thresholds):
        for values in ("__call__", "error"):
            ours, theirs = (getattr(one, values)(3e14, 0.7, ra, dec, threshold=threshold) for one in (selection, read))
            np.testing.assert_allclose(theirs, ours, rtol=1e-9, atol=0)
    assert read.facts["finder"] == "network"
    assert read.provenance == {"seed": 7}
    assert read.threshold == selection.threshold
    assert read.redshift_range == (0.1, 1.2)
    assert read.tables["CONTAMINATION"]["false_per_deg2"].tolist() == [2.0, 1.5, 0.5]
    assert list(tmp_path.iterdir()) == [tmp_path / "selection.fits"]


def test_another_file_is_refused(tmp_path):
    write_fits_table(tmp_path / "table.fits", Table({"a": [1]}))
    with pytest.raises(InputError, match=r"table\.fits holds no selection function; --job=inject writes"):
        SelectionFunction.read(tmp_path / "table.fits")


def test_false_candidates_have_garwoods_intervals():
    table = contamination_table(np.concatenate([np.full(10, 3.0), np.full(3, 5.0)]), 2.0, np.array([2.0, 4.0, 6.0]))
    assert table["num_false"].tolist() == [13, 3, 0]
    # Gehrels (1986), tables 1 and 2, one sigma
    np.testing.assert_allclose(table["false_high"] * 2.0, [17.69, 5.918, 1.841], rtol=2e-3)
    np.testing.assert_allclose(table["false_low"] * 2.0, [9.441, 1.367, 0.0], rtol=2e-3)


def test_purity_is_true_over_all(selection):
    mass, redshift = np.geomspace(1.3e14, 1.4e15, 40), np.linspace(0.15, 1.15, 11)
    density = np.full((40, 11), 0.05)
    contamination = selection.tables["CONTAMINATION"]
    table = purity_table(contamination, selection.models, mass, redshift, density, complete_above_msun=3e14)
    for row, one in zip(table, selection.models, strict=True):
        chance = one.probability(mass[:, None], redshift[None, :])
        found = 0.05 * chance.sum()
        assert row["purity"] == pytest.approx(found / (found + row["false_per_deg2"]))
        assert row["completeness"] == pytest.approx(chance[mass >= 3e14].mean())
        assert row["purity_low"] < row["purity"] < row["purity_high"]
    assert (np.diff(table["completeness"]) < 0).all()


def test_thresholds_by_their_false_candidates(selection):
    assert selection.threshold_of(1.6) == pytest.approx(selection.thresholds[1])
    assert selection.threshold_of(10.0) == pytest.approx(selection.thresholds[0])
    assert np.isnan(selection.threshold_of(0.1))


def test_offsets_of_rayleigh_and_of_others():
    rng = np.random.default_rng(0)
    for power, is_rayleigh in ((1.0, True), (2.0, False)):
        table = Table({"separation_arcmin": rng.rayleigh(0.6, 800) ** power, "found": np.arange(800) < 700,
                       "redshift": np.full(800, 0.5)})  # fmt: skip
        whole, _ = position_table(table)
        assert whole["num_found"] == 700
        assert (whole["rayleigh_p"] > 0.05) == is_rayleigh
        if is_rayleigh:
            assert whole["rayleigh_sigma_arcmin"] == pytest.approx(0.6, rel=0.05)
            assert whole["q50_arcmin"] == pytest.approx(0.6 * np.sqrt(2 * np.log(2)), rel=0.08)


def test_mass_limits_are_a_table(selection):
    table = mass_limits(selection.model(), np.array([0.2, 1.0]))
    np.testing.assert_allclose(selection.model().probability(table["m80_msun"].data, np.array([0.2, 1.0])), 0.8)
    assert (table["m50_msun"] < table["m80_msun"]).all()
