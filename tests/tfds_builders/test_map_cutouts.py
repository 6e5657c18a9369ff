"""Cutouts of local maps: the map's own pixels, empty sky that is empty, splits that share none, leaks that are seen."""

import dataclasses
import functools
import tracemalloc

import numpy as np
import pytest
from absl import logging
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table

from clusterjax.config import DataConfig
from clusterjax.data.sources import open_source
from clusterjax.errors import InputError
from clusterjax.sky.cutouts import extract_cutouts
from clusterjax.sky.fits import write_sky_map
from clusterjax.sky.geometry import make_wcs, pixel_to_sky
from clusterjax.sky.skymap import SkyMap
from tfds_builders.generation import _in_processes
from tfds_builders.map_cutouts import plan
from tfds_builders.map_cutouts.cutting import cut
from tfds_builders.map_cutouts.map_cutouts_dataset_builder import make_builder

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # array_record leaves its files to the collector

SIZE = 16
SPLITS = ("train", "validation", "test")


def make_map(seed=0, shape=(500, 600), ra_deg=30.0, holes=True):
    """Ten degrees of noise in 1 arcmin pixels, with a gap."""
    data = np.random.default_rng(seed).normal(size=(*shape, 2)).astype(np.float32)
    if holes:
        data[100:140, 200:260] = np.nan
    wcs = make_wcs(shape, ra_deg=ra_deg, dec_deg=-5.0, pixel_scale_arcsec=60.0)
    return SkyMap(data, wcs, np.isfinite(data).all(axis=2), ("a", "b"), "uK")


def make_catalogue(sky, number=240, seed=1):
    y, x = np.random.default_rng(seed).uniform(0, 1, (2, number)) * (np.array(sky.shape) - 1)[:, None]
    ra, dec = sky.pixel_to_sky(y, x)
    kinds = np.resize(["phot", "spec", ""], number)  # named as in ACT's catalogues
    return Table({"RA": ra, "Dec": dec, "redshift": np.linspace(0.1, 1, number), "redshiftType": kinds})


@pytest.fixture
def make(tmp_path):
    """Builds, from (name, map) pairs and a catalogue."""

    def build(maps, catalogue, **changes):
        names = []
        for name, sky in maps.items():
            files = [str(tmp_path / f"{name}_{band}.fits") for band in sky.bands]
            for band, file in enumerate(files):
                write_sky_map(
                    file,
                    dataclasses.replace(sky, data=sky.data[..., band : band + 1], bands=sky.bands[band : band + 1]),
                )
            names.append("+".join(files))
        catalogue.write(tmp_path / "known.ecsv", overwrite=True)
        config = {"simulated_size": SIZE, "block_nside": 64, "exclusion_arcmin": 15.0, **changes}
        builder = make_builder(
            DataConfig(
                builder="map_cutouts", data_dir=str(tmp_path / "data"), maps=tuple(names),
                catalogue=str(tmp_path / "known.ecsv"), **config,
            )
        )  # fmt: skip
        builder.download_and_prepare()
        return builder

    return build


def records(builder, split):
    source = open_source(builder, split)
    return [source[i] for i in range(len(source))]


def positions(rows):
    return SkyCoord([row["ra_deg"] for row in rows], [row["dec_deg"] for row in rows], unit="deg")


def test_cutouts_of_a_map(make):
    sky = make_map()
    catalogue = make_catalogue(sky)
    builder = make({"field": sky}, catalogue)
    metadata = builder.info.metadata
    assert (metadata["bands"], metadata["units"]) == (["a", "b"], "uK")
    assert metadata["pixel_scale_arcsec"] == pytest.approx(60, rel=1e-3)
    known = SkyCoord(catalogue["RA"], catalogue["Dec"], unit="deg")
    names = builder.info.features["object_type"].names
    kinds = builder.info.features["redshift_kind"].names
    splits = {split: records(builder, split) for split in SPLITS}
    for rows in splits.values():
        here = positions(rows)
        nearest = here.match_to_catalog_sky(known)
        for row, index, separation in zip(rows, nearest[0], nearest[1].arcmin, strict=True):
            y, x = sky.sky_to_pixel(row["ra_deg"], row["dec_deg"])
            top, left = round(float(y) - (SIZE - 1) / 2), round(float(x) - (SIZE - 1) / 2)
            np.testing.assert_array_equal(row["image"], sky.data[top : top + SIZE, left : left + SIZE])
            if names[row["object_type"]] == "cluster":
                assert row["label"] == 1
                assert separation < 1e-6
                assert row["redshift"] == pytest.approx(catalogue["redshift"][index])
                assert kinds[row["redshift_kind"]] == (catalogue["redshiftType"][index] or "unknown")
            else:
                assert row["label"] == 0
                assert separation > 15.0
                assert np.isnan(row["redshift"])
                assert kinds[row["redshift_kind"]] == "unknown"
    # No two splits share a pixel: centres are further apart than a cutout's diagonal.
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        separation = positions(splits[one]).match_to_catalog_sky(positions(splits[other]))[1]
        assert separation.arcmin.min() > SIZE * np.sqrt(2)
    leak = metadata["leak_check"]
    assert abs(leak["auc"] - 0.5) < 4 * leak["error"]


