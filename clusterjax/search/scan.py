"""A sliding window over a map: every window scored by a callable, on all devices, in one compiled program."""

import collections
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import tqdm
from absl import logging
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int

from clusterjax.errors import InputError
from clusterjax.search.parameters import lift_parameters
from clusterjax.search.windows import WindowGrid
from clusterjax.sky.skymap import ProbabilityMap, SkyMap

# Batches in flight: enough that the device never waits for the host, few enough to hold little memory.
_BATCHES_AHEAD = 4

Predict = Callable[[Array], Array]  # (batch, y, x, band) -> (batch,) in [0, 1], or (batch, 2): with a spread
Transform = Callable[[Array], Array]  # (batch, size, size, band), NaN where not valid -> what predict takes
ScoreWindows = Callable[[Array, Array], Array]  # map pixels (y, x, band), starts (batch, 2) -> scores


def gather_windows(
    pixels: Float[Array, "y x band"], starts: Int[Array, "batch 2"], size: int
) -> Float[Array, "batch size size band"]:
    """The windows of ``size`` pixels that begin at ``starts`` (y, x)."""

    def window(start):
        return jax.lax.dynamic_slice(pixels, (start[0], start[1], 0), (size, size, pixels.shape[2]))

    return jax.vmap(window)(starts)


def make_score_windows(predict: Predict, transform: Transform, size: int, mesh: Mesh | None = None) -> ScoreWindows:
    """Build ``(pixels, starts) -> scores``, the one compiled program of a scan.

    Under a mesh, windows are shared out along its 'data' axis.
    :func:`scan_map` does so itself. Build it once and pass it on to scan many maps of one shape with one compile.
    """

    def score_windows(pixels, starts):
        windows = gather_windows(pixels, starts, size)
        scores = predict(transform(windows))
        if scores.shape not in ((starts.shape[0],), (starts.shape[0], 2)):
            raise ValueError(
                f"predict returned shape {scores.shape} for {starts.shape[0]} windows; one score each, or score and "
                "spread"
            )
        return scores.astype(jnp.float32)

    everywhere, shared = (
        None if mesh is None else NamedSharding(mesh, spec) for spec in (PartitionSpec(), PartitionSpec("data"))
    )
    programs = {}

    def build(pixels, starts):
        program, parameters = lift_parameters(score_windows, pixels, starts, mesh=mesh)
        if mesh is None:
            return jax.jit(program), parameters
        return jax.jit(program, in_shardings=(None, everywhere, shared), out_shardings=shared), parameters

    def run(pixels, starts):
        key = (pixels.shape, starts.shape)
        if key not in programs:
            programs[key] = build(pixels, starts)
        program, parameters = programs[key]
        return program(parameters, pixels, jax.device_put(starts, shared))

    return run


def scan_map(
    predict: Predict,
    sky: SkyMap,
    *,
    size: int,
    stride: int,
    batch_size: int,
    transform: Transform,
    mesh: Mesh | None = None,
    min_valid_fraction: float | int = 0.5,
    progress: bool | Callable[[int], None] = True,
    score_windows: ScoreWindows | None = None,
) -> ProbabilityMap:
    """Score the windows of :class:`~clusterjax.search.windows.WindowGrid` over ``sky``.

    Args:
      predict: jax-traceable, network input -> scores (batch,) in [0, 1]; or (batch, 2), each with a spread.
      sky: the map; it is put on the device once.
      size, stride: of the windows, in pixels.
      batch_size: windows a step, over all devices; the last batch is filled up with repeats.
      transform: jax-traceable, raw windows (batch, size, size, band) -> network input. Pixels that are not valid
        reach it as NaN (a band that is measured where another is not keeps its value), and so do pixels beyond the
        far edges.
      mesh: with an axis 'data'; None is one device.
      min_valid_fraction: windows with a smaller fraction of valid pixels are not scored.
      progress: show a bar, or what to call with the number of windows just scored.
      score_windows: what :func:`make_score_windows` built of the same predict, transform, size and mesh.

    Raises InputError for a map smaller than the window, a stride above it, a batch that the devices cannot share
    evenly, and a map without any window of enough valid pixels.
    """
    devices = 1 if mesh is None else mesh.shape["data"]
    if batch_size % devices:
        lower = max(batch_size // devices, 1) * devices
        raise InputError(
            f"search.batch_size={batch_size} is not divisible by {devices} devices; use {lower} or {lower + devices}"
        )
    grid = WindowGrid(sky.shape, size, stride)
    scored, valid_fraction = grid.scored(sky.valid, min_valid_fraction)
    starts = grid.starts(scored)
    overhang = [(0, padded - length) for padded, length in zip(grid.padded_shape, sky.shape, strict=True)]
    pixels = np.pad(sky.data, [*overhang, (0, 0)], constant_values=np.nan)
    sharding = None if mesh is None else NamedSharding(mesh, PartitionSpec())
    pixels = jax.device_put(pixels, sharding)
    if score_windows is None:
        score_windows = make_score_windows(predict, transform, size, mesh)
    scores = _score_all(score_windows, pixels, starts, batch_size, progress)
    planes = np.full((*grid.shape, *scores.shape[1:]), np.nan, np.float32)
    planes[scored] = scores
    return map_of_planes(planes, scored, valid_fraction, grid.wcs(sky.wcs), size, stride)


def map_of_planes(planes: Float[np.ndarray, "ny nx *plane"], scored, valid_fraction, *grid) -> ProbabilityMap:
    """The map of scores (ny, nx), or of (ny, nx, 2), scores and spreads; says so where a window has none."""
    score, spread = (planes, None) if planes.ndim == 2 else (planes[..., 0], planes[..., 1])
    warn_of_nan(score[scored])
    return ProbabilityMap(score, valid_fraction, *grid, spread=spread)


def warn_of_nan(scores: Float[np.ndarray, " window"]) -> None:
    """Say so where a window that has data has no score."""
    missing = int(np.isnan(scores).sum())
    if missing:
        logging.warning("predict returned NaN for %d of %d windows; they are left as not scored", missing, len(scores))


def _score_all(score_windows, pixels, starts, batch_size: int, progress) -> Float[np.ndarray, "window *plane"]:
    """All windows in batches of one size; results are fetched a few batches late."""
    scores, pending = [], collections.deque()
    with tqdm.tqdm(total=len(starts), desc="scan", unit="window", disable=progress is not True) as bar:

        def fetch():
            number, result = pending.popleft()
            scores.append(np.asarray(result)[:number])
            bar.update(number)
            if callable(progress):
                progress(number)

        for begin in range(0, len(starts), batch_size):
            batch = starts[begin : begin + batch_size]
            number = len(batch)
            if number < batch_size:
                batch = np.concatenate([batch, np.repeat(batch[-1:], batch_size - number, axis=0)])
            pending.append((number, score_windows(pixels, batch)))
            if len(pending) > _BATCHES_AHEAD:
                fetch()
        while pending:
            fetch()
    return np.concatenate(scores)
