"""HEALPix files and HiPS trees through flat windows."""

import shutil

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy_healpix import HEALPix, healpix_to_lonlat, lonlat_to_healpix

from clusterjax.errors import InputError
from clusterjax.sky.cutouts import extract_cutouts
from clusterjax.sky.fits import read_sky_map
from clusterjax.sky.healpix import HealpixReader
from clusterjax.sky.hips import HipsReader
from clusterjax.sky.open_map import file_stamps, open_map
from clusterjax.sky.sphere import frame_rotation

NSIDE = 32
FRAMES = {"G": "galactic", "C": "icrs", "E": "barycentricmeanecliptic", None: "icrs"}


def write_healpix(path, *, order="NESTED", system="G", cells=None, columns=("I",), repeat=1, unit="K_CMB", **cards):
    """A map whose values are its cells' numbers in nested order, times 1, 10, 100 ... a column; the nested cells."""
    nested = np.arange(12 * NSIDE**2) if cells is None else np.asarray(cells)
    numbers = nested
    if order == "RING":
        numbers = lonlat_to_healpix(*healpix_to_lonlat(nested, NSIDE, order="nested"), NSIDE, order="ring")
        if cells is None:
            nested = nested[np.argsort(numbers)]
    kind = "E" if repeat == 1 else f"{repeat}E"
    values = [np.array(nested * 10.0**index, np.float32) for index in range(len(columns))]
    values = [each if repeat == 1 else each.reshape(-1, repeat) for each in values]
    table = [fits.Column(name, kind, array=array, unit=unit) for name, array in zip(columns, values, strict=True)]
    if cells is not None:
        table.insert(0, fits.Column("PIXEL", "J", array=numbers))
    hdu = fits.BinTableHDU.from_columns(table)
    hdu.header.update(PIXTYPE="HEALPIX", ORDERING=order, NSIDE=NSIDE, **cards)
    if system is not None:
        hdu.header["COORDSYS"] = system
    hdu.writeto(path, overwrite=True)
    return path


def positions(count=400, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 360, count), np.degrees(np.arcsin(rng.uniform(-1, 1, count)))


@pytest.mark.parametrize("order", ["NESTED", "RING"])
@pytest.mark.parametrize("system", ["G", "C", "E", None])
@pytest.mark.parametrize("repeat", [1, 1024])
def test_each_position_has_the_value_of_its_cell(tmp_path, order, system, repeat):
    """By astropy-healpix's own class, which knows frames."""
    ra, dec = positions()
    reader = HealpixReader([write_healpix(tmp_path / "map.fits", order=order, system=system, repeat=repeat)])
    cells = HEALPix(NSIDE, "nested", FRAMES[system]).skycoord_to_healpix(SkyCoord(ra, dec, unit="deg"))
    np.testing.assert_array_equal(reader.values(ra, dec)[:, 0], cells)
    assert (reader.bands, reader.units) == (("I",), "K_CMB")
    assert reader.pixel_scale_arcsec == pytest.approx(np.sqrt(41252.96 / (12 * NSIDE**2)) * 3600, rel=1e-4)
    assert reader.turn == reader.shape[1]


@pytest.mark.parametrize("order", ["NESTED", "RING"])
def test_bilinear_is_astropys(tmp_path, order):
    ra, dec = positions()
    reader = HealpixReader([write_healpix(tmp_path / "map.fits", order=order)], interpolation="bilinear")
    vectors = SkyCoord(ra, dec, unit="deg").cartesian.xyz.value.T
    healpix = HEALPix(NSIDE, "nested", "galactic")
    theirs = healpix.interpolate_bilinear_skycoord(SkyCoord(ra, dec, unit="deg"), np.arange(12.0 * NSIDE**2))
    np.testing.assert_allclose(reader.sample(vectors)[:, 0], theirs, rtol=1e-5, atol=1e-2)
    assert np.isfinite(theirs).all()
    assert not np.array_equal(theirs, reader.values(ra, dec)[:, 0])


