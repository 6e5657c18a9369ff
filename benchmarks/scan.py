"""Windows a second of whole scans, side by side: dense, gathered windows, and PyTorch's loops over the same windows.

    python benchmarks/scan.py --model=baseline --torch_python /path/to/python/with/torch

All are of one network without padding (``--padding=SAME``: with it, and no dense scan), and all cut windows out of a
map, normalise and score them; ours also write the score map. They are timed in turns, so that a busy machine slows all
alike; ratios are medians of those within a turn, by the clock and by the processor time of all cores, which other
programs on the machine hardly change. Beside them the network's own batched forward pass on ready images.
On an accelerator, ``--peak_tflops`` (an H200: 790 in bfloat16) gives the part of it that each of ours reaches, by the
operations that XLA counts in it.

Aims, 64 px, a stride of 4, 2 cores: dense 60 times the gathered windows; those no slower than PyTorch's batches and
0.9 of the forward pass; a map of 2048 x 2048 pixels (``--map_size=2048``) in less than 60 s and 3 GB.
"""

import argparse
import functools
import os
import pathlib
import resource
import statistics
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from models import Torch

from clusterjax.jobs.scanning import PIECE_BYTES
from clusterjax.large_pages import use_large_pages
from clusterjax.models import create_model
from clusterjax.models.operations import count_cost
from clusterjax.models.sliding import evaluate_dense, plan_dense
from clusterjax.search.dense import DenseScore, make_score_pieces, scan_map_dense
from clusterjax.search.scan import make_score_windows, scan_map
from clusterjax.search.windows import WindowGrid
from clusterjax.sky.fits import write_probability_map
from clusterjax.sky.geometry import make_wcs
from clusterjax.sky.skymap import SkyMap

_NOISE_NMGY = (3.5, 8.5)  # of an unWISE pixel in W1, W2
_PIXEL_DEG = 2.75 / 3600


def make_map(length: int) -> SkyMap:
    """A map of noise."""
    wcs = make_wcs((length, length), ra_deg=30.0, dec_deg=5.0, pixel_scale_arcsec=2.75)
    data = np.random.default_rng(0).normal(size=(length, length, 2)).astype(np.float32) * np.float32(_NOISE_NMGY)
    return SkyMap(data, wcs, np.ones((length, length), bool), ("W1", "W2"), "nMgy (Vega)")


def transform(windows):
    """The normalisation's arithmetic: valid pixels in units of the noise, asinh, NaN to 0."""
    return jnp.nan_to_num(jnp.arcsinh(windows / jnp.asarray(_NOISE_NMGY)))


class Scans:
    """A network, and its ways over a map. Each way returns windows a second."""

    def __init__(self, args):
        kwargs = {"padding": "VALID"} if args.padding == "VALID" else {}
        kwargs |= {"pool": args.pool} if args.pool else {}
        kwargs |= {"head_kwargs": {"widths": args.hidden}} if args.hidden else {}
        network = create_model(args.model, num_bands=2, num_classes=2, dtype=args.dtype, rngs=nnx.Rngs(0), **kwargs)
        network.eval()  # dropout asks for random numbers otherwise
        graphdef, state = nnx.split(network)
        self.num_parameters = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(network, nnx.Param)))

        def score(state, images):
            return jax.nn.softmax(nnx.merge(graphdef, state)(images).astype(jnp.float32))

        self.args, self.state = args, state
        self.predict = lambda images: score(state, images)[:, 1]
        self.score_windows = make_score_windows(self.predict, transform, args.size)
        self.own = jax.jit(score)
        shape = (args.batch_size, args.size, args.size, 2)
        self.images = jnp.asarray(np.random.default_rng(1).normal(size=shape), jnp.float32)
        side = int((args.batch_size * args.batches) ** 0.5)
        self.small = make_map((side - 1) * args.stride + args.size)
        self.numbers = {"windows": side**2, "forward": args.batch_size * args.batches}  # of windows each way scores
        self.folder = tempfile.TemporaryDirectory()
        if args.padding == "VALID":
            self.large = make_map(args.map_size)
            self.numbers["dense"] = int(np.prod(WindowGrid(self.large.shape, args.size, args.stride).shape))
            plan = plan_dense(network, window=args.size, stride=args.stride, num_bands=2)
            self.dense_score = DenseScore(
                lambda pixels: evaluate_dense(lambda x: score(state, x), plan, transform(pixels))[..., 1],
                plan.extent_step,
                plan.halo,
                plan.largest_extent(PIECE_BYTES),
            )
            self.score_pieces = make_score_pieces(self.dense_score)

    def _write(self, scores, start: float) -> float:
        write_probability_map(pathlib.Path(self.folder.name) / "score.fits", scores)
        return scores.score.size / (time.perf_counter() - start)

    def dense(self) -> float:
        start = time.perf_counter()
        options = {"size": self.args.size, "stride": self.args.stride, "progress": False}
        program = {"score_pieces": self.score_pieces}  # compiled once, as that of the windows
        return self._write(scan_map_dense(self.dense_score, self.large, **options, **program), start)

    def windows(self) -> float:
        start = time.perf_counter()
        options = {"size": self.args.size, "stride": self.args.stride, "batch_size": self.args.batch_size}
        program = {"transform": transform, "progress": False, "score_windows": self.score_windows}
        return self._write(scan_map(self.predict, self.small, **options, **program), start)

    def forward(self) -> float:
        start = time.perf_counter()
        jax.block_until_ready([self.own(self.state, self.images) for _ in range(self.args.batches)])
        return self.args.batch_size * self.args.batches / (time.perf_counter() - start)


