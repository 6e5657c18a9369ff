"""Windows a second of a whole scan (gathering, scoring, fetching, writing the score map) against the network's own
batched forward pass on ready images. The two are timed in turns, so that a busy machine slows both alike.

    python benchmarks/scan.py --model=baseline

Aim: a scan at 64 px at no less than 0.9 of the forward pass, and 400 windows/s with Baseline on 2 cores.
"""

import argparse
import pathlib
import statistics
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from clusterjax.models import create_model
from clusterjax.search.scan import make_score_windows, scan_map
from clusterjax.sky.fits import write_probability_map
from clusterjax.sky.geometry import make_wcs
from clusterjax.sky.skymap import SkyMap

_NOISE_NMGY = (3.5, 8.5)  # of an unWISE pixel in W1, W2


def make_map(grid_side: int, size: int, stride: int) -> SkyMap:
    """A map of noise that ``grid_side`` x ``grid_side`` windows cover."""
    length = (grid_side - 1) * stride + size
    wcs = make_wcs((length, length), ra_deg=30.0, dec_deg=5.0, pixel_scale_arcsec=2.75)
    data = np.random.default_rng(0).normal(size=(length, length, 2)).astype(np.float32) * np.float32(_NOISE_NMGY)
    return SkyMap(data, wcs, np.ones((length, length), bool), ("W1", "W2"), "nMgy (Vega)")


def transform(windows):
    """The normalisation's arithmetic: valid pixels in units of the noise, asinh, NaN to 0."""
    return jnp.nan_to_num(jnp.arcsinh(windows / jnp.asarray(_NOISE_NMGY)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="baseline")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--stride", type=int, default=8)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--batches", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--dtype", default="float32")
    args = parser.parse_args()

    network = create_model(args.model, num_bands=2, num_classes=2, dtype=args.dtype, rngs=nnx.Rngs(0))
    network.eval()  # first: dropout asks for random numbers otherwise
    network(jnp.zeros((1, args.size, args.size, 2)))  # builds layers that wait for a size
    graphdef, state = nnx.split(network)

    def score(state, images):
        return jax.nn.softmax(nnx.merge(graphdef, state)(images))[:, 1]

    def predict(images):
        return score(state, images)

    side = int((args.batch_size * args.batches) ** 0.5)
    sky = make_map(side, args.size, args.stride)
    score_windows = make_score_windows(predict, transform, args.size)
    forward = jax.jit(score)
    images = jnp.asarray(np.random.default_rng(1).normal(size=(args.batch_size, args.size, args.size, 2)), jnp.float32)
    folder = tempfile.TemporaryDirectory()
    path = pathlib.Path(folder.name) / "score.fits"

    def time_scan() -> float:
        start = time.perf_counter()
        scores = scan_map(
            predict, sky, size=args.size, stride=args.stride, batch_size=args.batch_size, transform=transform,
            progress=False, score_windows=score_windows,
        )  # fmt: skip
        write_probability_map(path, scores)
        return scores.score.size / (time.perf_counter() - start)

    def time_forward() -> float:
        start = time.perf_counter()
        results = [forward(state, images) for _ in range(args.batches)]
        jax.block_until_ready(results)
        return args.batch_size * args.batches / (time.perf_counter() - start)

    time_scan(), time_forward()  # compile
    rates = [(time_scan(), time_forward()) for _ in range(args.repeats)]
    folder.cleanup()
    scan, own = (statistics.median(column) for column in zip(*rates, strict=True))
    ratio = statistics.median(a / b for a, b in rates)
    print(f"{args.model}, {args.size} px, batches of {args.batch_size}, {jax.devices()[0].device_kind}")
    print(f"scan     {scan:9.0f} windows/s   (lowest {min(a for a, _ in rates):.0f})")
    print(f"forward  {own:9.0f} images/s    (lowest {min(b for _, b in rates):.0f})")
    print(f"ratio    {ratio:9.3f}             (median of {args.repeats} pairs; 1 is no overhead)")


if __name__ == "__main__":
    main()
