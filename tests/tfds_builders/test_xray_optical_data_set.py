"""The X-ray + optical data set: simulated, with experts' and volunteers' labels, and from the published archive."""

import csv
import functools
import hashlib
import io
import itertools
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from clusterjax.config import XRAY_FRACTIONS, DataConfig, ExperimentConfig, SurveyConfig
from clusterjax.config_checks import validate
from clusterjax.data.preprocess import Preprocess
from clusterjax.data.sources import open_source
from clusterjax.errors import InputError
from clusterjax.experiment import make_builder as builder_of
from clusterjax.simulation.knobs import XRAY_CLASS_OF, XRAY_CLASSES, XRAY_OBJECT_TYPES, XrayOpticalSky
from clusterjax.sky.channels import SIX
from clusterjax.sky.surveys.contents import fault
from tests.local_server import Answer, LocalServer
from tfds_builders.simulated_example import simulate_example, simulated_type
from tfds_builders.xray_optical_cutouts import published
from tfds_builders.xray_optical_cutouts.archive import KosibaArchive
from tfds_builders.xray_optical_cutouts.channel_order import find_channels
from tfds_builders.xray_optical_cutouts.xray_optical_cutouts_dataset_builder import make_builder

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # array_record leaves its files to the collector


def data_config(folder, **kwargs):
    sizes = {"num_train": 24, "num_validation": 2, "num_test": 4, "simulated_size": 64}
    return DataConfig(
        builder="xray_optical_cutouts", data_dir=str(folder), num_processes=1,
        object_fractions=dict(XRAY_FRACTIONS), **{**sizes, **kwargs},
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def simulated(folder):
    builder = make_builder(data_config(folder), XrayOpticalSky())
    builder.download_and_prepare()
    return builder


def test_what_is_written_is_what_was_simulated(simulated):
    metadata, features = simulated.info.metadata, simulated.info.features
    assert (metadata["bands"], metadata["units"]) == (["zero", "xray", "optical"], "")
    assert metadata["pixel_scale_arcsec"] == pytest.approx(420 / 356)
    assert tuple(features["object_type"].names) == XRAY_OBJECT_TYPES
    assert features["image"].np_dtype == np.uint8
    source = open_source(simulated, "train")
    made = simulate_example("train", 3, seed=0, sky=XrayOpticalSky(), object_fractions=XRAY_FRACTIONS, size=64)
    np.testing.assert_array_equal(source[3]["image"], made["image"])
    for name in ("flux_cgs", "off_axis_arcmin", "extent_arcsec", "extension_likelihood"):
        np.testing.assert_array_equal(source[3][name], made[name])
    for index in range(24):
        object_type = XRAY_OBJECT_TYPES[source[index]["object_type"]]
        drawn = simulated_type("train", index, seed=0, sky=XrayOpticalSky(), object_fractions=XRAY_FRACTIONS)
        assert drawn == object_type
        assert source[index]["label"] == (object_type in XRAY_OBJECT_TYPES[:2])


def test_what_the_network_sees(simulated):
    """All three channels, some in another order, the empty one as zero."""
    config = data_config("", stretch="linear", subtract_median=False)
    image = open_source(simulated, "train")[0]["image"][None].astype(np.float32)
    whole = Preprocess.from_metadata(config, simulated.info.metadata)(image)
    assert not whole[..., 0].any()
    assert abs(whole[..., 1:].mean()) < 2
    config.bands = ("optical", "xray")
    some = Preprocess.from_metadata(config, simulated.info.metadata)(image)
    np.testing.assert_allclose(some, whole[..., [2, 1]], rtol=1e-6)


def test_five_classes_and_volunteers(simulated, folder):
    """The same pictures under other labels; the test split keeps the truth."""
    binary = open_source(simulated, "train")
    typed = make_builder(data_config(folder, binary=False), XrayOpticalSky())
    typed.download_and_prepare()
    assert tuple(typed.info.features["label"].names) == XRAY_CLASSES
    for one in (open_source(typed, "train")[i] for i in range(24)):
        assert XRAY_CLASSES[one["label"]] == XRAY_CLASS_OF[XRAY_OBJECT_TYPES[one["object_type"]]]
    voted = make_builder(data_config(folder, labels="volunteers"), XrayOpticalSky())
    voted.download_and_prepare()
    names = {builder.info.full_name for builder in (simulated, typed, voted)}
    assert len(names) == 3
    source = open_source(voted, "train")
    assert [source[i]["label"] for i in range(24)] != [binary[i]["label"] for i in range(24)]
    np.testing.assert_array_equal(source[7]["image"], binary[7]["image"])
    test = open_source(voted, "test")
    for record in (test[i] for i in range(4)):
        assert record["label"] == (record["object_type"] < 2)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("labels", ["volunteers", "volunteers_unweighted", "volunteers_dawid_skene"])
def test_volunteers_labels_are_mostly_right(folder, labels, binary):
    """Few clusters are called by the majority, as published; Dawid and Skene find most."""
    config = data_config(folder, labels=labels, num_train=600, binary=binary)
    builder = make_builder(config, XrayOpticalSky())
    called = np.array(builder.change_labels("train"))
    types = [
        simulated_type("train", i, seed=0, sky=XrayOpticalSky(), object_fractions=XRAY_FRACTIONS) for i in range(600)
    ]
    truth = np.array([XRAY_CLASS_OF[name] for name in types])
    is_cluster = np.isin(truth, XRAY_CLASSES[:2])
    if binary:
        truth = np.where(is_cluster, "cluster", "other")
    assert np.mean(called == truth) > (0.75 if labels.endswith("skene") else 0.5)
    assert np.mean(is_cluster[np.isin(called, ("cluster", "low-z", "hi-z"))]) > 0.9
    assert builder.change_labels("test") is None
    assert make_builder(data_config(folder), XrayOpticalSky()).change_labels("train") is None


def test_smaller_pictures(simulated, folder):
    """The same sky with fewer pixels, as Pillow's antialiased filter makes them."""
    sizes = {"simulated_size": 64, "num_train": 3, "num_validation": 1, "num_test": 1}
    small = make_builder(data_config(folder, image_size=16, **sizes), XrayOpticalSky())
    small.download_and_prepare()
    assert small.info.metadata["pixel_scale_arcsec"] == pytest.approx(4 * 420 / 356)
    image, whole = (open_source(builder, "train")[2]["image"] for builder in (small, simulated))
    assert (image.shape, image.dtype) == ((16, 16, 3), np.uint8)
    expected = np.array(Image.fromarray(whole).resize((16, 16), Image.Resampling.BILINEAR))
    difference = image.astype(int) - expected
    assert np.abs(difference).max() <= 1
    assert abs(difference.mean()) < 0.1  # rounded, not cut off
    assert small.info.full_name != simulated.info.full_name


def test_six_channels_and_raw_ones(folder):
    sizes = {"num_train": 3, "num_validation": 1, "num_test": 1}
    for channels, dtype in ((SIX, np.uint8), (("counts", "plate"), np.float32)):
        builder = make_builder(data_config(folder, **sizes), XrayOpticalSky(channels=channels))
        builder.download_and_prepare()
        image = open_source(builder, "train")[0]["image"]
        assert (image.shape, image.dtype) == ((64, 64, len(channels)), dtype)
        assert builder.info.metadata["simulation"]["sky"]["channels"] == list(channels)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"data.labels": "friends"}, "config.data.labels='friends' is unknown; use one of 'experts'"),
        ({"data.labels": "volunteers", "data.builder": "ir_cutouts"}, "goes with the simulated data of"),
        ({"data.image_size": 64, "data.builder": "map_cutouts"}, "config.data.image_size=64 goes with"),
        ({"xray_optical.exposure_ks": 0.0}, "config.xray_optical.exposure_ks=0.0 must be above 0"),
        ({"xray_optical.blended": 1.5}, "must lie within"),
        ({"xray_optical.flux_min_cgs": 1e-11}, "flux_min_cgs=1e-11 must be below flux_max_cgs=1e-12"),
    ],
)
def test_wrong_values(change, reason):
    config = ExperimentConfig(data=data_config(""))
    for path, value in change.items():
        part, name = path.split(".")
        setattr(getattr(config, part), name, value)
    with pytest.raises(InputError, match=reason):
        validate(config)


