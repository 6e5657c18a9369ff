"""Records in memory: read once, the same batches as from the source, through subsets and with wrong labels too."""

import numpy as np
import pytest

from clusterjax.config import DataConfig
from clusterjax.data import kept
from clusterjax.data.kept import Kept, find_kept, keep_if_small, memory_bytes
from clusterjax.data.loader import make_eval_loader, make_train_loader
from clusterjax.data.sampling import shuffle_batches, shuffle_records
from clusterjax.data.sources import Subset

NUM = 23
IMAGES = np.random.default_rng(0).integers(0, 255, (NUM, 6, 6, 2)).astype(np.uint8)


class Counting:
    """Notes which records are read."""

    def __init__(self):
        self.read = []

    def __len__(self):
        return NUM

    def __getitem__(self, index):
        self.read.append(index)
        return {"image": IMAGES[index], "label": index % 3, "redshift": np.float32(index / 10), "file": b"x"}


@pytest.fixture
def keeps_nothing(monkeypatch):
    monkeypatch.setattr(kept, "memory_bytes", lambda: 0)


def batches_of(source, **options):
    loader = iter(make_train_loader(source, DataConfig(), seed=3, batch_size=5, **options))
    return [next(loader) for _ in range(12)]


def test_each_record_is_read_once():
    source = Counting()
    held = keep_if_small(source, DataConfig())
    source.read.clear()  # of the first record, to see its size
    for _ in range(2):
        batches_of(held)
    assert sorted(source.read) == list(range(NUM))


@pytest.mark.parametrize("options", [{}, {"label_noise": 0.5, "num_classes": 3}, {"balanced": True, "num_classes": 3}])
def test_the_same_batches_as_one_record_after_the_other(monkeypatch, options):
    held = batches_of(Kept(Counting()), **options)
    monkeypatch.setattr(kept, "memory_bytes", lambda: 0)  # nothing is
    read = batches_of(Counting(), **options)
    for one, other in zip(held, read, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            assert one[name].dtype == other[name].dtype
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_a_subset_of_a_subset_shares_the_memory():
    source = Counting()
    held = Kept(source)
    subset = Subset(Subset(held, [20, 3, 11, 7, 9]), [4, 1, 0])  # records 9, 3, 20
    assert keep_if_small(subset, DataConfig()) is subset
    assert find_kept(subset)[0] is held
    loader = iter(make_train_loader(subset, DataConfig(), seed=0, batch_size=3))
    batch = next(loader)
    assert sorted(batch["index"].tolist()) == [0, 1, 2]
    of_source = np.array([9, 3, 20])[batch["index"]]
    np.testing.assert_array_equal(batch["image"], IMAGES[of_source])
    np.testing.assert_array_equal(batch["label"], of_source % 3)
    assert set(source.read) == {0, 9, 3, 20}


def test_evaluation_of_kept_records_has_all_their_numbers():
    batch = next(iter(make_eval_loader(Kept(Counting()), DataConfig(), batch_size=NUM)))
    np.testing.assert_array_equal(batch["redshift"], np.float32(np.arange(NUM) / 10))
    np.testing.assert_array_equal(batch["image"], IMAGES)


def test_large_sources_and_those_of_processes_are_not_kept(keeps_nothing):
    source = Counting()
    assert keep_if_small(source, DataConfig()) is source
    assert keep_if_small(source, DataConfig(num_workers=1)) is source


def test_what_is_kept_fits_the_machine():
    with open("/proc/meminfo") as file:
        total = int(file.readline().split()[1]) * 1024
    assert 1e8 < memory_bytes() <= total


def test_batches_are_in_the_order_of_the_records():
    """Also over the ends of epochs, and where a batch holds more than one."""
    for num, batch_size in ((23, 5), (7, 7), (4, 11)):
        one_by_one = shuffle_records(num, seed=2)
        batches = shuffle_batches(num, batch_size, seed=2)
        order = np.concatenate([batches[i] for i in range(10)])
        assert order.tolist() == [one_by_one[i] for i in range(10 * batch_size)]
        whole = order[: len(order) // num * num].reshape(-1, num)
        assert (np.sort(whole, axis=1) == np.arange(num)).all()
