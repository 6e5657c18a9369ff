"""Where the time of a network's step goes: its kernels by the time that the device spends in them.

    python benchmarks/kernels.py resnet18 --size 224 --batch_size 256 --bfloat16 [--forward] [--lines 30] [--hlo FOLDER]

The same programs as ``models.py`` times, under ``jax.profiler``. One line a kernel: milliseconds a step, calls a step,
the operation of XLA's program that it computes, the kernel's name. ``--hlo`` writes that program, in which the
operations are found. On a CPU, where several threads work at a time, the times are summed over the threads.
"""

import argparse
import collections
import gzip
import json
import pathlib
import tempfile

import jax
from models import Jax

from clusterjax.large_pages import use_large_pages

_STEPS = 5


def device_events(folder: pathlib.Path) -> list[dict]:
    """Of the one trace in a folder, what the device computed: events with an operation, microseconds in "dur"."""
    (path,) = folder.rglob("*.trace.json.gz")
    with gzip.open(path) as file:
        events = json.load(file)["traceEvents"]
    return [event for event in events if event.get("ph") == "X" and "hlo_op" in event.get("args", {})]


def kernels(net: Jax, what: str) -> list[tuple[float, float, str, str]]:
    """(milliseconds a step, calls a step, operation, kernel), the longest first."""
    net.time(what, 3)
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            net.time(what, _STEPS)
        events = device_events(pathlib.Path(folder))
    seconds, calls = collections.Counter(), collections.Counter()
    for event in events:
        key = event["args"]["hlo_op"], event["name"]
        seconds[key] += event["dur"] / 1e3 / _STEPS
        calls[key] += 1 / _STEPS
    return [(time, calls[key], *key) for key, time in seconds.most_common()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--forward", action="store_true", help="not training's step")
    parser.add_argument("--lines", type=int, default=30)
    parser.add_argument("--hlo", type=pathlib.Path, help="a folder for the compiled programs")
    args = parser.parse_args()
    what = "forward" if args.forward else "train"
    for name in args.names:
        net = Jax(name, args.size, args.batch_size, "bfloat16" if args.bfloat16 else "float32")
        found = kernels(net, what)
        step = 1e3 * net.time(what, _STEPS)
        total = sum(time for time, *_ in found)
        print(f"{name} {args.size} px  batch {args.batch_size}  {what}  {step:.2f} ms a step, kernels {total:.2f} ms")
        for time, calls, operation, kernel in found[: args.lines]:
            print(f"{time:9.3f} ms  x {calls:g}  {operation:40s} {'' if kernel == operation else kernel[:80]}")
        if args.hlo:
            args.hlo.mkdir(parents=True, exist_ok=True)
            (args.hlo / f"{name}_{what}.hlo").write_text(net.programs[what].as_text())
        jax.clear_caches()


if __name__ == "__main__":
    use_large_pages()
    main()
