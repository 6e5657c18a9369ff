"""Labelled images: every way they can come, how they are split, and every way they can be wrong."""

import collections
import pathlib

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from PIL import Image

from clusterjax.config import DataConfig
from clusterjax.data.preprocess import Preprocess
from clusterjax.data.sources import open_source
from clusterjax.data.statistics import BandStatistics, fit_band_statistics
from clusterjax.errors import InputError
from tfds_builders.labelled_images.labelled_images_dataset_builder import make_builder
from tfds_builders.labelled_images.list_folder import main as list_folder
from tfds_builders.labelled_images.listing import Entry, list_images
from tfds_builders.labelled_images.reading import read_pixels, read_square
from tfds_builders.labelled_images.splitting import assign_splits, group_positions, shared_positions

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # array_record leaves its files to the collector


def write_grey(path: pathlib.Path, seed: int = 0, size: int = 12) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def make_folder(folder: pathlib.Path, counts: dict[str, int], size: int = 12) -> pathlib.Path:
    for label, count in counts.items():
        for number in range(count):
            write_grey(folder / label / f"{number:03}.png", seed=hash_of(label, number), size=size)
    return folder


def hash_of(label: str, number: int) -> int:
    return sum(map(ord, label)) * 1000 + number


def config(images, tmp_path, **changes) -> DataConfig:
    return DataConfig(builder="labelled_images", images=str(images), data_dir=str(tmp_path / "datasets"), **changes)


def build(images, tmp_path, **changes):
    builder = make_builder(config(images, tmp_path, **changes))
    builder.download_and_prepare()
    return builder


def test_folder_of_classes_becomes_a_data_set(tmp_path):
    folder = make_folder(tmp_path / "images", {"spiral": 20, "elliptical": 10})
    builder = build(folder, tmp_path)
    sizes = {name: split.num_examples for name, split in builder.info.splits.items()}
    assert sizes == {"train": 18, "validation": 6, "test": 6}
    source = open_source(builder, "test")
    assert source.class_names == ("elliptical", "spiral")
    columns = source.columns(["label", "file", "ra_deg", "object_id"])
    assert collections.Counter(columns["label"].tolist()) == {0: 2, 1: 4}
    assert np.isnan(columns["ra_deg"]).all()
    for index, file in enumerate(columns["file"]):
        record = source[index]
        np.testing.assert_array_equal(record["image"][..., 0], np.asarray(Image.open(folder / file), np.float32))
        assert source.class_names[record["label"]] == file.split("/")[0]
    ids = np.concatenate([open_source(builder, split).columns(["object_id"])["object_id"] for split in sizes])
    assert len(set(ids.tolist())) == 30


def test_statistics_are_those_of_the_training_split_alone(tmp_path):
    builder = build(make_folder(tmp_path / "images", {"a": 20, "b": 20}), tmp_path)
    builder = make_builder(config(tmp_path / "images", tmp_path))  # read back from disk
    source = open_source(builder, "train")
    images = np.stack([source[i]["image"] for i in range(len(source))])
    assert source.band_statistics == fit_band_statistics(images, ("grey",))
    median = np.median(images, axis=(1, 2), keepdims=True)
    subtracted = BandStatistics.from_dict(source.metadata["band_statistics_median_subtracted"])
    np.testing.assert_allclose(subtracted.scale, fit_band_statistics(images - median, ("grey",)).scale, rtol=1e-5)
    out = Preprocess.from_metadata(DataConfig(), source.metadata)(images)
    assert abs(out.mean()) < 0.01
    assert out.std() == pytest.approx(1, abs=0.01)


def test_given_splits_are_kept_and_the_missing_one_is_taken_from_train(tmp_path):
    for split, count in (("train", 20), ("valid", 5)):
        make_folder(tmp_path / "images" / split, {"a": count, "b": count})
    builder = make_builder(config(tmp_path / "images", tmp_path, test_fraction=0.1))
    splits = collections.Counter((e.split, e.path.parents[1].name) for e in builder.builder_config.entries)
    assert splits == {("train", "train"): 36, ("test", "train"): 4, ("validation", "valid"): 10}
    none = make_builder(config(tmp_path / "images", tmp_path, test_fraction=0.0))
    assert {e.split for e in none.builder_config.entries} == {"train", "validation"}


