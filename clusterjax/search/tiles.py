"""A scan of a map of any size: piece by piece, in the memory of one piece, taken up again where it was stopped.

The windows of the whole map's grid are dealt out to tiles. A tile's piece of the map reaches as far as its windows do,
which is a halo of window minus stride shared with the next tile; each window is scored once, by one tile, and sees
the same pixels as in one piece. So there are no seams, whatever scores a piece.
"""

import dataclasses
import functools
import itertools
import pathlib
import zipfile
from collections.abc import Callable, Iterator

import numpy as np
import tqdm

from clusterjax.search.windows import WindowGrid, check_any_scored, is_scored
from clusterjax.sky.geometry import pixel_area_deg2, strided_wcs
from clusterjax.sky.reader import MapReader
from clusterjax.sky.skymap import ProbabilityMap, SkyMap
from clusterjax.writing import replacing

TILE_PIXELS = 1024  # a side of a piece: tens of MB at most, and minutes of work at most to lose

# (piece of the map, progress=what to call with the number of windows just scored) -> scores of its own window grid
ScorePiece = Callable[..., ProbabilityMap]
Planes = dict[str, np.ndarray]  # score, valid_fraction, and spread where several networks score: each (ny, nx)


@dataclasses.dataclass(frozen=True)
class ScanTile:
    """Windows [rows, columns] of the grid; ``start`` (y, x) is the first pixel of its piece."""

    number: tuple[int, int]
    rows: slice
    columns: slice
    start: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """Windows (ny, nx)."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start


@dataclasses.dataclass(frozen=True)
class Tiling:
    """The tiles of a grid of windows. All pieces have one shape, so that one compiled program serves them all."""

    grid: WindowGrid
    tile_pixels: int = TILE_PIXELS

    @property
    def tile_shape(self) -> tuple[int, int]:
        """Windows (ny, nx) of a tile: as many as fit ``tile_pixels``; the last tiles of a row or column have fewer."""
        most = max((self.tile_pixels - self.grid.size) // self.grid.stride + 1, 1)
        return tuple(min(most, number) for number in self.grid.shape)

    @property
    def piece_shape(self) -> tuple[int, int]:
        """Pixels (y, x) of every piece."""
        return tuple((number - 1) * self.grid.stride + self.grid.size for number in self.tile_shape)

    def __iter__(self) -> Iterator[ScanTile]:
        starts = [range(0, length, step) for length, step in zip(self.grid.shape, self.tile_shape, strict=True)]
        for number in itertools.product(*(range(len(axis)) for axis in starts)):
            first = tuple(axis[index] for axis, index in zip(starts, number, strict=True))
            ends = (
                min(begin + step, length)
                for begin, step, length in zip(first, self.tile_shape, self.grid.shape, strict=True)
            )
            rows, columns = (slice(*pair) for pair in zip(first, ends, strict=True))
            yield ScanTile(number, rows, columns, tuple(index * self.grid.stride for index in first))


def scanned_shape(sky: SkyMap | MapReader, size: int, stride: int) -> tuple[int, int]:
    """(ny, nx) pixels that windows cover: the map; of one that closes on itself, so far past its end that every
    column is seen by as many windows as any other."""
    return sky.shape if sky.turn is None else (sky.shape[0], size + sky.turn - min(stride, sky.turn))


def scan_tiles(
    score_piece: ScorePiece,
    sky: SkyMap | MapReader,
    *,
    size: int,
    stride: int,
    min_valid_fraction: float | int = 0.5,
    folder: pathlib.Path | None = None,
    tile_pixels: int = TILE_PIXELS,
    progress: bool = True,
    part: tuple[int, int] = (0, 1),
) -> ProbabilityMap | None:
    """Score the windows of :class:`~clusterjax.search.windows.WindowGrid` over ``sky``, tile by tile.

    Args:
      score_piece: scores a piece of the map, as :func:`~clusterjax.search.scan.scan_map` does, by any method. Not
        called for a piece without a window of enough valid pixels.
      sky: a map in memory or on disk; one piece of it at a time is read.
      size, stride: of the windows, in pixels.
      min_valid_fraction: windows with a smaller fraction of valid pixels are not scored.
      folder: where each finished tile is kept; those that lie there are not scored again. The caller sees to it
        that they are of the same map and scores.
      tile_pixels: side of a piece.
      progress: show the area done in square degrees, and the time left.
      part: (i, n) with n above 1 is one of n hosts: every n-th tile from the i-th is scored and kept in ``folder``, and
        nothing is returned. When all hosts are done, the same call without it puts the tiles together.

    In memory remain the scores: eight bytes (with a spread twelve) for each window of the grid. Raises InputError for a
    map smaller than the window, a stride above it, and a map without any window of enough valid pixels.
    """
    grid = WindowGrid(scanned_shape(sky, size, stride), size, stride)
    tiling = Tiling(grid, tile_pixels)
    whole = {"score": np.full(grid.shape, np.nan, np.float32), "valid_fraction": np.zeros(grid.shape, np.float32)}
    wcs = grid.wcs(sky.wcs)
    paths = {tile: folder and folder / f"tile_{tile.number[0]:05d}_{tile.number[1]:05d}.npz" for tile in tiling}
    areas = {tile: _area_deg2(wcs, tile) for tile in paths}
    missing = []
    for number, (tile, path) in enumerate(paths.items()):
        if number % part[1] != part[0]:
            continue
        finished = path and _read_tile(path, tile.shape)
        if finished:
            _put(whole, tile, finished)
        else:
            missing.append(tile)
    total = sum(list(areas.values())[part[0] :: part[1]])
    with _deg2_bar(total, total - sum(areas[tile] for tile in missing), progress) as bar:
        for tile in missing:
            advance = functools.partial(_advance, bar, areas[tile])
            finished = _score_tile(score_piece, sky, tiling, tile, min_valid_fraction, advance)
            if folder:
                _write_tile(paths[tile], finished)
            _put(whole, tile, finished)
    if part[1] > 1:
        return None
    check_any_scored(whole["valid_fraction"], size, min_valid_fraction)
    return ProbabilityMap(wcs=wcs, window_pixels=size, stride_pixels=stride, **whole)


def _put(whole: Planes, tile: ScanTile, planes: Planes) -> None:
    """The tile's planes at its place; a spread is there only if tiles have one."""
    for name, values in planes.items():
        into = whole.setdefault(name, np.full(whole["score"].shape, np.nan, np.float32))
        into[tile.rows, tile.columns] = values