@pytest.mark.parametrize("order", ["NESTED", "RING"])
@pytest.mark.parametrize("shuffled", [False, True])
def test_partial_maps(tmp_path, order, shuffled):
    """Cells of one corner of the sky; elsewhere there is nothing."""
    cells = np.arange(3100, 3500)  # of one of the twelve base cells
    if shuffled:
        cells = np.random.default_rng(0).permutation(cells)
    reader = HealpixReader([write_healpix(tmp_path / "map.fits", order=order, cells=cells)], pixel_scale_arcsec=2000)
    ra, dec = positions(20_000)
    true = HEALPix(NSIDE, "nested", "galactic").skycoord_to_healpix(SkyCoord(ra, dec, unit="deg"))
    inside = np.isin(true, cells)
    np.testing.assert_array_equal(reader.values(ra, dec)[:, 0], np.where(inside, true, np.nan))
    assert np.array_equal(reader.contains(ra, dec), inside)
    # The footprint is known: a cap that holds it, and a flat grid that shows all of it.
    middle, radius = reader.bounding_cap()
    vectors = SkyCoord(ra, dec, unit="deg").cartesian.xyz.value.T
    assert (vectors[inside] @ middle > np.cos(radius)).all()
    assert radius < np.radians(40)
    grid = reader.read(0, 0, *reader.shape)
    assert set(np.unique(grid.data[grid.valid]).astype(int)) == set(cells.tolist())


def test_blank_cells_are_not_valid(tmp_path):
    path = write_healpix(tmp_path / "map.fits")
    with fits.open(path, mode="update") as hdus:
        hdus[1].data["I"][7] = -1.6375e30
        hdus[1].data["I"][8] = np.inf
    reader = HealpixReader([path])
    assert np.isnan(reader.cell_values(np.array([7, 8]))).all()
    assert reader.cell_values(np.array([9]))[0, 0] == 9


def test_which_columns_are_the_bands(tmp_path):
    one = write_healpix(tmp_path / "one.fits", columns=("I", "Q"))
    two = write_healpix(tmp_path / "two.fits", columns=("I", "Q"))
    cell = np.array([3])
    for paths, bands, names, values in (
        ([one], None, ("I",), [3]),
        ([one], ("q",), ("q",), [30]),
        ([one], ("Q", "I"), ("Q", "I"), [30, 3]),
        ([one], ("f090", "f150"), ("f090", "f150"), [3, 30]),
        ([f"{one}[Q]"], None, ("Q",), [30]),
        ([one, f"{two}[Q]"], ("a", "b"), ("a", "b"), [3, 30]),
        ([one, two], None, ("one", "two"), [3, 3]),
    ):
        reader = open_map(paths, bands=bands)
        assert isinstance(reader, HealpixReader)
        assert reader.bands == names
        np.testing.assert_array_equal(reader.cell_values(cell)[0], values)


def test_windows_are_gnomonic_about_their_position(tmp_path):
    """The quick windows of a data set, the one with a WCS, and the map on that WCS, at a pole and at RA 0 too."""
    reader = HealpixReader([write_healpix(tmp_path / "map.fits")], pixel_scale_arcsec=1000)
    ra, dec = np.array([0.0, 123.4, 250.0, 10.0]), np.array([0.0, 45.6, -89.9, 90.0])
    images, fraction = extract_cutouts(reader, ra, dec, 16)
    assert (fraction == 1).all()
    for image, *position in zip(images, ra.tolist(), dec.tolist(), strict=True):
        window = reader.read_around(*position, 16)
        assert window.pixel_scale_arcsec == pytest.approx(1000, rel=1e-3)
        # Rounding puts a pixel on the border between two cells on either side.
        assert (window.data == image).mean() > 0.99
        assert (reader.read_on(window.wcs, window.shape).data == image).mean() > 0.99


def test_the_whole_sky_as_one_grid(tmp_path):
    reader = HealpixReader([write_healpix(tmp_path / "map.fits")], pixel_scale_arcsec=3600)
    assert reader.shape == (180, 360)
    ra, dec = reader.pixel_to_sky(*np.indices(reader.shape))
    assert np.isfinite([ra, dec]).all()
    np.testing.assert_array_equal(
        reader.pixels(0, 0, *reader.shape)[..., 0].ravel(), reader.values(ra.ravel(), dec.ravel())[:, 0]
    )
    np.testing.assert_array_equal(
        reader.pixels(50, 350, 3, 20), np.roll(reader.pixels(50, 0, 3, 360), 10, axis=1)[:, :20]
    )
    assert np.isnan(reader.pixels(-3, 0, 3, 5)).all()


