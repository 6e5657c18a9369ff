"""A map scanned piece by piece, whole pieces at a time, against the windows one by one."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import AxisType
from synthetic_sky import fill, make_map

from clusterjax.errors import InputError
from clusterjax.search.dense import DensePieces, DenseScore, scan_map_dense
from clusterjax.search.scan import scan_map
from clusterjax.search.windows import WindowGrid

SIZE, STRIDE = 16, 4
KERNEL = np.random.default_rng(3).normal(size=(SIZE, SIZE, 2, 1)).astype(np.float32) / 16


def score_windows(windows):
    return jax.nn.sigmoid(jnp.einsum("byxf,yxfo->b", windows, KERNEL))


def score_piece(pixels):
    """The same linear network on all windows of a piece: a convolution with its stride."""
    out = jax.lax.conv_general_dilated(
        fill(pixels), KERNEL, (STRIDE, STRIDE), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return jax.nn.sigmoid(out[..., 0])


DENSE = DenseScore(score_piece, extent_step=STRIDE, halo=SIZE - STRIDE, max_extent=28)


def holed_map(shape=(97, 75)):
    sky = make_map(shape)
    data = np.random.default_rng(2).normal(size=sky.data.shape).astype(np.float32)
    data[40:, :38] = np.nan  # a corner without data, which whole pieces lie in
    data[5:9, 50:60, 1] = np.nan
    return dataclasses.replace(sky, data=data, valid=np.isfinite(data).all(2))


@pytest.mark.parametrize("devices", [1, 8])
@pytest.mark.parametrize("max_extent", [1, 28, 1000])
def test_dense_scan_equals_the_windows(devices, max_extent, capsys):
    mesh = None if devices == 1 else jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    sky = holed_map()
    options = {"size": SIZE, "stride": STRIDE, "min_valid_fraction": 0.6}
    expected = scan_map(score_windows, sky, **options, batch_size=16, transform=fill, progress=False)
    dense = dataclasses.replace(DENSE, max_extent=max_extent)
    found = scan_map_dense(dense, sky, **options, mesh=mesh)
    np.testing.assert_allclose(found.score, expected.score, atol=1e-6)  # NaN in the same places
    assert 0 < np.isnan(found.score).sum() < found.score.size
    np.testing.assert_array_equal(found.valid_fraction, expected.valid_fraction)
    assert found.wcs.to_header_string() == expected.wcs.to_header_string()
    number = int(np.isfinite(found.score).sum())
    assert f"{number}/{number}" in capsys.readouterr().err


def test_one_program_and_no_pieces_without_data():
    sky, shapes = holed_map(), []

    def score(pixels):
        shapes.append(pixels.shape)
        jax.debug.callback(lambda x: calls.append(np.isfinite(x).any()), pixels)
        return score_piece(pixels)

    calls = []
    dense = dataclasses.replace(DENSE, score=score, max_extent=16)
    scan_map_dense(dense, sky, size=SIZE, stride=STRIDE, progress=False)
    jax.effects_barrier()
    assert shapes == [(1, 28, 28, 2)]
    assert all(calls)
    grid = WindowGrid(sky.shape, SIZE, STRIDE)
    everything = DensePieces.of(grid, dense).pieces(np.ones(grid.shape, bool))
    assert len(calls) < len(everything)


@settings(max_examples=30, deadline=None)
@given(
    ny=st.integers(20, 60),
    nx=st.integers(20, 60),
    stride=st.sampled_from([1, 2, 3, 4, 6, 20]),
    step=st.integers(1, 3),
    max_extent=st.integers(1, 120),
)
def test_pieces_cover_each_window_once(ny, nx, stride, step, max_extent):
    sky = make_map((ny, nx))
    sky.data[..., 0] = np.arange(ny * nx).reshape(ny, nx)
    grid = WindowGrid((ny, nx), 20, stride)
    dense = DenseScore(score_piece, extent_step=stride * step, halo=20 - 1, max_extent=max_extent)
    layout = DensePieces.of(grid, dense)
    assert all(extent % dense.extent_step == 0 for extent in layout.extent)
    assert max(layout.extent) <= max(max_extent, dense.extent_step)
    seen = np.zeros(grid.shape, int)
    padded = np.pad(sky.data, [(0, 200), (0, 200), (0, 0)], constant_values=np.nan)
    for piece in layout.pieces(np.ones(grid.shape, bool)):
        seen[piece] += 1
        (y, x), (length_y, length_x) = (each.start * stride for each in piece), layout.input_shape
        np.testing.assert_array_equal(layout.pixels(sky, piece), padded[y : y + length_y, x : x + length_x])
    assert np.all(seen == 1)


def test_errors_are_the_scans():
    sky = holed_map()
    with pytest.raises(InputError, match="smaller than the window"):
        scan_map_dense(DENSE, make_map((12, 40)), size=SIZE, stride=STRIDE)
    empty = dataclasses.replace(sky, valid=np.zeros_like(sky.valid))
    with pytest.raises(InputError, match=r"none of the .* windows of 16 pixels has search\.min_valid_fraction=0\.5"):
        scan_map_dense(DENSE, empty, size=SIZE, stride=STRIDE)


def test_scores_that_are_nan_are_reported(caplog):
    dense = dataclasses.replace(DENSE, score=lambda pixels: jnp.log(score_piece(pixels) - 0.5))
    scan_map_dense(dense, holed_map(), size=SIZE, stride=STRIDE, progress=False)
    assert "predict returned NaN for" in caplog.text
