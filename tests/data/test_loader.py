"""Batches: order, sharding by host, padding, exact resume, host augmentation against the device's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from clusterjax.config import AugmentConfig, DataConfig
from clusterjax.data.device_augment import make_train_transform, resample_batch
from clusterjax.data.loader import make_eval_loader, make_train_loader
from clusterjax.data.preprocess import Preprocess
from clusterjax.data.statistics import fit_band_statistics
from clusterjax.data.transforms import RandomAffine, TrainTransform
from clusterjax.errors import InputError

NUM = 37
IMAGES = np.random.default_rng(0).standard_t(3, size=(NUM, 12, 12, 2)).astype(np.float32)
SOURCE = [
    {"image": IMAGES[i], "label": np.int64(i % 3), "object_id": 1000 + i, "redshift": np.float32(i / 10), "file": b"x"}
    for i in range(NUM)
]
PREPROCESS = Preprocess((0, 1), fit_band_statistics(IMAGES, ("a", "b")), input_size=16)


def train_loader(seed=1, batch_size=8, **config):
    config = DataConfig(**config)
    return make_train_loader(
        SOURCE, config, seed=seed, batch_size=batch_size, augment=AugmentConfig(), preprocess=PREPROCESS
    )


def take(iterator, count):
    return [next(iterator) for _ in range(count)]


def assert_same(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_array_equal(a[key], b[key], err_msg=key)


def test_train_batch_holds_what_it_should():
    batch = next(iter(train_loader()))
    assert batch.keys() == {"image", "label", "valid", "index", "object_id"}
    kinds = {key: (value.shape, value.dtype) for key, value in batch.items()}
    assert kinds["image"] == ((8, 12, 12, 2), np.float32)
    assert kinds["label"] == ((8,), np.int32)
    assert kinds["valid"] == ((8,), np.bool_)
    assert kinds["index"] == kinds["object_id"] == ((8,), np.int64)
    assert batch["valid"].all()
    np.testing.assert_array_equal(batch["image"], IMAGES[batch["index"]])  # on the device: raw
    np.testing.assert_array_equal(batch["label"], batch["index"] % 3)
    np.testing.assert_array_equal(batch["object_id"], batch["index"] + 1000)


def test_every_epoch_has_every_record_once_in_another_order():
    order = np.concatenate([batch["index"] for batch in take(iter(train_loader(batch_size=1)), 3 * NUM)])
    epochs = order.reshape(3, NUM)
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(NUM))
    assert (epochs[0] != epochs[1]).any()
    assert (epochs[1] != epochs[2]).any()
    assert (epochs[0] != np.arange(NUM)).any()


def test_seed_decides_the_order():
    one, same, other = ([b["index"] for b in take(iter(train_loader(seed)), 4)] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("augment_on", ["device", "host"])
@pytest.mark.parametrize("stop", [0, 1, 7])
def test_resumes_with_the_very_next_batch(augment_on, stop):
    """Also across the end of an epoch, into a loader made anew, to the last bit of the augmentation."""
    iterator = iter(train_loader(augment_on=augment_on))
    take(iterator, stop)
    state = iterator.get_state()
    expected = take(iterator, 6)
    fresh = iter(train_loader(augment_on=augment_on))
    take(fresh, 2)
    fresh.set_state(state)
    assert_same(take(fresh, 6), expected)


def test_threads_do_not_change_the_batches():
    one = take(iter(train_loader(augment_on="host", num_read_threads=1)), 12)
    many = take(iter(train_loader(augment_on="host", num_read_threads=8)), 12)
    assert_same(one, many)


def test_hosts_share_each_epoch_without_overlap(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    shares = []
    for host in range(3):
        monkeypatch.setattr(jax, "process_index", lambda host=host: host)
        batches = take(iter(train_loader(batch_size=4)), 3)  # 12 a host: one epoch of 36, one record left out
        shares.append(np.concatenate([batch["index"] for batch in batches]))
    everything = np.concatenate(shares)
    assert len(set(everything.tolist())) == 36


def test_eval_pads_the_last_batch():
    batches = list(make_eval_loader(SOURCE, DataConfig(), batch_size=8))
    assert [len(batch["label"]) for batch in batches] == [8] * 5
    valid = np.concatenate([batch["valid"] for batch in batches])
    assert valid.sum() == NUM
    assert not valid[NUM:].any()
    index = np.concatenate([batch["index"] for batch in batches])
    np.testing.assert_array_equal(index[valid], np.arange(NUM))
    assert (index[~valid] == -1).all()
    assert np.isfinite(batches[-1]["image"]).all()
    redshift = np.concatenate([batch["redshift"] for batch in batches])[valid]
    np.testing.assert_array_equal(redshift, np.float32(np.arange(NUM) / 10))
    assert "file" not in batches[0]


def test_eval_hosts_get_equally_many_batches_and_all_records(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    seen = []
    for host in range(3):
        monkeypatch.setattr(jax, "process_index", lambda host=host: host)
        batches = list(make_eval_loader(SOURCE, DataConfig(), batch_size=4))
        assert len(batches) == 4  # 48 places for 37
        seen += [index for batch in batches for index in batch["index"][batch["valid"]].tolist()]
    assert sorted(seen) == list(range(NUM))


def test_host_augmentation_is_the_devices_with_the_same_parameters():
    """The affine is drawn again from the record's own generator; normalise, resize, resample then run in JAX."""

    class Spy(RandomAffine):
        drawn = []  # noqa: RUF012

        def draw(self, rng, size):
            self.drawn.append(super().draw(rng, size))
            return self.drawn[-1]

    spy = Spy.from_config(AugmentConfig(scale=1.2))
    out = TrainTransform(PREPROCESS, spy).random_map(dict(SOURCE[5]), np.random.default_rng(3))["image"]
    matrix, offset = (jnp.asarray(x, jnp.float32)[None] for x in spy.drawn[0])
    normal = PREPROCESS.normalise(jnp.asarray(IMAGES[5:6]))
    expected = resample_batch(PREPROCESS.resize(normal), matrix, offset)[0]
    np.testing.assert_allclose(out, expected, atol=1e-4)