def test_two_maps_and_classes_by_type(make):
    one, two = make_map(), make_map(seed=3, ra_deg=60.0, holes=False)
    catalogue = make_catalogue(one)
    catalogue["label"] = np.where(np.arange(len(catalogue)) % 3 == 0, "star", "cluster")
    builder = make({"one": one, "two": two}, catalogue, binary=False, random_per_object=2.0)
    assert builder.info.features["label"].names == ["cluster", "random", "star"]
    counts = dict.fromkeys(builder.info.features["label"].names, 0)
    for split in SPLITS:
        for row in records(builder, split):
            counts[builder.info.features["label"].names[row["label"]]] += 1
    assert counts["star"] > 30
    assert counts["random"] == pytest.approx(2 * (counts["star"] + counts["cluster"]), rel=0.2)


def test_a_footprint_that_tells_the_label_is_called_out(make, monkeypatch):
    """All objects in the deep half, whose background is higher."""
    warnings = []
    monkeypatch.setattr(logging, "warning", lambda *args: warnings.append(args))
    sky = make_map(holes=False)
    sky.data[:, :300] += 5
    catalogue = make_catalogue(sky)
    _, x = sky.sky_to_pixel(np.array(catalogue["RA"]), np.array(catalogue["Dec"]))
    builder = make({"field": sky}, catalogue[x < 290])
    assert builder.info.metadata["leak_check"]["auc"] > 0.7
    assert any("learn the footprint" in warning[0] for warning in warnings)


def test_the_same_seed_cuts_the_same(make):
    sky = make_map()
    catalogue = make_catalogue(sky)
    one = make({"field": sky}, catalogue)
    again = [positions(records(builder, "test")) for builder in (one, make({"field": sky}, catalogue))]
    assert again[0].separation(again[1]).max() == 0
    other = make({"field": sky}, catalogue, seed=1)
    assert other.info.full_name != one.info.full_name


def test_maps_of_the_same_sky_with_objects_of_their_own(make, tmp_path):
    """As injected clusters come: rows name their map; a pattern stands for both files."""
    one = make_map(holes=False)
    two = dataclasses.replace(one, data=one.data + 100)
    catalogue = make_catalogue(one)
    catalogue["map"] = np.where(np.arange(len(catalogue)) % 2, "one_a.fits", "two_a.fits")
    builder = make({"one": one, "two": two}, catalogue)
    known = {name: SkyCoord(*(catalogue[c][catalogue["map"] == name] for c in ("RA", "Dec")), unit="deg")
             for name in set(catalogue["map"])}  # fmt: skip
    for row in records(builder, "train"):
        if row["label"] == 1:
            name = "two_a.fits" if row["image"].mean() > 50 else "one_a.fits"
            assert SkyCoord(row["ra_deg"], row["dec_deg"], unit="deg").separation(known[name]).arcsec.min() < 1e-3
    config = {"catalogue": str(tmp_path / "known.ecsv"), "simulated_size": SIZE, "block_nside": 64}
    del catalogue["map"]
    catalogue.write(tmp_path / "known.ecsv", overwrite=True)
    for pattern, files in (("*_a.fits", ["one_a.fits", "two_a.fits"]), ("tw?_a.fits", ["two_a.fits"])):
        found = make_builder(DataConfig(data_dir=str(tmp_path), maps=(str(tmp_path / pattern),), **config))
        assert [name.rsplit("/", 1)[1] for name in found.builder_config.maps] == files
    with pytest.raises(InputError, match=r"no file fits .*none\*\.fits"):
        make_builder(DataConfig(data_dir=str(tmp_path), maps=(str(tmp_path / "none*.fits"),), **config))


