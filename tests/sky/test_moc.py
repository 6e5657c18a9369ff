import json

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from mocpy import MOC

from clusterjax.errors import InputError
from clusterjax.sky.moc import FINEST_ORDER, Moc, read_coverage, read_moc, write_moc

_FORMATS = {"fits": "fits", "json": "json", "txt": "ascii"}


@st.composite
def _cells(draw):
    orders = draw(st.lists(st.integers(0, 8), min_size=1, max_size=4, unique=True))
    return [
        (order, np.array(draw(st.lists(st.integers(0, 12 * 4**order - 1), min_size=1, max_size=30))))
        for order in orders
    ]


def _reference(cells):
    """The same region by the reference implementation (CDS)."""
    numbers = np.concatenate([part for _, part in cells]).astype(np.uint64)
    depth = np.concatenate([np.full(len(part), order) for order, part in cells]).astype(np.uint8)
    return MOC.from_healpix_cells(numbers, depth, max_depth=max(order for order, _ in cells))


@settings(deadline=None, max_examples=40)
@given(_cells(), st.integers(0, 10**6))
def test_every_file_is_what_mocpy_reads(tmp_path_factory, cells, seed):
    moc, reference = Moc.from_cells(cells), _reference(cells)
    folder = tmp_path_factory.mktemp("moc")
    for ending, form in _FORMATS.items():
        write_moc(folder / f"own.{ending}", moc, software="test")
        assert MOC.load(str(folder / f"own.{ending}"), form) == reference
    reference.save(str(folder / "range.fits"), "fits")
    assert fits.getheader(folder / "range.fits", 1)["ORDERING"] == "RANGE"
    for name in ("own.fits", "own.json", "range.fits"):
        back = read_moc(folder / name)
        np.testing.assert_array_equal(back.ranges, moc.ranges)
        assert back.order == moc.order
    assert moc.sky_fraction == pytest.approx(reference.sky_fraction, rel=1e-9)
    rng = np.random.default_rng(seed)
    ra, dec = rng.uniform(0, 360, 300), np.degrees(np.arcsin(rng.uniform(-1, 1, 300)))
    np.testing.assert_array_equal(moc.contains(ra, dec), reference.contains_lonlat(ra * u.deg, dec * u.deg))


def test_fits_header_is_that_of_moc_2(tmp_path):
    write_moc(tmp_path / "moc.fits", Moc.from_cells([(3, np.array([5])), (6, np.array([9]))]), software="clusterjax 1")
    with fits.open(tmp_path / "moc.fits") as hdus:
        hdus.verify("exception")
        header = hdus[1].header
        assert hdus[1].data["UNIQ"].tolist() == [4**4 + 5, 4**7 + 9]
    expected = {"MOCVERS": "2.0", "MOCDIM": "SPACE", "ORDERING": "NUNIQ", "COORDSYS": "C", "MOCORD_S": 6, "MOCORDER": 6,
                "TFORM1": "1K", "PIXTYPE": "HEALPIX", "MOCTOOL": "clusterjax 1"}  # fmt: skip
    assert {key: header[key] for key in expected} == expected


def test_whole_sky_and_nothing(tmp_path):
    whole = Moc.from_cells([(5, np.arange(12 * 4**5))])
    assert {order: cells.tolist() for order, cells in whole.cells().items()} == {0: list(range(12))}
    assert whole.area_deg2 == pytest.approx(41252.961, abs=1e-3)
    assert json.loads(whole.to_json()) == {"0": list(range(12)), "5": []}
    assert whole.to_ascii() == "0/0-11 5/"
    nothing = Moc.from_cells([(7, np.zeros(0, int))])
    assert not nothing.contains([1.0, 2.0], [3.0, 4.0]).any()
    write_moc(tmp_path / "nothing.fits", nothing, software="test")
    assert read_moc(tmp_path / "nothing.fits").sky_fraction == 0
    assert not whole.contains([np.nan], [0.0])[0]
    finest = Moc.from_cells([(FINEST_ORDER, np.array([12 * 4**FINEST_ORDER - 1]))])
    assert finest.cells()[FINEST_ORDER].tolist() == [12 * 4**FINEST_ORDER - 1]


def test_a_healpix_map_is_a_footprint_too(tmp_path):
    mask = np.zeros(12 * 16**2, np.float32)
    mask[100:200] = 1
    table = fits.BinTableHDU.from_columns([fits.Column(name="MASK", format="E", array=mask)])
    table.header.update({"NSIDE": 16, "ORDERING": "NESTED", "COORDSYS": "C", "PIXTYPE": "HEALPIX"})
    table.writeto(tmp_path / "mask.fits")
    moc = Moc.from_cells([(4, np.arange(100, 200))])
    write_moc(tmp_path / "moc.fits", moc, software="test")
    rng = np.random.default_rng(0)
    ra, dec = rng.uniform(0, 360, 5000), np.degrees(np.arcsin(rng.uniform(-1, 1, 5000)))
    inside = moc.contains(ra, dec)
    assert 50 < inside.sum() < 500
    for name in ("mask.fits", "mask.fits[MASK]", "moc.fits"):
        np.testing.assert_array_equal(read_coverage(tmp_path / name)(ra, dec), inside)


def test_what_is_no_moc(tmp_path):
    fits.PrimaryHDU(np.zeros((3, 3))).writeto(tmp_path / "image.fits")
    with pytest.raises(InputError, match="is no footprint; a MOC"):
        read_coverage(tmp_path / "image.fits")
    with pytest.raises(InputError, match="holds no MOC"):
        read_moc(tmp_path / "image.fits")
    (tmp_path / "broken.json").write_text('{"3": [1, ')
    with pytest.raises(InputError, match="cannot be read as a MOC in JSON"):
        read_moc(tmp_path / "broken.json")
    (tmp_path / "beyond.json").write_text('{"0": [12]}')
    with pytest.raises(InputError, match="none of order 0"):
        read_moc(tmp_path / "beyond.json")
    write_moc(tmp_path / "time.fits", Moc.from_cells([(3, np.array([5]))]), software="test")
    fits.setval(tmp_path / "time.fits", "MOCDIM", value="TIME", ext=1)
    with pytest.raises(InputError, match="MOCDIM=TIME"):
        read_moc(tmp_path / "time.fits")
    with pytest.raises(InputError, match="of no kind that a MOC can have"):
        write_moc(tmp_path / "moc.xyz", Moc.from_cells([(3, np.array([5]))]), software="test")