def test_frames_are_astropys():
    ra, dec = positions(50)
    coordinates = SkyCoord(ra, dec, unit="deg")
    for system in ("G", "E", "C"):
        name = {"G": "galactic", "E": "ecliptic", "C": "icrs"}[system]
        turned = coordinates.cartesian.xyz.value.T @ frame_rotation(name).T
        theirs = coordinates.transform_to(FRAMES[system]).represent_as("unitspherical").to_cartesian().xyz.value.T
        np.testing.assert_allclose(turned, theirs, atol=1e-9)


def spread_bits(numbers):
    """0b1011 -> 0b1000101: by text, so that it shares nothing with the reader."""
    return np.array([int("0".join(f"{number:b}"), 2) for number in numbers])


def write_hips(folder, order=1, width=16, frame="equatorial", tiles=None, scale=1.0, **properties):
    """A tree whose pixels are their cells' nested numbers, times ``scale``, at ``order``."""
    lines = {"hips_order": order, "hips_frame": frame, "hips_tile_width": width, "hips_tile_format": "fits"}
    folder.mkdir(exist_ok=True)
    text = [f"{key:<20} = {value}" for key, value in (lines | properties).items()]
    (folder / "properties").write_text("\n".join(["# made for a test", *text]))
    row, column = np.mgrid[:width, :width]
    spread = spread_bits(range(width))
    for tile in range(12 * 4**order) if tiles is None else tiles:
        path = folder / f"Norder{order}" / f"Dir{tile // 10000 * 10000}" / f"Npix{tile}.fits"
        path.parent.mkdir(parents=True, exist_ok=True)
        cells = tile * width**2 + spread[width - 1 - row] + 2 * spread[column]
        fits.writeto(path, (cells * scale).astype(np.float32), fits.Header({"BUNIT": "K_CMB"}), overwrite=True)
    return folder


@pytest.mark.parametrize(("frame", "system"), [("equatorial", "icrs"), ("galactic", "galactic")])
def test_hips_pixels_are_healpix_cells(tmp_path, frame, system):
    reader = open_map([write_hips(tmp_path / "hips", frame=frame)])
    assert isinstance(reader, HipsReader)
    assert (reader.nside, reader.bands, reader.units) == (32, ("hips",), "K_CMB")
    ra, dec = positions()
    cells = HEALPix(32, "nested", system).skycoord_to_healpix(SkyCoord(ra, dec, unit="deg"))
    np.testing.assert_array_equal(reader.values(ra, dec)[:, 0], cells)


def test_hips_orders_bands_and_gaps(tmp_path):
    """The coarsest order that is fine enough; missing tiles are not valid; one tree a band."""
    first = write_hips(tmp_path / "w1", order=1, tiles=[3, 4, 5])
    write_hips(first, order=2, tiles=[16, 17])
    second = write_hips(tmp_path / "w2", order=1, tiles=[3, 5], scale=10)
    write_hips(second, order=2, tiles=[17], scale=10)
    reader = open_map([first, second], bands=("W1", "W2"))
    assert (reader.nside, reader.bands) == (64, ("W1", "W2"))
    coarse = open_map([first, second], bands=("W1", "W2"), pixel_scale_arcsec=7000)
    assert coarse.nside == 32
    assert open_map([first, second], pixel_scale_arcsec=4000).nside == 64
    cells = np.array([3, 4, 5, 6]) * 256 + 17
    np.testing.assert_array_equal(
        coarse.cell_values(cells), [[785, 7850], [1041, np.nan], [1297, 12970], [np.nan, np.nan]]
    )
    longitude, latitude = healpix_to_lonlat(cells, 32, order="nested")
    assert coarse.contains(longitude.to_value("deg"), latitude.to_value("deg")).tolist() == [True, False, True, False]