@pytest.mark.parametrize("ending", ["csv", "ecsv", "fits"])
def test_tables(tmp_path, ending):
    """Positions to the milliarcsecond, splits and labels as the table says; files relative to the table."""
    rows = [(f"pixels/{i}.png", "ab"[i % 2], ("train", "val", "TEST")[i % 3], 10 + i / 7, -i / 3) for i in range(12)]
    for number, row in enumerate(rows):
        write_grey(tmp_path / row[0], seed=number)
    table = Table(rows=rows, names=("File", "class", "split", "ra", "dec"))
    table.write(tmp_path / f"table.{ending}", format={"csv": "ascii.csv", "ecsv": "ascii.ecsv"}.get(ending))
    builder = build(tmp_path / f"table.{ending}", tmp_path)
    for split, offset in (("train", 0), ("validation", 1), ("test", 2)):
        columns = open_source(builder, split).columns(["label", "ra_deg", "dec_deg", "file"])
        expected = np.arange(offset, 12, 3)
        np.testing.assert_array_equal(columns["label"], expected % 2)
        np.testing.assert_allclose(columns["ra_deg"], 10 + expected / 7, atol=1e-10)
        np.testing.assert_allclose(columns["dec_deg"], -expected / 3, atol=1e-10)
        assert columns["file"].tolist() == [f"pixels/{i}.png" for i in expected]


def test_numbered_classes_are_sorted_by_value(tmp_path):
    folder = make_folder(tmp_path / "images", {"10": 4, "9": 4, "2": 4})
    assert make_builder(config(folder, tmp_path)).builder_config.classes == ("2", "9", "10")


def test_formats(tmp_path):
    """What each kind of file gives, pixel by pixel."""
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (7, 9, 3), np.uint8)
    grey16 = rng.integers(0, 65536, (7, 9)).astype(np.uint16)
    Image.fromarray(rgb).save(tmp_path / "rgb.png")
    Image.fromarray(np.dstack([rgb, rgb[..., 0]])).save(tmp_path / "rgba.png")
    Image.fromarray(grey16).save(tmp_path / "grey16.png")
    Image.fromarray(rgb[..., 0]).convert("P").save(tmp_path / "palette.png")
    Image.fromarray(np.full((7, 9, 3), 90, np.uint8)).save(tmp_path / "flat.jpg")
    cube = rng.normal(size=(2, 7, 9)).astype(">f4")
    fits.PrimaryHDU(cube).writeto(tmp_path / "cube.fits")
    colour = ("red", "green", "blue")
    for name, expected, bands in (
        ("rgb.png", rgb, colour),
        ("rgba.png", rgb, colour),
        ("grey16.png", grey16[..., None], ("grey",)),
        ("palette.png", rgb[..., :1], ("grey",)),
        ("flat.jpg", np.full((7, 9, 3), 90), colour),
        ("cube.fits", np.moveaxis(cube, 0, -1), ("band_1", "band_2")),
    ):
        pixels, names = read_pixels(tmp_path / name)
        assert names == bands, name
        assert pixels.dtype == np.float32
        np.testing.assert_array_equal(pixels, np.asarray(expected, np.float32), err_msg=name)


def test_square_cut_and_antialiased_resample(tmp_path):
    """A wide image loses its sides; shrinking by 4 is the mean of a smooth field; NaN neither spreads nor vanishes."""
    y, x = np.mgrid[:32, :48].astype(np.float32)
    plane = 3 * y + 2 * x
    gap = plane.copy()
    gap[:8, 8:16] = np.nan
    fits.PrimaryHDU(np.stack([plane, gap])).writeto(tmp_path / "plane.fits")
    pixels, _ = read_square(tmp_path / "plane.fits", 8)
    assert pixels.shape == (8, 8, 2)
    centre = np.arange(8) * 4 + 1.5
    expected = 3 * centre[:, None] + 2 * (centre[None] + 8)
    np.testing.assert_allclose(pixels[1:-1, 1:-1, 0], expected[1:-1, 1:-1], rtol=1e-5)
    assert np.isnan(pixels[0, 0, 1])
    assert np.isfinite(pixels[3:, 3:, 1]).all()
    np.testing.assert_allclose(pixels[3:, 3:, 1], pixels[3:, 3:, 0], rtol=1e-5)


def entries_of(counts, **positions) -> list[Entry]:
    labels = [label for label, count in counts.items() for _ in range(count)]
    return [Entry(pathlib.Path(str(i)), label, None, *positions.get(str(i), ())) for i, label in enumerate(labels)]


def split_of(entries, **options):
    options = {"validation_fraction": 0.2, "test_fraction": 0.1, "seed": 0} | options
    return [entry.split for entry in assign_splits(entries, **options)]


