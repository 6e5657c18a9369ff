"""Affine resampling on host and device against SciPy, and what the random draws do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from scipy import ndimage

from clusterjax.config import AugmentConfig
from clusterjax.data.affine import affine_matrix, affine_offset, resample
from clusterjax.data.device_augment import augment, make_train_transform, random_affine, resample_batch
from clusterjax.data.preprocess import Preprocess
from clusterjax.data.statistics import fit_band_statistics
from clusterjax.data.transforms import RandomAffine

NOTHING = AugmentConfig(rotation_deg=0.0, flip=False, shift_fraction=0.0, scale=1.0)
SHAPE = (17, 22)
IMAGE = np.random.default_rng(0).normal(size=(*SHAPE, 2)).astype(np.float32)
_device_resample = jax.jit(resample_batch)
_augment = jax.jit(lambda images, key: augment(images, key, AugmentConfig()))


@settings(max_examples=40, deadline=None)
@given(
    angle=st.floats(-np.pi, np.pi),
    flips=st.tuples(st.sampled_from([-1.0, 1.0]), st.sampled_from([-1.0, 1.0])),
    scale=st.floats(0.6, 1.7),
    shift=st.tuples(st.floats(-40, 40), st.floats(-40, 40)),
)
def test_host_and_device_are_scipys(angle, flips, scale, shift):
    """Any rotation, flip, scale, and shifts of several image sizes: mirrored again and again."""
    matrix = affine_matrix(angle, *flips, scale)
    offset = affine_offset(matrix, np.array(shift), SHAPE)
    expected = np.stack(
        [ndimage.affine_transform(IMAGE[..., b], matrix, offset, order=1, mode="mirror") for b in range(2)], axis=-1
    )
    matrix, offset = matrix.astype(np.float32), offset.astype(np.float32)
    # Rounding of a coordinate, about 1e-5 pixels, times the image's slopes.
    np.testing.assert_allclose(resample(IMAGE, matrix, offset), expected, atol=3e-4)
    device = _device_resample(jnp.asarray(IMAGE[None]), jnp.asarray(matrix[None]), jnp.asarray(offset[None]))[0]
    np.testing.assert_allclose(device, expected, atol=3e-4)


def test_directions():
    """A single bright pixel: where flips, shifts, quarter turns and magnification take it."""
    image = np.zeros((9, 9, 1), np.float32)
    image[4, 6] = 1  # two to the right of the centre

    def brightest(angle=0.0, flip_x=1.0, flip_y=1.0, scale=1.0, shift=(0.0, 0.0)):
        matrix = affine_matrix(np.float64(angle), flip_x, flip_y, scale)
        out = resample(image, matrix, affine_offset(matrix, np.array(shift), (9, 9)))[..., 0]
        return tuple(int(i) for i in np.unravel_index(out.argmax(), out.shape))

    assert brightest() == (4, 6)
    assert brightest(shift=(3.0, -1.0)) == (7, 5)
    assert brightest(flip_x=-1.0) == (4, 2)
    assert brightest(flip_y=-1.0) == (4, 6)
    assert brightest(angle=np.pi / 2) == (6, 4)
    assert brightest(scale=2.0) == (4, 8)
    assert brightest(angle=np.pi / 2, flip_x=-1.0) == (2, 4)


def test_device_draws_fill_their_ranges_and_no_more():
    config = AugmentConfig(rotation_deg=15.0, flip=True, shift_fraction=0.1, scale=1.3)
    size = (40, 60)
    matrix, offset = (np.asarray(x, np.float64) for x in random_affine(jax.random.key(3), 4000, size, config))
    scale = 1 / np.sqrt(np.abs(np.linalg.det(matrix)))
    flipped = np.linalg.det(matrix) < 0
    angle = np.rad2deg(np.arctan2(-matrix[:, 0, 1], matrix[:, 0, 0]))  # flip_y is 1: the first row has no sign
    # The content's centre goes where the offset says: centre = matrix @ moved + offset.
    centre = np.array([(n - 1) / 2 for n in size])
    moved = np.linalg.solve(matrix, (centre - offset)[..., None])[..., 0] - centre
    for values, limit in ((angle, 15.0), (np.log(scale), np.log(1.3)), (moved[:, 0], 4.0), (moved[:, 1], 6.0)):
        assert np.abs(values).max() <= limit * (1 + 1e-4)
        assert np.abs(values).max() > 0.99 * limit
        # Uniform: mean 0 and variance limit^2 / 3, to 4 sigma of 4000 draws.
        assert abs(values.mean()) < 4 * limit / np.sqrt(3 * 4000)
        assert values.var() == pytest.approx(limit**2 / 3, rel=0.06)
    assert flipped.mean() == pytest.approx(0.5, abs=0.035)
    assert abs(np.corrcoef(angle, moved[:, 0])[0, 1]) < 0.07


def test_any_angle_flips_both_ways():
    config = AugmentConfig(rotation_deg=180.0, flip=True, shift_fraction=0.0)
    matrix, _ = random_affine(jax.random.key(0), 2000, (8, 8), config)
    assert float(jnp.mean(jnp.linalg.det(matrix) < 0)) == pytest.approx(0.5, abs=0.05)
    angle = np.rad2deg(np.arctan2(matrix[:, 1, 0], matrix[:, 1, 1]))
    counts, _ = np.histogram(angle, bins=8, range=(-180, 180))
    assert counts.min() > 190


def test_no_augmentation_changes_nothing():
    images = jnp.asarray(IMAGE[None])
    np.testing.assert_array_equal(augment(images, jax.random.key(0), NOTHING), images)


def test_same_key_same_images_other_key_others():
    images = jnp.broadcast_to(IMAGE, (4, *IMAGE.shape))
    first, again, other = (_augment(images, jax.random.key(k)) for k in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    assert not np.allclose(first[0], first[1])  # each image its own draw


@pytest.mark.parametrize("input_size", [16, 48])
def test_train_transform_is_the_same_on_one_and_eight_devices(input_size):
    """And needs no communication: the gather stays on each device."""
    images = np.random.default_rng(0).standard_t(2, size=(16, 32, 32, 2)).astype(np.float32)
    preprocess = Preprocess((0, 1), fit_band_statistics(images, ("a", "b")), input_size=input_size)
    transform = make_train_transform(preprocess, AugmentConfig())
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    split, everywhere = (NamedSharding(mesh, PartitionSpec(*spec)) for spec in (("data",), ()))
    sharded = jax.jit(transform, in_shardings=(split, everywhere), out_shardings=split)
    compiled = sharded.lower(images, jax.random.key(0)).compile()
    assert "all-" not in compiled.as_text()
    assert "collective" not in compiled.as_text()
    one = jax.jit(transform)(jnp.asarray(images), jax.random.key(0))
    assert one.shape == (16, input_size, input_size, 2)
    np.testing.assert_allclose(sharded(images, jax.random.key(0)), one, atol=1e-5)


def test_augmenting_before_the_resize_or_after_it_is_nearly_the_same():
    """A smooth blob of known place: rotated and shifted alike at 64 px and at 32 px."""
    y, x = np.mgrid[:64, :64]
    blob = np.exp(-((y - 40) ** 2 + (x - 25) ** 2) / 50).astype(np.float32)[None, ..., None]
    statistics = fit_band_statistics(blob, ("a",))
    shrink = Preprocess((0,), statistics, "linear", subtract_median=False, input_size=32)
    after = jax.jit(make_train_transform(shrink, AugmentConfig()))(jnp.asarray(blob), jax.random.key(1))
    before = _augment(shrink.resize(shrink.normalise(jnp.asarray(blob))), jax.random.key(1))
    assert np.corrcoef(np.ravel(after), np.ravel(before))[0, 1] > 0.995


def test_quarter_turns_and_whole_shifts_interpolate_nothing():
    """Each output pixel is one of the input's, so noise keeps its variance; all eight orientations come up."""
    config = AugmentConfig(rotation_deg=0.0, quarter_turns=True, flip=True, shift_fraction=2 / 16)
    images = np.random.default_rng(0).permutation(256.0 * np.arange(256)).reshape(1, 16, 16, 1).astype(np.float32)
    device = np.asarray(augment(jnp.asarray(np.repeat(images, 1500, axis=0)), jax.random.key(0), config))
    transform = RandomAffine.from_config(config)
    rng = np.random.default_rng(0)
    host = np.stack([transform.random_map({"image": images[0]}, rng)["image"] for _ in range(1500)])
    for result in (device, host):
        np.testing.assert_allclose(result, 256 * np.round(result / 256), atol=1.0)
        turned = {np.rot90(images[0], k)[::flip].tobytes() for k in range(4) for flip in (1, -1)}
        unshifted = [(256 * np.round(image / 256)).astype(np.float32).tobytes() for image in result]
        assert turned == set(unshifted) & turned
        assert len(set(unshifted)) > 100