@functools.cache
def png(seed, size=(356, 356), zero=0):
    """(file, pixels): squares of random brightness, which compress well."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(200, 256, (9, 9, 3), dtype=np.uint8).repeat(40, 0).repeat(40, 1)[: size[1], : size[0]]
    pixels[..., 0] = zero
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue(), pixels


def table(rows, columns=("image_id", "class")):
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(columns)
    writer.writerows(rows)
    return stream.getvalue()


TRAIN = [(f"{i}", XRAY_CLASSES[i % 5]) for i in range(15)]
TEST = [(f"{i}.png", XRAY_CLASSES[i % 5]) for i in range(5)]


def write_archive(path, *, root="", changes=None):
    """The published layout; ``changes`` replaces members, None removes them."""
    members = {"train.csv": table(TRAIN), "test.csv": table(TEST)}
    members |= {f"train_images/{i}.png": png(i)[0] for i in range(15)}
    members |= {f"test_images/{i}.png": png(100 + i)[0] for i in range(5)}
    members |= changes or {}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members.items():
            if content is not None:
                archive.writestr(root + name, content)
    return path


def kosiba(folder, images, **kwargs):
    return ExperimentConfig(
        data=DataConfig(
            builder="xray_optical_cutouts", data_dir=str(folder), images=str(images),
            survey=SurveyConfig(service="kosiba2020", cache_dir=str(folder / "cache"), offline=True), **kwargs,
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def archive(folder):
    return write_archive(folder / "Kosiba2020.zip")


def test_the_published_archive(folder, archive):
    config = kosiba(folder, archive)
    validate(config)
    assert config.sky is None
    builder = builder_of(config)
    builder.download_and_prepare()
    sources = {split: open_source(builder, split) for split in ("train", "validation", "test")}
    assert {split: len(source) for split, source in sources.items()} == {"train": 10, "validation": 5, "test": 5}
    assert builder.info.metadata["bands"] == ["zero", "xray", "optical"]
    seen = set()
    for split, source in sources.items():
        for record in (source[i] for i in range(len(source))):
            name = record["file"].decode() if isinstance(record["file"], bytes) else record["file"]
            number = int(name.split("/")[1].removesuffix(".png"))
            pixels = png(number + 100 * (split == "test"))[1]
            # Red is empty, green optical, blue X-ray; as the network sees them, green is X-ray.
            np.testing.assert_array_equal(record["image"], pixels[..., [0, 2, 1]])
            assert XRAY_CLASSES[record["object_type"]] == XRAY_CLASSES[number % 5]
            assert record["label"] == (number % 5 < 2)
            seen.add(name)
    assert len(seen) == 20
    assert set(builder.info.metadata["band_statistics"]["bands"]) == {"zero", "xray", "optical"}


def test_five_classes_and_channels_of_the_archive(folder, archive):
    config = kosiba(folder, archive, binary=False, archive_channels=("zero", "xray", "optical"))
    config.xray_optical.channels = ("optical", "xray_red")
    names = {builder_of(config).info.full_name}
    config.data.image_size = 36
    small = builder_of(config)
    assert small.info.features["image"].shape == (36, 36, 2)
    config.data.image_size = None
    builder = builder_of(config)
    assert names == {builder.info.full_name} != {small.info.full_name}
    builder.download_and_prepare()
    small.download_and_prepare()
    expected = Image.fromarray(png(101)[1][..., 2]).resize((36, 36), Image.Resampling.BILINEAR)
    assert np.abs(open_source(small, "test")[1]["image"][..., 0].astype(int) - np.array(expected)).max() <= 1
    assert tuple(builder.info.features["label"].names) == XRAY_CLASSES
    source = open_source(builder, "test")
    for i in range(5):
        assert source[i]["label"] == source[i]["object_type"] == i
        np.testing.assert_array_equal(source[i]["image"][..., 0], png(100 + i)[1][..., 2])
        assert (source[i]["image"][..., 1] == 255).all()  # XAmin's red of grey above 176


@functools.cache
def simulated_pictures(num=24):
    """As the network sees them: zero, xray, optical."""
    one = functools.partial(simulate_example, "train", seed=3, sky=XrayOpticalSky(), object_fractions=XRAY_FRACTIONS)
    return [one(index, size=356)["image"] for index in range(num)]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_which_channel_is_which_is_told_from_the_pictures(order):
    """The empty one is empty; the X-ray image has its source at the centre."""
    names = tuple(("zero", "xray", "optical")[place] for place in order)
    assert find_channels(picture[..., order] for picture in simulated_pictures()) == names


def test_pictures_that_do_not_say():
    pictures = simulated_pictures()
    assert find_channels(pictures[:19]) is None
    assert find_channels(picture[..., [0, 1, 1]] for picture in pictures) is None  # neither is ahead
    assert find_channels(picture[..., [0, 0, 1]] for picture in pictures) is None
    assert find_channels(picture[..., [2, 1, 1]] for picture in pictures) is None


def test_order_of_an_archive_of_simulated_pictures(tmp_path, caplog):
    """Found where it is not given; given otherwise it counts, with a warning."""
    changes = {"train.csv": table([(f"{i}", XRAY_CLASSES[i % 5]) for i in range(20)])}
    for i, picture in enumerate(simulated_pictures()):
        stream = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(picture[..., [2, 0, 1]])).save(stream, "PNG", compress_level=1)
        changes[f"train_images/{i}.png" if i < 20 else f"test_images/{i - 20}.png"] = stream.getvalue()
    changes["test_images/4.png"] = changes["test_images/3.png"]
    path = write_archive(tmp_path / "a.zip", changes=changes)
    assert builder_of(kosiba(tmp_path, path)).builder_config.archive_channels == ("optical", "zero", "xray")
    assert not caplog.records
    named = kosiba(tmp_path, path, archive_channels=("xray", "zero", "optical"))
    assert builder_of(named).builder_config.archive_channels == ("xray", "zero", "optical")
    assert "the source at the centre says optical,zero,xray" in caplog.text


def test_within_one_folder(tmp_path):
    with KosibaArchive(write_archive(tmp_path / "a.zip", root="Kosiba2020/")) as archive:
        entries = list(archive.entries())
        assert len(entries) == 20
        assert entries[0].member == "Kosiba2020/train_images/0.png"
        np.testing.assert_array_equal(archive.image(entries[-1].member), png(104)[1])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"train_images/4.png": None}, r"train.csv, line 6, of .*: there is no train_images/4.png in the archive"),
        ({"test.csv": table([("0", "quasar")])}, r"test.csv, line 2, of .*: class 'quasar' is none of low-z, hi-z"),
        ({"train.csv": table([("0", "low-z")] * 2)}, "line 3, of .*: image '0' is listed twice"),
        ({"train.csv": table([("", "low-z")])}, "line 2, of .*: image_id or class is empty"),
        ({"train.csv": table([], ("image", "class"))}, "train.csv of .* has no column image_id; it has image, class"),
        ({"test.csv": table([])}, "test.csv of .* lists no images"),
        ({"test.csv": None}, "has no test.csv"),
        ({"train.csv": None}, "has no train.csv"),
        ({"test.csv": b"\xff\xfe\x00"}, "test.csv of .* is no text"),
        ({"../outside.png": png(0)[0]}, r"has the member '\.\./outside.png', which lies outside of the archive"),
        ({"/etc/passwd": "x"}, r"has the member '/etc/passwd', which lies outside"),
    ],
)
def test_archives_that_are_wrong(tmp_path, changes, reason):
    path = write_archive(tmp_path / "a.zip", changes=changes)
    with pytest.raises(InputError, match=reason):
        list(KosibaArchive(path).entries())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (png(3)[0][: len(png(3)[0]) // 2], "train_images/3.png of .* is damaged"),
        (png(3)[0][:20], "train_images/3.png of .* is damaged"),
        (b"GIF89a", "train_images/3.png of .* is damaged"),
        (png(3, (100, 356))[0], "train_images/3.png of .* has 100 x 356 pixels, not 356 x 356"),
        (png(3, zero=7)[0], "the channel that config.data.archive_channels=.* calls 'zero' is not zero"),
    ],
)
def test_images_that_are_wrong(tmp_path, content, reason):
    """The build stops and leaves nothing behind."""
    path = write_archive(tmp_path / "a.zip", changes={"train_images/3.png": content})
    config = kosiba(tmp_path / "data", path, validation_fraction=0.0)
    with pytest.raises(InputError, match=reason):
        builder_of(config).download_and_prepare()
    assert not list((tmp_path / "data").rglob("*.array_record*"))


def test_bombs(tmp_path, monkeypatch):
    path = write_archive(tmp_path / "a.zip", changes={"train_images/0.png": bytes(5_000_000)})
    monkeypatch.setenv("CLUSTERJAX_LIMITS", "member_bytes=4e6, archive_members=100")
    with pytest.raises(InputError, match=r"train_images/0.png of .* has 4e\+06 bytes, more than 4e\+06; if"):
        KosibaArchive(path).image("train_images/0.png")
    # A picture of 30000 x 30000 pixels is a few kilobytes: it is refused by its header.
    header = bytearray(png(0)[0])
    header[16:24] = (30_000).to_bytes(4, "big") * 2
    path = write_archive(tmp_path / "b.zip", changes={"train_images/0.png": bytes(header)})
    with pytest.raises(InputError, match=r"train_images/0.png of .* (damaged|30000 x 30000 pixels)"):
        KosibaArchive(path).image("train_images/0.png")
    monkeypatch.setenv("CLUSTERJAX_LIMITS", "archive_members=10")
    with pytest.raises(InputError, match="has 22 members, more than 10; if that"):
        KosibaArchive(path)


def test_no_archive(tmp_path):
    (tmp_path / "text.zip").write_text("hello")
    with pytest.raises(InputError, match=r"text.zip cannot be read as a zip archive"):
        builder_of(kosiba(tmp_path, tmp_path / "text.zip"))
    with pytest.raises(InputError, match=r"config\.data\.images='.*missing.zip' is no file; give Kosiba2020.zip"):
        builder_of(kosiba(tmp_path, tmp_path / "missing.zip"))
    config = kosiba(tmp_path, "")
    with pytest.raises(InputError, match=r"Kosiba2020.zip\?download=1 is not in the cache"):
        builder_of(config)
    config.data.survey.service = "hips_act"
    with pytest.raises(InputError, match="'hips_act' has no X-ray"):
        builder_of(config)


def test_fetched_once(tmp_path, archive):
    """From a server into the cache, and from there without one."""
    record = {"files": {"entries": {"Kosiba2020.zip": {"checksum": "md5:" + "0" * 32}}}}

    def respond(asked):
        return Answer(json.dumps(record).encode() if asked.path.endswith("json") else archive.read_bytes())

    with LocalServer(respond) as server:
        config = kosiba(tmp_path, "")
        config.data.survey.offline, config.data.survey.attempts = False, 1
        config.data.survey.mirrors = (f"https://zenodo.org={server.url}",)
        with pytest.raises(InputError, match=r"whose md5 is \w+, where 0{32} is published"):
            builder_of(config)
        md5 = hashlib.md5(archive.read_bytes()).hexdigest()
        record["files"]["entries"]["Kosiba2020.zip"] = {"checksum": f"md5:{md5}"}
        config.data.survey.cache_dir = str(tmp_path / "another")
        name = builder_of(config).info.full_name
        paths = ["/records/7236582/export/json", "/records/7236582/files/Kosiba2020.zip"]
        assert [asked.path for asked in server.asked] == 2 * paths
    config.data.survey.offline = True
    assert builder_of(config).info.full_name == name


def test_a_truncated_download_is_seen(tmp_path, archive):
    body = archive.read_bytes()
    for content, expected in (
        (body, None),
        (body[:-200], "a truncated zip archive"),
        (b"PNG", "no zip archive but 'PNG'"),
    ):
        path = tmp_path / "body"
        path.write_bytes(content)
        assert fault(path, "zip") == expected


def test_channels_that_the_archive_has_not(folder, archive):
    config = kosiba(folder, archive)
    config.xray_optical.channels = ("counts",)
    with pytest.raises(InputError, match="channel 'counts' is unknown or not to be had here"):
        builder_of(config)
    config = kosiba(folder, archive, archive_channels=("xray", "optical"))
    with pytest.raises(InputError, match=r"archive_channels=\('xray', 'optical'\) must be zero, xray, optical"):
        builder_of(config)
    assert published.SERVICE == "kosiba2020"
