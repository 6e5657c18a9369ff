"""A dense scan: pieces of a map scored whole, for networks whose windows can share their convolutions.

The grid of windows, their scores (to float32 rounding) and the score map are those of
:func:`clusterjax.search.scan.scan_map`.
"""

import collections
import dataclasses
import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import tqdm
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float

from clusterjax.search.parameters import lift_parameters
from clusterjax.search.scan import map_of_planes
from clusterjax.search.windows import WindowGrid
from clusterjax.sky.skymap import ProbabilityMap, SkyMap


@dataclasses.dataclass(frozen=True)
class DenseScore:
    """Scores all windows of a piece of a map.

    ``score`` is jax-traceable: raw pixels (batch, y, x, band), NaN where not valid, to scores (batch, ny, nx); with
    ``has_spread`` to scores and spreads (batch, ny, nx, 2). A piece
    is an extent, in which windows begin every ``stride`` pixels, of a multiple of ``extent_step`` pixels and at most
    ``max_extent``, which bounds the memory, and ``halo`` pixels more.
    """

    score: Callable[[Array], Array]
    extent_step: int
    halo: int
    max_extent: int
    has_spread: bool = False


@dataclasses.dataclass(frozen=True)
class DensePieces:
    """Pieces of one shape (y, x) that cover all windows of a grid; the first begins at pixel 0, the last may overhang.

    ``extent`` is in pixels, ``windows`` in windows.
    """

    grid: WindowGrid
    extent: tuple[int, int]
    halo: int

    @classmethod
    def of(cls, grid: WindowGrid, dense: DenseScore) -> "DensePieces":
        """As few pieces as ``dense.max_extent`` allows, of sizes as equal as ``dense.extent_step`` allows."""
        extent = []
        for number in grid.shape:
            most = max(dense.max_extent // dense.extent_step, 1) * dense.extent_step
            pieces = -(-number * grid.stride // most)
            least = -(-number * grid.stride // pieces)
            extent.append(-(-least // dense.extent_step) * dense.extent_step)
        return cls(grid, tuple(extent), dense.halo)

    @property
    def windows(self) -> tuple[int, int]:
        """Windows (y, x) of a piece."""
        return tuple(length // self.grid.stride for length in self.extent)

    @property
    def input_shape(self) -> tuple[int, int]:
        """Pixels (y, x) of a piece with its halo."""
        return tuple(length + self.halo for length in self.extent)

    def pieces(self, wanted: Bool[np.ndarray, "ny nx"]) -> list[tuple[slice, slice]]:
        """The windows of each piece that has a wanted one, as slices of the grid (within it, or beyond its end)."""
        starts = (range(0, number, step) for number, step in zip(self.grid.shape, self.windows, strict=True))
        slices = (
            tuple(slice(start, start + step) for start, step in zip(corner, self.windows, strict=True))
            for corner in itertools.product(*starts)
        )
        return [piece for piece in slices if wanted[piece].any()]

    def pixels(self, sky: SkyMap, piece: tuple[slice, slice]) -> Float[np.ndarray, "y x band"]:
        """The map's pixels that the piece's windows see; NaN beyond the map."""
        low = [each.start * self.grid.stride for each in piece]
        high = [start + length for start, length in zip(low, self.input_shape, strict=True)]
        inside = sky.data[low[0] : high[0], low[1] : high[1]]
        if inside.shape[:2] == self.input_shape:
            return inside
        missing = [(0, wanted - there) for wanted, there in zip(self.input_shape, inside.shape[:2], strict=True)]
        return np.pad(inside, [*missing, (0, 0)], constant_values=np.nan)


def make_score_pieces(dense: DenseScore, mesh: Mesh | None = None) -> Callable[[Array], Array]:
    """Build ``pieces (device, y, x, band) -> scores (device, ny, nx)``, compiled once a shape; one piece a device.

    :func:`scan_map_dense` does so itself. Build it once and pass it on to scan many maps of one shape with one compile.
    """
    shared = None if mesh is None else NamedSharding(mesh, PartitionSpec("data"))
    programs = {}

    def run(pieces):
        if pieces.shape not in programs:
            shape = jax.ShapeDtypeStruct(pieces.shape, jnp.float32)
            program, parameters = lift_parameters(dense.score, shape, mesh=mesh)
            programs[pieces.shape] = jax.jit(program, in_shardings=(None, shared), out_shardings=shared), parameters
        program, parameters = programs[pieces.shape]
        return program(parameters, jax.device_put(pieces, shared))

    return run


def scan_map_dense(
    dense: DenseScore,
    sky: SkyMap,
    *,
    size: int,
    stride: int,
    mesh: Mesh | None = None,
    min_valid_fraction: float | int = 0.5,
    progress: bool | Callable[[int], None] = True,
    score_pieces: Callable[[Array], Array] | None = None,
) -> ProbabilityMap:
    """Score the windows of :class:`~clusterjax.search.windows.WindowGrid` over ``sky``, piece by piece.

    Pieces without a window to score are left out. The memory in use is that of a few pieces, however large the map.
    ``size``, ``stride``, ``mesh``, ``min_valid_fraction`` and ``progress`` are
    :func:`~clusterjax.search.scan.scan_map`'s, and so are the errors; each device of the mesh takes a piece at a time.
    ``score_pieces`` is what :func:`make_score_pieces` built of the same ``dense`` and ``mesh``.
    """
    grid = WindowGrid(sky.shape, size, stride)
    scored, valid_fraction = grid.scored(sky.valid, min_valid_fraction)
    layout = DensePieces.of(grid, dense)
    if score_pieces is None:
        score_pieces = make_score_pieces(dense, mesh)
    devices = 1 if mesh is None else mesh.shape["data"]
    planes = np.full((*grid.shape, 2) if dense.has_spread else grid.shape, np.nan, np.float32)
    pending = collections.deque()
    with tqdm.tqdm(total=int(scored.sum()), desc="scan", unit="window", disable=progress is not True) as bar:

        def fetch():
            pieces, results = pending.popleft()
            for piece, result in zip(pieces, np.asarray(results), strict=False):
                wanted = scored[piece]
                ny, nx = wanted.shape
                planes[piece][wanted] = result[:ny, :nx][wanted]
                bar.update(int(wanted.sum()))
                if callable(progress):
                    progress(int(wanted.sum()))

        for pieces in itertools.batched(layout.pieces(scored), devices):
            pixels = [layout.pixels(sky, piece) for piece in pieces]
            pixels += pixels[-1:] * (devices - len(pieces))
            pending.append((pieces, score_pieces(np.stack(pixels) if devices > 1 else pixels[0][None])))
            if len(pending) > 1:  # one computes while the host cuts out the next
                fetch()
        while pending:
            fetch()
    return map_of_planes(planes, scored, valid_fraction, grid.wcs(sky.wcs), size, stride)