def _deg2_bar(total: float, done: float, shown: bool) -> tqdm.tqdm:
    form = "{desc} {percentage:3.0f}%|{bar}| {n:.4g}/{total:.4g} deg2 [{elapsed}<{remaining}]"
    return tqdm.tqdm(total=total, initial=done, desc="scan", bar_format=form, disable=not shown, dynamic_ncols=True)


def _advance(bar: tqdm.tqdm, area: float, part: float) -> None:
    """By a part of an area; never past the end, where rounding would take it and a bar shows nothing."""
    bar.update(min(area * part, bar.total - bar.n))


def _area_deg2(wcs, tile: ScanTile) -> float:
    """Of the grid's pixels in the tile, as at its middle; 0 off the projection."""
    middle = ((part.start + part.stop - 1) / 2 for part in (tile.rows, tile.columns))
    return float(np.nan_to_num(pixel_area_deg2(wcs, *middle))) * float(np.prod(tile.shape))


def _score_tile(
    score_piece: ScorePiece, sky, tiling: Tiling, tile: ScanTile, min_valid_fraction, advance: Callable[[float], None]
) -> Planes:
    """Of a tile's windows. ``advance`` is told which part of the tile was just done."""
    data = sky.pixels(*tile.start, *tiling.piece_shape)
    # What lies past the far edges of the map is not scanned, though a map that closes on itself has pixels there.
    beyond = (length - start for start, length in zip(tile.start, tiling.grid.map_shape, strict=True))
    for axis, length in enumerate(beyond):
        data[(slice(None),) * axis + (slice(length, None),)] = np.nan
    valid = np.isfinite(data).all(axis=2)
    own = tuple(slice(length) for length in tile.shape)
    grid = WindowGrid(tiling.piece_shape, tiling.grid.size, tiling.grid.stride)
    valid_fraction = grid.valid_fraction(valid)
    number = int(is_scored(valid_fraction, min_valid_fraction).sum())
    if not number:
        advance(1.0)
        return {"score": np.full(tile.shape, np.nan, np.float32), "valid_fraction": valid_fraction[own]}
    wcs = strided_wcs(sky.wcs, 1, tile.start)
    piece = SkyMap(data, wcs, valid, sky.bands, sky.units, sky.pixel_scale_arcsec)
    scores = score_piece(piece, progress=lambda scored: advance(scored / number))
    planes = {"score": scores.score, "valid_fraction": valid_fraction}
    if scores.spread is not None:
        planes["spread"] = scores.spread
    return {name: values[own].astype(np.float32) for name, values in planes.items()}


def _write_tile(path: pathlib.Path, tile: Planes) -> None:
    with replacing(path) as partial:
        np.savez(partial, **tile)


def _read_tile(path: pathlib.Path, shape: tuple[int, int]) -> Planes | None:
    """A finished tile; None if there is none, or none that is whole."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            tile = {name: stored[name] for name in stored.files}
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    whole = {"score", "valid_fraction"} <= set(tile) and all(part.shape == shape for part in tile.values())
    return tile if whole else None
