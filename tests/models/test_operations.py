"""What networks cost, against what torchvision publishes of its own (``_ops`` of each weights' metadata)."""

import jax
import jax.numpy as jnp
import pytest

from clusterjax.models.__main__ import describe
from clusterjax.models.operations import Cost, count_cost

PUBLISHED = {  # 1e9 multiplications with their additions, at 224 px and with 1000 classes; 299 px for Inception
    "resnet50": 4.089,
    "wide_resnet101_2": 22.753,
    "densenet121": 2.834,
    "efficientnet_b0": 0.386,
    "inception_v3": 5.713,
    "vit_b16": 17.564,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_operations_are_the_published_ones(name):
    assert describe(name)["operations"] == pytest.approx(2e9 * PUBLISHED[name], rel=0.01)


def test_each_product_counts():
    def two(image, kernel, matrix):
        y = jax.lax.conv_general_dilated(
            image, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=2
        )
        return jax.jit(jnp.dot)(y, matrix)  # counts within a program in the program

    shapes = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((3, 8, 8, 4), (3, 3, 2, 6), (6, 5))]
    outputs = 3 * 4 * 4
    assert count_cost(two, *shapes) == Cost(outputs * (6 * 2 * 9 * 2 + 5 * 2 * 6), outputs * (6 + 5))