@pytest.mark.parametrize("on", ["host", "device"])
def test_background_is_a_constant_of_each_image_and_band(on):
    """In units of the band's robust scale; anew for each image; none where each image's median is subtracted."""
    statistics = fit_band_statistics(IMAGES * (1, 10), ("a", "b"))
    settings = AugmentConfig(rotation_deg=0.0, quarter_turns=False, flip=False, shift_fraction=0.0, background=0.5)

    def levels(subtract_median):
        preprocess = Preprocess((0, 1), statistics, "linear", subtract_median=subtract_median)
        if on == "host":
            transform = TrainTransform(preprocess, RandomAffine.from_config(settings), settings.background)
            rng = np.random.default_rng(3)
            out = np.stack([transform.random_map(dict(SOURCE[i % NUM]), rng)["image"] for i in range(400)])
        else:
            out = make_train_transform(preprocess, settings)(
                jnp.asarray(IMAGES[np.arange(400) % NUM]), jax.random.key(0)
            )
        # Of mean 0 and variance 1 on the training split, so not in units of the scale.
        difference = (out - preprocess(IMAGES[np.arange(400) % NUM])) * np.asarray(statistics.moments("linear")["std"])
        assert np.ptp(difference, axis=(1, 2)).max() < 1e-4
        return difference.mean((1, 2))

    drawn = levels(subtract_median=False)
    np.testing.assert_allclose(drawn.std(axis=0), 0.5, rtol=0.15)
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.2
    np.testing.assert_allclose(levels(subtract_median=True), 0, atol=1e-5)


def test_host_loader_yields_network_input():
    batch = next(iter(train_loader(augment_on="host")))
    assert batch["image"].shape == (8, 16, 16, 2)
    plain = PREPROCESS(IMAGES[batch["index"]])
    assert not np.allclose(batch["image"], plain, atol=0.05)
    assert batch["image"].std() == pytest.approx(plain.std(), rel=0.5)


def test_empty_sources_are_named():
    with pytest.raises(InputError, match="training split has 0 images"):
        make_train_loader([], DataConfig(), seed=0, batch_size=1)
    with pytest.raises(InputError, match="no images"):
        make_eval_loader([], DataConfig(), batch_size=1)


def test_worker_processes_give_the_same_batches_and_resume():
    threads = take(iter(train_loader(augment_on="host")), 5)
    iterator = iter(train_loader(augment_on="host", num_workers=1))
    assert_same(take(iterator, 3), threads[:3])
    state = iterator.get_state()
    fresh = iter(train_loader(augment_on="host", num_workers=1))
    fresh.set_state(state)
    assert_same(take(fresh, 2), threads[3:])
