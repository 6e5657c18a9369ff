"""Two branches: each sees its own bands, the middle that it is given, and nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from clusterjax.errors import InputError
from clusterjax.models import create_model

SMALL = {"branch_kwargs": ({"widths": (4, 8)}, {"widths": (4,), "pool": 2})}


def build(num_bands=5, **kwargs):
    options = {"first_bands": 2, "centre_pixels": (None, 16), **SMALL, **kwargs}
    model = create_model("two_branch", num_bands=num_bands, num_classes=2, dtype="float32", rngs=nnx.Rngs(0), **options)
    model.eval()
    return model


@pytest.fixture(scope="module")
def image():
    return jnp.asarray(np.random.default_rng(0).normal(size=(2, 32, 32, 5)), jnp.float32)


def test_features_are_those_of_the_branches(image):
    backbone = build().backbone
    first = backbone.branches[0](image[..., :2])
    second = backbone.branches[1](image[:, 8:24, 8:24, 2:])
    np.testing.assert_array_equal(backbone(image), np.concatenate([first, second], axis=-1))
    assert backbone.num_features == 8 + 2 * 2 * 4


def test_what_a_branch_sees(image):
    backbone = build().backbone
    of_first, of_second = (
        np.abs(jax.grad(lambda x, part=part: backbone(x)[:, part].sum())(image)).max(axis=0)
        for part in (slice(0, 8), slice(8, None))
    )
    assert np.all(of_first[..., 2:] == 0)
    assert np.all(of_second[..., :2] == 0)
    assert np.all(of_first[..., :2].max(axis=(0, 1)) > 0)
    inside = np.zeros((32, 32), bool)
    inside[8:24, 8:24] = True
    assert np.all(of_second[~inside] == 0)
    assert np.all(of_second[inside].max(axis=0)[2:] > 0)


def test_bad_options(image):
    with pytest.raises(InputError, match="first_bands=5 of 5 bands leaves a branch without any"):
        build(first_bands=5)
    with pytest.raises(InputError, match="branches=\\('baseline',\\) must be two"):
        build(branches=("baseline",))
    with pytest.raises(InputError, match=r"config\.model\.name='nope' is unknown"):
        build(branches=("baseline", "nope"))
    with pytest.raises(InputError, match="centre_pixels=40 is more than the input's 32 x 32"):
        build(centre_pixels=(None, 40))(image)