def test_maps_are_read_once_until_one_changes(make, monkeypatch, tmp_path):
    """Each job of a run asks for the builder."""
    opened = []
    real = plan.open_entry
    monkeypatch.setattr(plan, "open_entry", lambda *args: opened.append(args[0]) or real(*args))
    sky = make_map()
    first = make({"field": sky}, make_catalogue(sky))
    settings = {"maps": first.builder_config.maps, "catalogue": str(tmp_path / "known.ecsv"), "simulated_size": SIZE}
    config = DataConfig(data_dir=str(tmp_path / "data"), block_nside=64, exclusion_arcmin=15.0, **settings)
    names = [make_builder(config).info.full_name for _ in range(3)]
    assert len(opened) == 1
    assert set(names) == {first.info.full_name}
    (tmp_path / "field_a.fits").touch()
    assert make_builder(config).info.full_name != first.info.full_name
    assert len(opened) == 2


def test_what_cannot_be(make, tmp_path):
    sky = make_map()
    catalogue = make_catalogue(sky)
    with pytest.raises(InputError, match=r"config\.data\.maps is empty; give FITS maps"):
        make({}, catalogue)
    with pytest.raises(InputError, match=r"no room for \d+ empty positions 400 arcmin away from 240 known objects"):
        make({"field": sky}, catalogue, exclusion_arcmin=400.0)
    elsewhere = catalogue.copy()
    elsewhere["RA"] += 90
    with pytest.raises(InputError, match=r"the maps hold 0 objects of known\.ecsv and 0 empty positions"):
        make({"field": sky}, elsewhere)
    wcs = make_wcs(sky.shape, ra_deg=60, dec_deg=0, pixel_scale_arcsec=90.0)
    coarse = dataclasses.replace(sky, wcs=wcs, pixel_scale_arcsec=None)
    with pytest.raises(InputError, match=r'has 90\.\d+" pixels, .* has 60\.\d+"; all maps of a data set must'):
        make({"field": sky, "coarse": coarse}, catalogue)
    catalogue["type"] = "galaxy"
    with pytest.raises(InputError, match=r"has the types galaxy, random and no 'cluster'"):
        make({"field": sky}, catalogue)
    with pytest.raises(InputError, match=r"config\.data\.catalogue is empty"):
        make_builder(DataConfig(builder="map_cutouts", data_dir=str(tmp_path), maps=("a.fits",)))


def test_memory_does_not_grow_with_the_map(sparse_map, tmp_path):
    """A map of 256 MB, cut within 20; the plan reads single pixels, the cutouts windows."""
    shape = (8_000, 8_000)
    wcs = make_wcs(shape, ra_deg=30.0, dec_deg=-5.0, pixel_scale_arcsec=10.0)
    path = sparse_map("large.fits", shape, wcs)
    rng = np.random.default_rng(0)
    ra, dec = pixel_to_sky(wcs, *rng.uniform(0, 7_999, (2, 300)))
    Table({"ra": ra, "dec": dec}).write(tmp_path / "known.ecsv")
    settings = {"maps": (str(path),), "catalogue": str(tmp_path / "known.ecsv"), "data_dir": str(tmp_path / "data")}
    config = DataConfig(**settings, simulated_size=16, block_nside=64, exclusion_arcmin=1.0)
    make_builder(dataclasses.replace(config, seed=5)).download_and_prepare()  # imports
    tracemalloc.start()
    builder = make_builder(config)
    builder.download_and_prepare()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(split.num_examples for split in builder.info.splits.values()) > 300
    assert peak < 20e6


def test_cutting_in_processes_is_cutting_in_one(tmp_path):
    """By file name alone: each worker opens the map itself."""
    sky = make_map()
    write_sky_map(tmp_path / "map.fits", sky)
    ra, dec = sky.pixel_to_sky(*np.random.default_rng(0).uniform(20, 480, (2, 100)))
    tasks = list(np.stack([np.zeros(100), ra, dec], axis=1))
    cut_here = functools.partial(cut, (str(tmp_path / "map.fits"),), ("a", "b"), "", SIZE, "version")
    chunks = [tasks[start : start + 30] for start in range(0, 100, 30)]
    ours = [result for chunk in chunks for result in cut_here(chunk)]
    theirs = [result for chunk in _in_processes(cut_here, chunks, 2) for result in chunk]
    truth, fraction = extract_cutouts(sky, ra, dec, SIZE)
    for one, other, image, valid in zip(ours, theirs, truth, fraction, strict=True):
        np.testing.assert_array_equal(one[0], image)
        np.testing.assert_array_equal(other[0], image)
        assert one[1] == other[1] == pytest.approx(float(valid))
        border = np.concatenate([image[0], image[-1], image[1:-1, 0], image[1:-1, -1]])
        np.testing.assert_allclose(
            one[2], [np.median(b[np.isfinite(b)]) if np.isfinite(b).any() else np.nan for b in border.T]
        )


