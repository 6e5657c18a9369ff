"""The simulated data set as it is built and read: content, splits, reproducibility, and failures that leave nothing."""

import contextlib
import dataclasses
import errno
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from clusterjax.config import DataConfig
from clusterjax.data.statistics import BandStatistics, fit_band_statistics
from clusterjax.errors import InputError
from clusterjax.simulation.knobs import OBJECT_TYPES, InfraredSky
from clusterjax.sky.regions import sky_block, split_of_block
from tfds_builders import generation
from tfds_builders.ir_cutouts.ir_cutouts_dataset_builder import DEFAULT, make_builder
from tfds_builders.simulated_example import SPLITS, simulate_example

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # array_record leaves its files to the collector


def data_config(folder, **kwargs):
    sizes = {"num_train": 90, "num_validation": 20, "num_test": 30}
    return DataConfig(data_dir=str(folder), num_processes=1, **{**sizes, **kwargs})


def example(split, index, **kwargs):
    defaults = {"seed": 0, "sky": InfraredSky(), "object_fractions": DataConfig().object_fractions, "size": 64}
    return simulate_example(split, index, **{**defaults, **kwargs})


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    builder = make_builder(data_config(tmp_path_factory.mktemp("data")), InfraredSky())
    builder.download_and_prepare()
    return builder


@pytest.fixture(scope="module")
def splits(builder):
    sources = {split: builder.as_data_source(split) for split in SPLITS}
    return {split: [source[i] for i in range(len(source))] for split, source in sources.items()}


def test_what_is_written_is_what_was_simulated(splits):
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 90, "validation": 20, "test": 30}
    for split, index in (("train", 0), ("train", 89), ("validation", 3), ("test", 29)):
        read, made = splits[split][index], example(split, index)
        assert read["image"].dtype == np.float32
        np.testing.assert_array_equal(read["image"], made["image"])
        assert read["label"] == made["label"]
        assert OBJECT_TYPES[read["object_type"]] == made["object_type"]
        # To the last bit: float32 would move a position by 0.1 arcsec
        assert (float(read["ra_deg"]), float(read["dec_deg"])) == (made["ra_deg"], made["dec_deg"])
        np.testing.assert_array_equal(read["redshift"], made["redshift"])
        np.testing.assert_array_equal(read["m500c_msun"], made["m500c_msun"])
        assert (read["object_id"], read["sky_block"]) == (made["object_id"], made["sky_block"])


def test_labels_and_names(builder, splits):
    assert builder.info.features["label"].names == ["other", "cluster"]
    assert tuple(builder.info.features["object_type"].names) == OBJECT_TYPES
    for row in splits["train"]:
        assert row["label"] == (OBJECT_TYPES[row["object_type"]] == "cluster")
    ids = [int(row["object_id"]) for rows in splits.values() for row in rows]
    assert len(set(ids)) == 140


def test_splits_share_no_sky(splits):
    for split, rows in splits.items():
        blocks = np.array([int(row["sky_block"]) for row in rows])
        ra_deg, dec_deg = (np.array([float(row[name]) for row in rows]) for name in ("ra_deg", "dec_deg"))
        np.testing.assert_array_equal(sky_block(ra_deg, dec_deg), blocks)
        assert set(split_of_block(blocks)) == {split}


def test_no_cutout_reaches_into_another_split():
    """Corners of thousands of cutouts, all in blocks of their own split."""
    half = 32 * 2.75 / 3600
    for split in SPLITS:
        rows = [example(split, index, size=8, sky=InfraredSky(groups=False)) for index in range(60)]
        wide = [example(split, index, size=224, sky=InfraredSky(groups=False)) for index in range(10)]
        for some, reach in ((rows, half / 8), (wide, half * 3.5)):
            centre = SkyCoord([r["ra_deg"] for r in some], [r["dec_deg"] for r in some], unit="deg")
            for sign_x, sign_y in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
                corner = centre.spherical_offsets_by(sign_x * reach * centre.ra.unit, sign_y * reach * centre.ra.unit)
                assert set(split_of_block(sky_block(corner.ra.deg, corner.dec.deg))) == {split}


def test_metadata(builder, splits):
    metadata = make_builder(data_config(builder.data_dir_root), InfraredSky()).info.metadata
    assert metadata["bands"] == ["W1", "W2"]
    assert metadata["pixel_scale_arcsec"] == 2.75
    assert metadata["positive_class"] == "cluster"
    assert metadata["units"] == "nMgy (Vega)"
    assert metadata["simulation"]["num_train"] == 90
    assert metadata["simulation"]["sky"] == dataclasses.asdict(InfraredSky())
    statistics = BandStatistics.from_dict(metadata["band_statistics"])
    train_alone = fit_band_statistics(np.stack([row["image"] for row in splits["train"]]), ["W1", "W2"])
    np.testing.assert_allclose(statistics.location, train_alone.location)
    np.testing.assert_allclose(statistics.scale, train_alone.scale)
    everything = fit_band_statistics(np.stack([r["image"] for rows in splits.values() for r in rows]), ["W1", "W2"])
    assert statistics.location != everything.location


