"""What a scan of a whole survey costs, on paper: ``python benchmarks/whole_sky.py``.

From three numbers: the operations of the dense evaluation for a pixel of the map, halos included (counted by XLA on the
very program that scans); the seconds of processor time that it takes here (measured, unless ``--no_measure``); and the
peak of an accelerator with the fraction of it that a network reaches (assumed: ``--fraction``; 0.4 is what
large convolutions reach in bfloat16, 0.1 what narrow ones do). A scan is the slower of computing and reading, for tiles
are read while others are scored: the last columns say from which bandwidth on reading is not the slower one.

Surveys: unWISE, 18 240 tiles of 2048 x 2048 pixels with their overlaps (Lang 2014, AJ 147, 108); ACT, 18 000 deg2
at 0.5' (Naess et al. 2020, JCAP 12, 046). Peaks, bfloat16: H200 790 TFLOP/s (dense), v5e 197 TFLOP/s a chip.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from clusterjax.jobs.scanning import PIECE_BYTES
from clusterjax.models import create_model
from clusterjax.models.operations import count_cost
from clusterjax.models.sliding import evaluate_dense, plan_dense

SURVEYS = {  # pixels of a band, bands
    "unWISE W1, W2": (18_240 * 2048**2, 2),
    "ACT 98, 150, 220 GHz": (18_000 * 120**2, 3),
}
PEAKS_TFLOPS = {"one H200": 790, "v5e-16": 16 * 197}
_BYTES_PER_VALUE = 4  # as surveys publish them


def dense_program(model: str, *, window: int, stride: int, num_bands: int, dtype: str):
    """(pixels (1, y, x, band) -> scores (1, ny, nx), pixels a side that go in, pixels a side that are covered)."""
    options = {"num_bands": num_bands, "num_classes": 2, "dtype": dtype, "padding": "VALID"}
    network = create_model(model, rngs=nnx.Rngs(0), **options)
    network.eval()
    graphdef, weights = nnx.split(network)
    plan = plan_dense(network, window=window, stride=stride, num_bands=num_bands)
    covered = plan.largest_extent(PIECE_BYTES) // plan.extent_step * plan.extent_step

    def predict(images):
        return jax.nn.softmax(nnx.merge(graphdef, weights)(images).astype(jnp.float32))

    def score(pixels):
        return evaluate_dense(predict, plan, jnp.arcsinh(pixels))[..., 1]

    return score, covered + plan.halo, covered


def operations_per_pixel(score, side: int, covered: int, num_bands: int) -> float:
    """Of one pixel of the map: multiplications and additions, of convolutions and matrix products."""
    piece = jax.ShapeDtypeStruct((1, side, side, num_bands), jnp.float32)
    return count_cost(score, piece).operations / covered**2


def processor_seconds_per_pixel(score, side: int, covered: int, num_bands: int, repeats: int) -> float:
    """Of one pixel of the map: the median over ``repeats`` of all cores' time."""
    program = jax.jit(score)
    piece = np.random.default_rng(0).normal(size=(1, side, side, num_bands)).astype(np.float32)
    program(piece).block_until_ready()
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        program(piece).block_until_ready()
        seconds.append(time.process_time() - start)
    return float(np.median(seconds)) / covered**2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="baseline")
    parser.add_argument("--window", type=int, default=64)
    parser.add_argument("--stride", type=int, default=4)
    parser.add_argument("--dtype", default="float32", help="of the measurement here")
    parser.add_argument("--fraction", type=float, nargs="*", default=[0.1, 0.4], help="of the peak that is reached")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no_measure", action="store_true")
    args = parser.parse_args()

    print(f"{args.model}, windows of {args.window} px, stride {args.stride}, dense evaluation")
    for survey, (num_pixels, num_bands) in SURVEYS.items():
        score, side, covered = dense_program(
            args.model, window=args.window, stride=args.stride, num_bands=num_bands, dtype=args.dtype
        )
        operations = operations_per_pixel(score, side, covered, num_bands)
        num_bytes = num_pixels * num_bands * _BYTES_PER_VALUE
        print(
            f"\n{survey}: {num_pixels:.2e} pixels, {num_pixels / args.stride**2:.1e} windows, {num_bytes / 1e9:.1f} GB"
            f"; pieces of {covered} + {side - covered} pixels, {operations / 1e3:.0f} thousand operations a pixel"
        )
        if not args.no_measure:
            seconds = processor_seconds_per_pixel(score, side, covered, num_bands, args.repeats)
            print(
                f"  here: {seconds * 1e6:.2f} microseconds of processor time a pixel, "
                f"{operations / seconds / 1e9:.0f} GFLOP/s a core: {num_pixels * seconds / 3600:.3g} core hours"
            )
        for device, peak in PEAKS_TFLOPS.items():
            for fraction in args.fraction:
                seconds = num_pixels * operations / (peak * 1e12 * fraction)
                print(
                    f"  {device} at {fraction:.0%} of {peak} TFLOP/s: {seconds:.3g} s, "
                    f"if {num_bytes / seconds / 1e9:.3g} GB/s come in; at 2 GB/s {max(seconds, num_bytes / 2e9):.3g} s"
                )


if __name__ == "__main__":
    main()