def test_splits_are_stratified_and_follow_the_seed():
    entries = entries_of({"rare": 10, "common": 200})
    splits = split_of(entries)
    assert splits == split_of(entries)
    assert splits != split_of(entries, seed=1)
    counts = collections.Counter(zip([e.label for e in entries], splits, strict=True))
    assert counts[("rare", "validation")] == 2
    assert counts[("rare", "test")] == 1
    assert counts[("common", "validation")] == 40
    assert counts[("common", "test")] == 20
    more = split_of(entries_of({"rare": 10, "common": 250}))
    assert more[:10] == splits[:10]  # another class's images do not move this one's


def test_images_of_one_position_stay_together():
    rng = np.random.default_rng(0)
    ra, dec = rng.uniform(0, 360, 40), rng.uniform(-60, 80, 40)
    ra[0], dec[0] = 359.9999999, 10.0
    shifted = (ra + 1.0 / 3600 / np.cos(np.deg2rad(dec))) % 360  # 1 arcsec east, one of them across RA = 0
    entries = [
        Entry(pathlib.Path(f"{i}{j}"), "ab"[i % 2], None, float(value), float(dec[i]))
        for j, values in enumerate((ra, shifted))
        for i, value in enumerate(values)
    ]
    groups = group_positions(entries)
    np.testing.assert_array_equal(groups[:40], groups[40:])
    assert len(set(groups.tolist())) == 40
    splits = split_of(entries)
    assert splits[:40] == splits[40:]
    assert set(splits) == {"train", "validation", "test"}
    leaky = [Entry(e.path, e.label, "test" if i == 3 else "train", e.ra_deg, e.dec_deg) for i, e in enumerate(entries)]
    assert shared_positions(leaky) == 1
    assert group_positions(entries_of({"a": 5})).tolist() == [0, 1, 2, 3, 4]  # unknown positions are not one position


def test_changed_images_make_another_data_set(tmp_path):
    folder = make_folder(tmp_path / "images", {"a": 6, "b": 6})
    name = make_builder(config(folder, tmp_path)).builder_config.name
    assert make_builder(config(folder, tmp_path)).builder_config.name == name
    assert make_builder(config(folder, tmp_path, image_size=6)).builder_config.name != name
    assert make_builder(config(folder, tmp_path, crop_pixels=6)).builder_config.name != name
    write_grey(folder / "a" / "new.png")
    assert make_builder(config(folder, tmp_path)).builder_config.name != name


def test_unreadable_image_is_named_and_left_out_only_where_asked(tmp_path):
    folder = make_folder(tmp_path / "images", {"a": 12, "b": 12})
    broken = folder / "b" / "005.png"
    broken.write_bytes(broken.read_bytes()[:60])
    with pytest.raises(InputError, match=r"b/005\.png cannot be read.*skip_unreadable"):
        build(folder, tmp_path)
    assert not list((tmp_path / "datasets").rglob("*.array_record*"))
    builder = build(folder, tmp_path, skip_unreadable=True)
    assert sum(split.num_examples for split in builder.info.splits.values()) == 23
    assert builder.info.metadata["unreadable"] == [str(broken)]


def test_mixed_bands_are_named(tmp_path):
    folder = make_folder(tmp_path / "images", {"a": 5, "b": 5})
    colour = folder / "b" / "002.png"
    Image.open(colour).convert("RGB").save(colour)
    pixels = np.asarray(Image.open(colour)).copy()
    pixels[0, 0] = [1, 2, 3]
    Image.fromarray(pixels).save(colour)
    with pytest.raises(InputError, match=r"b/002\.png has 3 bands, others have 1"):
        build(folder, tmp_path, skip_unreadable=True)


def test_class_that_cannot_be_read_at_all(tmp_path):
    folder = make_folder(tmp_path / "images", {"a": 5, "b": 5})
    for path in (folder / "b").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(InputError, match="class 'b' has no training images"):
        build(folder, tmp_path, skip_unreadable=True)