def test_built_once(builder, monkeypatch):
    monkeypatch.setattr(type(builder), "_generate_examples", None)
    again = make_builder(data_config(builder.data_dir_root), InfraredSky())
    again.download_and_prepare()
    assert len(again.as_data_source("test")) == 30


def test_built_by_another_program_while_this_one_waited(splits, tmp_path, monkeypatch):
    waiting, other = (make_builder(data_config(tmp_path), InfraredSky()) for _ in range(2))
    locked = generation._locked

    @contextlib.contextmanager
    def lock_that_another_holds_at_first(folder):
        monkeypatch.setattr(generation, "_locked", locked)
        other.download_and_prepare()
        with locked(folder):
            yield

    monkeypatch.setattr(generation, "_locked", lock_that_another_holds_at_first)
    waiting.download_and_prepare()
    source = waiting.as_data_source("train")
    assert len(source) == len(splits["train"])
    np.testing.assert_array_equal(source[3]["image"], splits["train"][3]["image"])
    read, written = (json.dumps(dict(each.info.metadata)["band_statistics"]) for each in (waiting, other))
    assert read == written


def test_content_does_not_depend_on_the_number_of_processes(builder, splits, tmp_path, monkeypatch):
    monkeypatch.setattr(generation, "_WORTH_STARTING_SECONDS", -1.0)
    other = make_builder(data_config(tmp_path, num_train=40, num_validation=40), InfraredSky())
    other.num_processes = 2
    other.download_and_prepare()
    source = other.as_data_source("train")
    for index in range(40):
        np.testing.assert_array_equal(source[index]["image"], splits["train"][index]["image"])


@pytest.mark.parametrize("buffer_bytes", [0, 400_000])
def test_more_than_fits_into_tfds_memory(builder, splits, tmp_path, monkeypatch, buffer_bytes):
    """TFDS keeps a gigabyte of a split in memory; the rest waits in temporary files, many of them."""
    from tensorflow_datasets.core import shuffle

    monkeypatch.setattr(shuffle, "MAX_MEM_BUFFER_SIZE", buffer_bytes)
    used = set()
    add = shuffle._Bucket.add
    monkeypatch.setattr(shuffle._Bucket, "add", lambda self, *pair: (used.add(self._path.name), add(self, *pair))[1])
    large = make_builder(data_config(tmp_path), InfraredSky())
    large.download_and_prepare()
    assert len(used) >= generation._NUM_BUCKETS
    source = large.as_data_source("train")
    assert len(source) == len(splits["train"])
    for index, expected in enumerate(splits["train"]):
        np.testing.assert_array_equal(source[index]["image"], expected["image"])
        assert source[index]["object_id"] == expected["object_id"]
    assert not list(tmp_path.rglob("*.tmp"))


def test_names_tell_contents_apart():
    sky = InfraredSky(noise_scale=2.0)

    def name_of(**changes):
        return dataclasses.replace(DEFAULT, **changes).named_by_content(DEFAULT).name

    changes = [{}, {"seed": 1}, {"num_train": 5}, {"sky": sky}, {"object_fractions": {"cluster": 1.0}}]
    names = [name_of(**change) for change in changes]
    assert names[0] == "simulated"
    assert all(len(name) == len("simulated-") + 8 for name in names[1:])
    assert len(set(names)) == 5
    # Left out is the same as none, and 2 as 2.0: no second copy of equal data
    sky.noise_scale = 2
    assert name_of(sky=sky) == names[3]
    assert name_of(object_fractions={"cluster": 1, "star": 0.0}) == names[4]


def test_default_config_is_the_mix_that_was_asked_for():
    types = np.array([example("train", i, size=4, sky=InfraredSky(groups=False))["object_type"] for i in range(800)])
    for name, fraction in DataConfig().object_fractions.items():
        assert np.mean(types == name) == pytest.approx(fraction, abs=4 * np.sqrt(fraction / 800))


