"""Scans of maps larger than memory: no seams, flat memory, nothing lost when killed."""

import functools
import pathlib
import re
import signal
import subprocess
import sys
import time
import tracemalloc

import jax
import numpy as np
import pytest
from synthetic_sky import central_flux, fill

from clusterjax.errors import InputError
from clusterjax.search.detect import find_detections
from clusterjax.search.scan import make_score_windows, scan_map
from clusterjax.search.tiles import scan_tiles
from clusterjax.search.windows import WindowGrid
from clusterjax.sky.fits import open_images, write_sky_map
from clusterjax.sky.geometry import make_wcs, pixel_to_sky
from clusterjax.sky.skymap import ProbabilityMap, SkyMap

ROOT = pathlib.Path(__file__).parents[2]
SIZE, STRIDE = 16, 4
WINDOWS = {"size": SIZE, "stride": STRIDE}


@pytest.fixture(scope="module")
def sky():
    data = np.random.default_rng(2).normal(size=(203, 171, 2)).astype(np.float32)
    data[30:70, 40:90] = np.nan
    wcs = make_wcs(data.shape[:2], ra_deg=30, dec_deg=5, pixel_scale_arcsec=60)
    return SkyMap(data, wcs, np.isfinite(data).all(2), ("a", "b"))


@pytest.fixture(scope="module")
def network():
    """Options of scan_map for a small convolutional network: sums whose order could differ."""
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 3, 2, 8)).astype(np.float32)
    dense = rng.normal(size=(SIZE // 2 * SIZE // 2 * 8,)).astype(np.float32) / 10

    def predict(images):
        features = jax.lax.conv_general_dilated(
            images, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return jax.nn.sigmoid(jax.nn.relu(features).reshape(len(images), -1) @ dense)

    options = {"batch_size": 32, "transform": fill, "progress": False}
    score_windows = make_score_windows(predict, fill, SIZE)
    return functools.partial(scan_map, predict, **WINDOWS, **options, score_windows=score_windows)


def numpy_score(piece: SkyMap, progress=None) -> ProbabilityMap:
    """The first pixel of each window: quick, and shows a window out of place."""
    grid = WindowGrid(piece.shape, SIZE, STRIDE)
    score = piece.data[: STRIDE * grid.shape[0] : STRIDE, : STRIDE * grid.shape[1] : STRIDE, 0]
    if progress is not None:
        progress(score.size)
    return ProbabilityMap(score, grid.valid_fraction(piece.valid), grid.wcs(piece.wcs), SIZE, STRIDE)


@pytest.mark.parametrize("tile_pixels", [16, 40, 63, 128, 1024])
def test_tiles_are_the_map_in_one_piece_bit_for_bit(sky, network, tile_pixels):
    whole = network(sky)
    calls = []

    def score_piece(piece, progress):
        calls.append(piece.shape)
        return network(piece)

    if tile_pixels == 16:  # a window a tile: enough to see a few
        sky = SkyMap(sky.data[:40, :36], sky.wcs, sky.valid[:40, :36], sky.bands)
        whole = network(sky)
    tiled = scan_tiles(score_piece, sky, **WINDOWS, tile_pixels=tile_pixels, progress=False)
    np.testing.assert_array_equal(tiled.score, whole.score)
    np.testing.assert_array_equal(tiled.valid_fraction, whole.valid_fraction)
    assert (tiled.window_pixels, tiled.stride_pixels) == (SIZE, STRIDE)
    assert np.isnan(tiled.score).any() == (tile_pixels != 16)
    assert len(set(calls)) == 1  # one compiled program
    assert max(calls[0]) <= max(tile_pixels, SIZE)
    assert len(calls) == {16: 42, 40: 41, 63: 16, 128: 4, 1024: 1}[tile_pixels]
    ours, theirs = (pixel_to_sky(each.wcs, [0, 5], [3, 1]) for each in (tiled, whole))
    np.testing.assert_allclose(ours, theirs)


def test_pieces_know_where_they_lie(sky):
    """A method may need positions: each piece has its own WCS."""
    seen = []

    def score_piece(piece, progress):
        seen.append(piece.pixel_to_sky(0, 0))
        return numpy_score(piece)

    scan_tiles(score_piece, sky, **WINDOWS, tile_pixels=64, progress=False)
    first = [sky.pixel_to_sky(y, x) for y in range(0, 190, 52) for x in range(0, 160, 52)]
    np.testing.assert_allclose(seen, first, atol=1e-9)


def test_a_map_on_disk_that_is_killed_goes_on_where_it_was(sky, tmp_path):
    """kill -9 in the middle of a scan; finished tiles are not scored again, and one that is spoiled is."""
    write_sky_map(tmp_path / "map.fits", sky)
    tiles = tmp_path / "tiles"
    tiles.mkdir()
    code = f"""
import sys, time, pathlib
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests" / "search")!r}]
from clusterjax.search.tiles import scan_tiles
from clusterjax.search.windows import WindowGrid
from clusterjax.sky.fits import open_images
from clusterjax.sky.skymap import ProbabilityMap
def score(piece, progress):
    time.sleep(0.3)
    grid = WindowGrid(piece.shape, {SIZE}, {STRIDE})
    first = piece.data[:{STRIDE} * grid.shape[0]:{STRIDE}, :{STRIDE} * grid.shape[1]:{STRIDE}, 0]
    return ProbabilityMap(first, grid.valid_fraction(piece.valid), piece.wcs, {SIZE}, {STRIDE})
scan_tiles(score, open_images([{str(tmp_path / "map.fits")!r}]), size={SIZE}, stride={STRIDE}, tile_pixels=40,
           folder=pathlib.Path({str(tiles)!r}))
"""
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while len(list(tiles.glob("tile_*"))) < 3 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = sorted(tiles.glob("tile_*"))
    assert 3 <= len(done) < 42
    done[1].write_bytes(done[1].read_bytes()[:-100])
    kept = {path: path.stat().st_mtime_ns for path in done}
    calls = []

    def score_piece(piece, progress):
        calls.append(1)
        return numpy_score(piece)

    options = {**WINDOWS, "tile_pixels": 40, "progress": False}
    tiled = scan_tiles(score_piece, open_images([tmp_path / "map.fits"]), **options, folder=tiles)
    np.testing.assert_array_equal(tiled.score, scan_tiles(numpy_score, sky, **options).score)
    assert len(calls) == 41 - len(done) + 1
    assert [path for path in done if path.stat().st_mtime_ns != kept[path]] == [done[1]]
    assert not list(tiles.glob(".partial*"))


def test_memory_does_not_grow_with_the_map(sparse_map):
    """A file of 144 MB, scanned within 12 MB."""
    shape = (6_000, 6_000)
    path = sparse_map("sparse.fits", shape, make_wcs(shape, ra_deg=30, dec_deg=5, pixel_scale_arcsec=2.75))
    options = {"size": SIZE, "stride": SIZE, "tile_pixels": 512, "progress": False}

    def score_piece(piece, progress):
        grid = WindowGrid(piece.shape, SIZE, SIZE)
        score = piece.data[: SIZE * grid.shape[0] : SIZE, : SIZE * grid.shape[1] : SIZE, 0]
        return ProbabilityMap(score, grid.valid_fraction(piece.valid), piece.wcs, SIZE, SIZE)

    tracemalloc.start()
    scores = scan_tiles(score_piece, open_images([path]), **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert scores.shape == (375, 375)
    assert peak < 12e6


def test_a_source_on_the_seam_of_a_map_of_the_whole_turn(tmp_path):
    """RA 180 is both ends of the map; windows go on past it, and what is found twice is one candidate."""
    shape = (48, 360)
    wcs = make_wcs(shape, ra_deg=0.0, dec_deg=0.0, pixel_scale_arcsec=3600, projection="CAR")
    data = np.zeros((*shape, 2), np.float32)
    sky = SkyMap(data, wcs, np.ones(shape, bool), ("a", "b"))
    y, x = np.indices(shape)
    for row, column in ((23, -0.5), (23, 359.5), (23, 100)):
        data += np.exp(-((y - row) ** 2 + (x - column) ** 2) / 4)[..., None].astype(np.float32) * 60
    write_sky_map(tmp_path / "turn.fits", sky)
    score_piece = functools.partial(scan_map, central_flux, **WINDOWS, batch_size=16, transform=fill)
    scores = scan_tiles(score_piece, open_images([tmp_path / "turn.fits"]), **WINDOWS, tile_pixels=100, progress=False)
    assert scores.shape[1] == 90  # as many columns of windows as steps in the turn
    found = find_detections(scores, threshold=0.5, min_separation_arcmin=60 * SIZE)
    from_seam = np.abs((np.asarray(found["ra_deg"]) - 180 + 180) % 360 - 180)
    assert (from_seam < 2).sum() == 1
    assert len(found) == 2


def test_what_cannot_be_scanned(sky):
    with pytest.raises(InputError, match="smaller than the window"):
        scan_tiles(numpy_score, sky, size=180, stride=8)
    nothing = SkyMap(np.full_like(sky.data, np.nan), sky.wcs, np.zeros(sky.shape, bool), sky.bands)
    with pytest.raises(InputError, match=r"none of the 1920 windows .* search\.min_valid_fraction=0\.5"):
        scan_tiles(numpy_score, nothing, **WINDOWS, tile_pixels=64, progress=False)


def test_progress_in_square_degrees(sky, capsys):
    scan_tiles(numpy_score, sky, **WINDOWS, tile_pixels=64)
    shown = capsys.readouterr().err
    total = re.search(r"100%.*\| ([\d.]+)/([\d.]+) deg2 \[", shown)
    assert total[1] == total[2]
    assert float(total[1]) == pytest.approx(48 * 40 * (STRIDE / 60) ** 2, rel=1e-3)


def test_tiles_that_hosts_share_are_the_map_of_one_bit_for_bit(sky, network, tmp_path):
    expected = scan_tiles(network, sky, **WINDOWS, tile_pixels=64, progress=False)
    options = {**WINDOWS, "tile_pixels": 64, "progress": False, "folder": tmp_path}
    numbers = []
    for host in range(3):
        assert scan_tiles(network, sky, **options, part=(host, 3)) is None
        numbers.append(len(list(tmp_path.iterdir())))
    assert numbers[0] < numbers[1] < numbers[2]
    assert numbers[0] <= numbers[2] / 3 + 1

    def nothing_left(*_, **__):
        raise AssertionError("a tile was scored twice")

    together = scan_tiles(nothing_left, sky, **options)
    np.testing.assert_array_equal(together.score, expected.score)
    np.testing.assert_array_equal(together.valid_fraction, expected.valid_fraction)
