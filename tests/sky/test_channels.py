"""XAmin's pictures against the formulas as the paper writes them, pixel by pixel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterjax.errors import InputError
from clusterjax.sky.channels import EIGHT_BIT, PUBLISHED, SIX, arrange, check_channels, xamin_colours, xamin_grey


def plain_grey(value, low, high):
    if value < low:
        return 255.0
    if value > high:
        return 0.0
    return 255 * (1 - (value - low) / (high - low))


def plain_colours(pixel):
    return (
        pixel * 255 / 176 if pixel < 176 else 255.0,
        (pixel - 120) * 255 / 135 if pixel > 120 else 0.0,
        (pixel - 190) * 255 / 65 if pixel > 190 else 0.0,
    )


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), st.floats(-1e5, 1e5), st.floats(1e-3, 1e5))
def test_grey_is_the_plain_definition(values, low, width):
    high = low + width
    expected = [plain_grey(value, low, high) for value in values]
    np.testing.assert_allclose(xamin_grey(np.array(values), low, high), expected, rtol=1e-6, atol=1e-5)


@settings(deadline=None)
@given(st.floats(0, 255))
def test_colours_are_the_plain_definition(pixel):
    np.testing.assert_allclose(xamin_colours(np.array(pixel)), plain_colours(pixel), rtol=1e-12, atol=1e-9)


def test_from_white_by_yellow_and_red_to_black():
    np.testing.assert_allclose(xamin_colours(np.array([255.0, 190.0, 120.0, 0.0]))[:, 2], [255, 0, 0, 0])
    assert xamin_colours(np.array([255])).tolist() == [[255.0, 255.0, 255.0]]
    assert xamin_colours(np.array([0])).tolist() == [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (float("nan"), 1.0)])
def test_cuts_in_no_order(low, high):
    with pytest.raises(InputError, match="min cut must be below its max cut"):
        xamin_grey(np.zeros(3), low, high)


def test_arrangements():
    rng = np.random.default_rng(0)
    grey = {name: rng.integers(0, 256, (5, 7), dtype=np.uint8) for name in ("xray", "optical")}
    picture = arrange(grey, PUBLISHED)
    assert picture.dtype == np.uint8
    assert not picture[..., 0].any()
    np.testing.assert_array_equal(picture[..., 1], grey["xray"])
    np.testing.assert_array_equal(picture[..., 2], grey["optical"])
    turned = arrange(grey, ("optical", "zero", "xray"))
    np.testing.assert_array_equal(turned, picture[..., [2, 0, 1]])
    np.testing.assert_array_equal(arrange(grey, ("optical",))[..., 0], grey["optical"])
    six = arrange(grey, SIX)
    assert six.shape == (5, 7, 6)
    for start, name in ((0, "xray"), (3, "optical")):
        expected = np.rint([[plain_colours(int(pixel)) for pixel in row] for row in grey[name]])
        np.testing.assert_array_equal(six[..., start : start + 3], expected)


@pytest.mark.parametrize(
    ("channels", "reason"),
    [((), "must be some, each once"), (("xray", "xray"), "each once"), (("uv",), "'uv' is unknown")],
)
def test_channels_that_are_none(channels, reason):
    with pytest.raises(InputError, match=reason):
        check_channels(channels, EIGHT_BIT)