def test_label_noise_is_for_training_only():
    sky = InfraredSky(label_noise=0.3, groups=False)
    for split, low, high in (("train", 0.2, 0.4), ("validation", 0, 0), ("test", 0, 0)):
        rows = [example(split, index, size=8, sky=sky) for index in range(250)]
        wrong = np.mean([row["label"] != (row["object_type"] == "cluster") for row in rows])
        assert low <= wrong <= high
    # The pixels are those of the same cutout without the noise
    clean = example("train", 7, size=8, sky=InfraredSky(groups=False))
    np.testing.assert_array_equal(example("train", 7, size=8, sky=sky)["image"], clean["image"])


def leftovers(folder):
    return [
        path
        for path in pathlib.Path(folder).rglob("*")
        if path.is_file() and path.name not in (".lock", "metadata.json")
    ]


def test_disk_that_is_too_small_is_told_before_work_begins(tmp_path, monkeypatch):
    usage = shutil._ntuple_diskusage(10**9, 10**9, 10**5)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(InputError, match=r"needs 0\.00 GB and the disk has 0\.00 GB free; free some space or set"):
        make_builder(data_config(tmp_path), InfraredSky()).download_and_prepare()
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        RuntimeError("Failed to finalize writing of split: write() failed: No space left on device; at byte 2420736"),
    ],
)
def test_disk_full_in_the_middle(tmp_path, monkeypatch, error):
    """Both kinds that were seen on a real full disk; afterwards the same command builds the data set."""
    builder = make_builder(data_config(tmp_path), InfraredSky())
    generate = type(builder)._generate_examples

    def fail_late(self, split):
        for number, row in enumerate(generate(self, split)):
            if split == "validation" and number == 10:
                raise error
            yield row

    monkeypatch.setattr(type(builder), "_generate_examples", fail_late)
    with pytest.raises(InputError, match=r"data set not built in .*ir_cutouts.*: the disk is full; free some space"):
        builder.download_and_prepare()
    assert leftovers(tmp_path) == []
    monkeypatch.undo()
    builder = make_builder(data_config(tmp_path), InfraredSky())
    builder.download_and_prepare()
    assert len(builder.as_data_source("train")) == 90


def test_interrupted_in_the_middle(tmp_path, monkeypatch):
    builder = make_builder(data_config(tmp_path), InfraredSky())

    def interrupt(self, split):
        yield 0, example(split, 0)
        raise KeyboardInterrupt

    monkeypatch.setattr(type(builder), "_generate_examples", interrupt)
    with pytest.raises(KeyboardInterrupt):
        builder.download_and_prepare()
    assert leftovers(tmp_path) == []


def test_what_a_killed_build_left_is_removed(tmp_path):
    builder = make_builder(data_config(tmp_path, num_train=5, num_validation=5, num_test=5), InfraredSky())
    stale = pathlib.Path(builder.data_dir).parent / "incomplete.ABCDEF_1.0.0"
    stale.mkdir(parents=True)
    (stale / "half.array_record").write_bytes(b"half")
    builder.download_and_prepare()
    assert not stale.exists()
    assert len(builder.as_data_source("test")) == 5


def test_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"a part of that path is a file; set config\.data\.data_dir to a folder"):
        make_builder(data_config(tmp_path / "file"), InfraredSky()).download_and_prepare()


def test_folder_that_may_not_be_written(tmp_path, monkeypatch):
    """As root nothing is forbidden, so the system's answer is put in its place."""

    def forbidden(self, *args, **kwargs):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(pathlib.Path, "mkdir", forbidden)
    with pytest.raises(InputError, match=r"it may not be written to; set config\.data\.data_dir to a folder of yours"):
        make_builder(data_config(tmp_path), InfraredSky()).download_and_prepare()


def test_other_errors_are_not_mistaken_for_the_disks(tmp_path, monkeypatch):
    def broken(self, split):
        raise OSError(errno.EACCES, "Permission denied", "/somewhere/else.png")
        yield

    builder = make_builder(data_config(tmp_path), InfraredSky())
    monkeypatch.setattr(type(builder), "_generate_examples", broken)
    with pytest.raises(OSError, match=r"else\.png"):
        builder.download_and_prepare()


def test_built_and_read_without_jax_and_tensorflow(builder):
    code = (
        "import sys, json\n"
        "from clusterjax.config import DataConfig\n"
        "from clusterjax.simulation.knobs import InfraredSky\n"
        "from tfds_builders.ir_cutouts.ir_cutouts_dataset_builder import make_builder\n"
        "config = DataConfig(data_dir=sys.argv[1], num_train=90, num_validation=20, num_test=30)\n"
        "builder = make_builder(config, InfraredSky())\n"
        "builder.download_and_prepare()\n"
        "number = len(builder.as_data_source('train'))\n"
        "print(json.dumps([number, 'jax' in sys.modules, 'tensorflow' in sys.modules]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(generation.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code, builder.data_dir_root], env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [90, False, False]
