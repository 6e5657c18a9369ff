"""Balanced batches and wrong labels, by counting."""

import numpy as np
import pytest

from clusterjax.config import DataConfig
from clusterjax.data.loader import make_train_loader
from clusterjax.data.sampling import LabelNoise, draw_balanced
from clusterjax.errors import InputError

CONFIG = DataConfig(num_read_threads=2)


def source(labels):
    return [{"image": np.full((4, 4, 1), i, np.float32), "label": label} for i, label in enumerate(labels)]


def batches(labels, num, **options):
    loader = iter(make_train_loader(source(labels), CONFIG, batch_size=12, **{"seed": 0, "num_classes": 3, **options}))
    return [next(loader) for _ in range(num)]


LABELS = np.array([0] * 40 + [1] * 7 + [2] * 3)


def test_every_batch_has_equally_many_of_each_class():
    drawn = batches(LABELS, 60, balanced=True)
    for batch in drawn:
        assert np.bincount(batch["label"], minlength=3).tolist() == [4, 4, 4]
        np.testing.assert_array_equal(batch["label"], LABELS[batch["index"]])
        np.testing.assert_array_equal(batch["image"][:, 0, 0, 0], batch["index"])
    index = np.concatenate([batch["index"] for batch in drawn])
    # Within a class all are drawn alike, and independently: with replacement.
    rare = np.bincount(index, minlength=50)[47:]
    assert rare.sum() == 240
    assert (abs(rare - 80) < 4 * np.sqrt(80 * 2 / 3)).all()
    first_epoch = index[:51].reshape(-1, 3)[:, 0]
    assert len(set(first_epoch)) < len(first_epoch)
    assert index[:51].tolist() != index[51:102].tolist()
    again = np.concatenate([batch["index"] for batch in batches(LABELS, 60, balanced=True)])
    np.testing.assert_array_equal(again, index)
    other = np.concatenate([batch["index"] for batch in batches(LABELS, 60, balanced=True, seed=1)])
    assert other.tolist() != index.tolist()


def test_balanced_batches_resume_to_the_very_record():
    loader = make_train_loader(source(LABELS), CONFIG, seed=0, batch_size=12, balanced=True, num_classes=3)
    whole, part = iter(loader), iter(loader)
    for _ in range(7):
        next(whole), next(part)
    fresh = iter(loader)
    fresh.set_state(part.get_state())
    for _ in range(5):
        np.testing.assert_array_equal(next(fresh)["index"], next(whole)["index"])


def test_a_class_without_images_is_told():
    with pytest.raises(InputError, match="class 1 has none"):
        draw_balanced(np.array([0, 0, 2]), 3, seed=0)


def test_wrong_labels_are_as_many_as_asked_and_stay_wrong():
    labels = np.arange(3000) % 3
    noise = LabelNoise(0.2, 3, seed=4)
    noisy = np.array([noise(np.int32(label), i) for i, label in enumerate(labels)])
    wrong = noisy != labels
    assert wrong.mean() == pytest.approx(0.2, abs=4 * np.sqrt(0.2 * 0.8 / 3000))
    turned = np.bincount((noisy - labels)[wrong] % 3, minlength=3)
    assert turned[0] == 0
    assert abs(turned[1] - turned[2]) < 4 * np.sqrt(wrong.sum())
    epochs = batches(LABELS, 25, label_noise=0.3)
    seen: dict[int, set] = {}
    for batch in epochs:
        for index, label in zip(batch["index"].tolist(), batch["label"].tolist(), strict=True):
            seen.setdefault(index, set()).add(label)
    assert len(seen) == 50
    assert all(len(labels) == 1 for labels in seen.values())
    changed = sum(next(iter(labels)) != LABELS[index] for index, labels in seen.items())
    assert 5 <= changed <= 25
    balanced = batches(LABELS, 20, label_noise=0.3, balanced=True)
    assert all(np.bincount(batch["label"], minlength=3).tolist() == [4, 4, 4] for batch in balanced)