def make_torch(args, batch_size: int):
    """(PyTorch's process, a way that returns windows a second of its loop over a map, ``batch_size`` at a time, and how
    many those are)."""
    number = 64 if batch_size == 1 else args.batch_size * min(args.batches, 4)
    torch = Torch(
        args.torch_python,
        name=args.model,
        size=args.size,
        batch_size=batch_size,
        num_bands=2,
        padding=args.padding,
        compile=None,
        bfloat16=args.dtype == "bfloat16",
        num_threads=len(os.sched_getaffinity(0)),
        pool=args.pool,
        hidden=args.hidden,
    )
    torch.ask({"map": {"num_windows": number, "stride": args.stride, "noise": _NOISE_NMGY}})
    return torch, lambda: number / torch.time("scan", 1), number


def operations_per_window(scans: Scans) -> dict[str, float]:
    """Multiplications and additions of each of our ways."""
    args = scans.args
    own = count_cost(scans.own, scans.state, scans.images).operations / args.batch_size
    counts = {"windows": own, "forward": own}
    if args.padding == "VALID":
        dense = scans.dense_score
        extent = dense.max_extent // dense.extent_step * dense.extent_step
        piece = jax.ShapeDtypeStruct((1, extent + dense.halo, extent + dense.halo, 2), jnp.float32)
        counts["dense"] = count_cost(dense.score, piece).operations / (extent // args.stride) ** 2
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="baseline")
    parser.add_argument("--padding", default="VALID", choices=["VALID", "SAME"])
    parser.add_argument("--pool", type=int, help="parts a side that the last map is pooled to; None: the model's own")
    parser.add_argument("--hidden", type=int, nargs="*", help="widths of the perceptron; None: the model's own")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--stride", type=int, default=4)
    parser.add_argument("--map_size", type=int, default=1024, help="pixels a side of the map of the dense scan")
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--batches", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--peak_tflops", type=float, help="of the device, in --dtype")
    parser.add_argument("--torch_python", help="an interpreter with torch, torchvision and timm")
    args = parser.parse_args()

    scans = Scans(args)
    ways = {"dense": scans.dense} if args.padding == "VALID" else {}
    ways |= {"windows": scans.windows, "forward": scans.forward}
    clocks, sides = dict.fromkeys(ways, time.process_time), []
    if args.torch_python:
        for label, batch_size in (("PyTorch, batches", args.batch_size), ("PyTorch, one by one", 1)):
            torch, ways[label], scans.numbers[label] = make_torch(args, batch_size)
            clocks[label] = functools.partial(torch.ask, {"processor": True})
            sides.append(torch)
            theirs = torch.ask({"parameters": True})
            if theirs != scans.num_parameters:
                raise SystemExit(f"PyTorch's network has {theirs} parameters, ours {scans.num_parameters}")
    for way in ways.values():
        way()  # compiles
    rates: dict[str, list[float]] = {label: [] for label in ways}
    seconds: dict[str, list[float]] = {label: [] for label in ways}  # of processor time, a window
    for _ in range(args.repeats):
        for label, way in ways.items():
            before = clocks[label]()
            rates[label].append(way())
            seconds[label].append((clocks[label]() - before) / scans.numbers[label])
    device = jax.devices()[0].device_kind
    print(f"{args.model}, padding={args.padding}, {args.size} px, stride {args.stride}, {args.dtype}, {device}")
    operations = operations_per_window(scans)
    for label, values in rates.items():
        ratio = statistics.median(rate / windows for rate, windows in zip(values, rates["windows"], strict=True))
        spent = statistics.median(w / own for own, w in zip(seconds[label], seconds["windows"], strict=True))
        rate = statistics.median(values)
        area = rate * (args.stride * _PIXEL_DEG) ** 2
        text = f"{label:20s} {rate:9.0f} windows/s  {area:8.4f} deg2/s  {ratio:7.2f} of the gathered windows, "
        text += f"{spent:7.2f} by processor time ({statistics.median(seconds[label]) * 1e6:.1f} us a window)"
        if label in operations:
            text += f"  {operations[label] / 1e6:.2f} MFLOP a window"
            if args.peak_tflops:
                text += f", {rate * operations[label] / args.peak_tflops / 1e10:.1f} % of the peak"
        print(text)
    if "dense" in ways:
        number = WindowGrid(scans.large.shape, args.size, args.stride).shape
        seconds = number[0] * number[1] / statistics.median(rates["dense"])
        print(f"dense scan of {args.map_size} x {args.map_size} pixels: {seconds:.1f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"largest memory of this process, all of the above: {peak:.2f} GiB")
    for torch in sides:
        torch.close()


if __name__ == "__main__":
    use_large_pages()
    main()