def test_maps_of_every_kind(tmp_path):
    """A HEALPix file, a HiPS folder: cutouts at the cells' own scale, centred on their objects."""
    nside = 512
    table = fits.BinTableHDU.from_columns(
        [fits.Column("I", "E", array=np.random.default_rng(0).normal(size=12 * nside**2), unit="uK")]
    )
    table.header.update(PIXTYPE="HEALPIX", ORDERING="NESTED", NSIDE=nside, COORDSYS="G")
    table.writeto(tmp_path / "sky.fits")
    ra, dec = np.random.default_rng(1).uniform([0, -60], [360, 60], (60, 2)).T
    Table({"ra": ra, "dec": dec}).write(tmp_path / "known.ecsv")
    tree = tmp_path / "hips"
    (tree / "Norder3" / "Dir0").mkdir(parents=True)
    (tree / "properties").write_text("hips_frame = galactic\nhips_tile_width = 64\nhips_order = 3\n")
    for tile in range(768):
        cells = tile * 4096 + hips_cells(64)
        fits.writeto(tree / "Norder3" / "Dir0" / f"Npix{tile}.fits", np.asarray(table.data["I"][cells], np.float32))
    found = []
    for name in ("sky.fits", "hips"):
        builder = make_builder(
            DataConfig(
                maps=(str(tmp_path / name),), catalogue=str(tmp_path / "known.ecsv"), data_dir=str(tmp_path / "data"),
                simulated_size=8, block_nside=4, exclusion_arcmin=60.0,
            )
        )  # fmt: skip
        builder.download_and_prepare()
        assert builder.info.metadata["pixel_scale_arcsec"] == pytest.approx(412.26, abs=0.01)
        found.append(np.stack([row["image"] for split in SPLITS for row in records(builder, split)]))
    np.testing.assert_array_equal(*found)


def hips_cells(width):
    """Nested numbers within a HiPS tile, by text."""
    spread = np.array([int("0".join(f"{number:b}"), 2) for number in range(width)])
    row, column = np.mgrid[:width, :width]
    return spread[width - 1 - row] + 2 * spread[column]


def test_maps_of_other_units_are_converted(make):
    """Two maps of the same sky in uK and in K, their clusters in one each: the same cutouts; others are refused."""
    sky = make_map()
    kelvin = dataclasses.replace(sky, data=(sky.data * np.float32(1e-6)), units="K_CMB")
    builder = make({"micro": sky, "kelvin": kelvin}, make_catalogue(sky))
    assert builder.info.metadata["units"] == "uK"
    found: dict[tuple, list] = {}
    for split in SPLITS:
        for row in records(builder, split):
            if not np.isnan(row["redshift"]):
                found.setdefault((float(row["ra_deg"]), float(row["dec_deg"])), []).append(row["image"])
    assert len(found) > 100
    for one, other in found.values():  # of both maps
        np.testing.assert_allclose(one, other, rtol=1e-5)
    with pytest.raises(InputError, match=r"is in nMgy, which cannot be converted to uK"):
        make({"micro": sky, "fluxes": dataclasses.replace(sky, units="nMgy")}, make_catalogue(sky))


def test_empty_positions_keep_away_from_what_is_no_example(make):
    sky = make_map()
    catalogue = make_catalogue(sky)
    catalogue["object_type"] = np.where(np.arange(len(catalogue)) % 3 == 0, "avoided", "cluster")
    builder = make({"field": sky}, catalogue, random_per_object=2.0)
    assert builder.info.features["object_type"].names == ["cluster", "random"]
    avoided = SkyCoord(catalogue["RA"], catalogue["Dec"], unit="deg")[catalogue["object_type"] == "avoided"]
    for split in SPLITS:
        nearest = positions(records(builder, split)).match_to_catalog_sky(avoided)[1].arcmin
        empty = np.array([np.isnan(row["redshift"]) for row in records(builder, split)])
        assert (nearest[empty] > 15.0).all()
        assert (nearest[~empty] > 1e-3).all()