def test_real_planck_tiles_are_the_maps_made_of_them(shared_data, tmp_path):
    """Nine tiles of Planck's 143 GHz map, as HiPS and as HEALPix: the three maps made of them, to the bit."""
    planck = shared_data / "planck143"
    tree = tmp_path / "tree"
    (tree / "Norder3" / "Dir0").mkdir(parents=True)
    shutil.copy(planck / "tiles" / "properties", tree)
    spread = spread_bits(range(256))
    row, column = np.mgrid[:256, :256]
    cells, values = [], []
    for tile in sorted((planck / "tiles").glob("Npix*.fits")):
        shutil.copy(tile, tree / "Norder3" / "Dir0")
        data = np.frombuffer(tile.read_bytes()[2880:], ">f4").reshape(256, 256)
        cells.append((int(tile.stem[4:]) * 65536 + spread[255 - row] + 2 * spread[column]).ravel())
        values.append(data.ravel())
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column("PIXEL", "J", array=np.concatenate(cells)),
            fits.Column("I_STOKES", "E", array=np.concatenate(values), unit="K_CMB"),
        ]
    )
    table.header.update(PIXTYPE="HEALPIX", ORDERING="NESTED", NSIDE=2048, COORDSYS="GALACTIC", INDXSCHM="EXPLICIT")
    table.writeto(tmp_path / "partial.fits")
    for reader in (open_map([tree]), open_map([tmp_path / "partial.fits"])):
        assert reader.nside == 2048
        for path in sorted((planck / "maps").glob("*.fits")):
            sky = read_sky_map([path])
            np.testing.assert_array_equal(reader.read_on(sky.wcs, sky.shape).data, sky.data)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda at: [write_healpix(at / "m.fits", order="NUNIQ")], r"m\.fits has ORDERING='NUNIQ'; RING or NESTED"),
        (lambda at: [write_healpix(at / "m.fits", system="X")], r"m\.fits has COORDSYS='X'; G \(galactic\), C"),
        (lambda at: [write_healpix(at / "m.fits", cells=[])], r"m\.fits has no pixels"),
        (lambda at: [f"{write_healpix(at / 'm.fits')}[U]"], r"m\.fits has no column 'U'; it has I"),
        (lambda at: [write_healpix(at / "m.fits"), write_healpix(at / "n.fits", order="RING")], "differ in NSIDE"),
        (lambda at: [write_hips(at / "h", tiles=[])], r"h holds no FITS tiles \(NorderK/DirD/NpixN\.fits\)"),
        (lambda at: [write_hips(at / "h", frame="mars")], "hips_frame='mars'; one of galactic, equatorial"),
        (lambda at: [write_hips(at / "h"), write_hips(at / "g", frame="galactic")], "differ in frame, order or tile"),
        (
            lambda at: [write_hips(at / "h", width=8, hips_tile_width=16)],
            r"has \(8, 8\) pixels; hips_tile_width says 16",
        ),
        (lambda at: [at], "holds no FITS images, nor is it a HiPS"),
        (lambda at: [], r"images=\[\] must be a list of one path"),
    ],
)
def test_maps_that_cannot_be(tmp_path, make, message):
    paths = make(tmp_path)
    with pytest.raises(InputError, match=message):
        open_map(paths).values(*positions(10))


def test_another_number_of_bands(tmp_path):
    with pytest.raises(InputError, match=r"m\.fits has 1 bands \(I\); 2 are needed"):
        open_map([write_healpix(tmp_path / "m.fits")], bands=("a", "b"))
    with pytest.raises(InputError, match=r"1 HiPS folders were given; one a band is needed: a, b"):
        open_map([write_hips(tmp_path / "h")], bands=("a", "b"))
    with pytest.raises(InputError, match="interpolation='cubic' is unknown; use one of nearest, bilinear"):
        HealpixReader([tmp_path / "m.fits"], interpolation="cubic")


def test_a_folder_that_changes_is_told(tmp_path):
    folder = write_hips(tmp_path / "hips")
    before = file_stamps([folder])
    assert file_stamps([folder]) == before
    (folder / "Norder1" / "Dir0" / "Npix3.fits").unlink()
    assert file_stamps([folder]) != before
