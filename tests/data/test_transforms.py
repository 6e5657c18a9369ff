"""The Grain transforms one by one."""

import grain
import jax
import numpy as np
import pytest

from clusterjax.config import AugmentConfig
from clusterjax.data.preprocess import Preprocess
from clusterjax.data.statistics import fit_band_statistics
from clusterjax.data.transforms import (
    Normalise,
    RandomAffine,
    RandomFlip,
    RandomRotation,
    RandomScale,
    RandomShift,
    Resize,
    SelectBands,
)
from clusterjax.errors import InputError

IMAGE = np.random.default_rng(0).normal(size=(10, 10, 3)).astype(np.float32)
RECORD = {"image": IMAGE, "label": 1}


def changed(transform, seed=0):
    return transform.random_map(RECORD, np.random.default_rng(seed))["image"]


def test_select_bands():
    out = SelectBands((2, 0)).map(RECORD)
    np.testing.assert_array_equal(out["image"], IMAGE[..., [2, 0]])
    assert out["label"] == 1
    assert RECORD["image"].shape == (10, 10, 3)  # the record that came in is as it was
    with pytest.raises(InputError, match="3 bands"):
        SelectBands((3,)).map(RECORD)


def test_resize():
    out = Resize(25).map(RECORD)["image"]
    np.testing.assert_allclose(out, jax.image.resize(IMAGE, (25, 25, 3), "linear"), atol=1e-5)


def test_normalise_is_preprocess():
    preprocess = Preprocess((0, 2), fit_band_statistics(IMAGE, "abc"))
    np.testing.assert_array_equal(Normalise(preprocess).map(RECORD)["image"], preprocess(IMAGE[None])[0])


def test_flip_is_exact_and_fair():
    outs = [changed(RandomFlip(), seed) for seed in range(200)]
    flipped = [np.array_equal(out, IMAGE[:, ::-1]) for out in outs]
    kept = [np.array_equal(out, IMAGE) for out in outs]
    assert all(a or b for a, b in zip(flipped, kept, strict=True))
    assert 70 < sum(flipped) < 130
    both = {changed(RandomFlip(vertical=True), seed).tobytes() for seed in range(40)}
    assert both == {IMAGE[::a, ::b].tobytes() for a in (-1, 1) for b in (-1, 1)}


def test_shift_is_reflect_padded():
    """A whole-pixel shift is a cut from numpy's reflect padding."""

    class ThreeDown(RandomAffine):
        def draw(self, rng, size):
            return np.eye(2), np.array([-3.0, 2.0])  # the content moves down by 3 and left by 2

    out = changed(ThreeDown())
    padded = np.pad(IMAGE, ((5, 5), (5, 5), (0, 0)), mode="reflect")
    np.testing.assert_allclose(out, padded[2:12, 7:17], atol=1e-6)


@pytest.mark.parametrize(
    ("transform", "name", "limit"),
    [
        (RandomRotation(15.0), "angle", 15.0),
        (RandomRotation(180.0), "angle", 180.0),
        (RandomShift(0.25), "shift", 10.0),
        (RandomScale(1.5), "log scale", np.log(1.5)),
    ],
)
def test_draws_are_uniform_to_their_limits(transform, name, limit):
    rng = np.random.default_rng(0)
    values = []
    for _ in range(3000):
        matrix, offset = transform.draw(rng, (40, 40))
        angle = np.rad2deg(np.arctan2(matrix[1, 0], matrix[1, 1]))
        shift = np.linalg.solve(matrix, 19.5 - offset) - 19.5
        scale = 1 / np.sqrt(np.linalg.det(matrix))
        values.append({"angle": angle, "shift": shift[0], "log scale": np.log(scale)}[name])
        others = {"angle": angle, "shift": np.abs(shift).max(), "log scale": np.log(scale)}
        assert all(abs(value) < 1e-9 for key, value in others.items() if key != name)
    assert limit * 0.99 < np.abs(values).max() <= limit + 1e-9
    assert np.var(values) == pytest.approx(limit**2 / 3, rel=0.08)
    assert abs(np.mean(values)) < 0.06 * limit


def test_from_config():
    assert RandomAffine.from_config(AugmentConfig()) == RandomAffine(15.0, True, False, 20 / 224, 1.0, False)
    assert RandomAffine.from_config(AugmentConfig(rotation_deg=180.0)).flip_y


def test_grain_gives_each_record_its_own_generator():
    same = [RECORD] * 6
    outs = list(grain.MapDataset.source(same).seed(0).random_map(RandomRotation(15.0)))
    again = list(grain.MapDataset.source(same).seed(0).random_map(RandomRotation(15.0)))
    assert len({out["image"].tobytes() for out in outs}) == 6
    for a, b in zip(outs, again, strict=True):
        np.testing.assert_array_equal(a["image"], b["image"])