def test_wrong_folders_are_named(tmp_path):
    def refuses(images, match, **changes):
        with pytest.raises(InputError, match=match):
            make_builder(config(images, tmp_path, **changes))

    refuses("", "config.data.images is empty")
    refuses(tmp_path / "nowhere", "does not exist")
    (tmp_path / "empty").mkdir()
    refuses(tmp_path / "empty", "holds no images")
    write_grey(tmp_path / "flat" / "1.png")
    refuses(tmp_path / "flat", "no class folders")
    refuses(make_folder(tmp_path / "one", {"a": 5}), "one class, 'a'")
    make_folder(tmp_path / "mixed" / "train", {"a": 5})
    make_folder(tmp_path / "mixed", {"b": 5})
    refuses(tmp_path / "mixed", "split folder 'train' beside 'b'")
    make_folder(tmp_path / "untrained" / "train", {"a": 5})
    make_folder(tmp_path / "untrained" / "test", {"a": 5, "b": 5})
    refuses(tmp_path / "untrained", "class 'b' has no training images")
    make_folder(tmp_path / "testonly" / "test", {"a": 5, "b": 5})
    refuses(tmp_path / "testonly", "no train split")
    good = make_folder(tmp_path / "good", {"a": 5, "b": 5})
    refuses(good, "leave nothing to train on", validation_fraction=0.6, test_fraction=0.4)


def test_wrong_tables_are_named(tmp_path):
    write_grey(tmp_path / "1.png")

    def refuses(text, match):
        (tmp_path / "table.csv").write_text(text)
        with pytest.raises(InputError, match=match):
            make_builder(config(tmp_path / "table.csv", tmp_path))

    refuses("file,colour\n1.png,red\n", "has no label column; it has file, colour")
    refuses("picture,label\n1.png,a\n", "has no file column")
    refuses("file,label\n1.png,a\n1.png,\n", "row 2 has no label")
    refuses("file,label,split\n1.png,a,train\n1.png,b,tset\n", "split='tset' in row 2")
    refuses("file,label,ra,dec\n1.png,a,10,95\n1.png,b,10,20\n", "beyond 90 degrees")
    many = "\n".join(f"1.png,{'ab'[i % 2]}" for i in range(10))
    refuses(f"file,label\n{many}\n".replace("1.png", "gone.png"), r"gone\.png does not exist")


def test_list_folder_reads_positions_from_names(tmp_path, capsys):
    for number, name in enumerate(["150.5_-2.25_x.png", "10.125_40_y.png"]):
        write_grey(tmp_path / "images" / "ab"[number] / name)
    list_folder([str(tmp_path / "images"), "--positions", r"^(?P<ra>[\d.]+)_(?P<dec>-?[\d.]+)_"])
    assert "2 images" in capsys.readouterr().out
    entries = list_images(str(tmp_path / "images" / "images.csv"))
    assert [(e.label, e.ra_deg, e.dec_deg) for e in entries] == [("a", 150.5, -2.25), ("b", 10.125, 40.0)]
    assert all(e.path.is_file() for e in entries)
    with pytest.raises(SystemExit, match="does not fit the file name"):
        list_folder([str(tmp_path / "images"), "--positions", r"^(?P<ra>z)(?P<dec>z)"])


def test_opening_what_is_not_there(tmp_path):
    folder = make_folder(tmp_path / "images", {"a": 5, "b": 5})
    with pytest.raises(InputError, match="is not built"):
        open_source(make_builder(config(folder, tmp_path)), "train")
    with pytest.raises(InputError, match="no split 'test'; it has train, validation"):
        open_source(build(folder, tmp_path, test_fraction=0.0), "test")


def test_real_radio_galaxies(shared_data, tmp_path):
    """A few real images from the zip, unpacked as a person would."""
    import zipfile

    with zipfile.ZipFile(shared_data / "radio_galaxies" / "train_valid.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".png")]
        archive.extractall(tmp_path / "images", names[::20])
    builder = build(tmp_path / "images", tmp_path, image_size=64)
    assert builder.builder_config.classes == ("Bent", "Compact", "FRI", "FRII")
    source = open_source(builder, "train")
    assert source[0]["image"].shape == (64, 64, 1)
    for index in (0, len(source) - 1):
        record = source[index]
        original = np.asarray(Image.open(tmp_path / "images" / record["file"].decode()), np.float64)
        blocks = original[:, 6:-6][6:-6].mean()  # the filter treats the edge pixels otherwise
        assert record["image"][1:-1, 1:-1].mean() == pytest.approx(blocks, rel=0.05)


def test_crop_keeps_the_middle(tmp_path):
    pixels = np.arange(12 * 9, dtype=np.uint8).reshape(12, 9)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    cropped, _ = read_square(tmp_path / "a.png", None, crop=3)
    np.testing.assert_array_equal(cropped[..., 0], pixels[4:7, 3:6])
    assert read_square(tmp_path / "a.png", 6, crop=3)[0].shape == (6, 6, 1)
    with pytest.raises(InputError, match=r"a.png has 9x12 pixels, fewer than config.data.crop_pixels=10"):
        read_square(tmp_path / "a.png", None, crop=10)
