"""A million wrong inputs: each is read or refused by an InputError; anything else is a bug.

python benchmarks/fuzz.py [--scale 1.0] [--seed 0] [--targets votes configs] [--found FOLDER]

Valid files with random changes (tests/fuzz/mutations.py) go to every reader (tests/fuzz/targets.py), in a process of
its own with 4 GB of memory and 5 s of CPU time an input, so that a crash or a hang is only one more bug. ``--scale``
multiplies the numbers of inputs, which sum to a million at 1. Prints the tally; --found keeps an input of each bug.
"""

import argparse
import collections
import multiprocessing
import pathlib
import random
import resource
import signal
import sys
import tempfile
import time
import traceback

from tqdm import tqdm

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from tests.fuzz.targets import TARGETS

# More where an input is cheap: FITS takes 20 ms of CPU time, a config a hundredth of that.
_COUNTS = {
    "fits_images": 3000, "fits_pixels": 3000, "gzipped_fits": 1500, "score_maps": 2000, "healpix": 2000, "hips": 1000,
    "tile_folder": 1000, "mocs": 2000, "fits_tables": 2000, "text_tables": 3000, "votables": 2500, "overrides": 2000,
    "kosiba_archives": 1000, "tar_archives": 4000, "pictures": 60_000, "pytorch_weights": 30_000,
    "votes": 200_000, "json_mocs": 150_000, "safetensors": 150_000, "configs": 380_000,
}  # fmt: skip
_MEMORY_BYTES = 4 * 2**30
_CPU_SECONDS = 5.0


class TooSlow(Exception):
    """An input that takes too long."""


def _stop(*_):
    raise TooSlow


def make_input(target: str, seed: int, number: int) -> tuple[str, bytes]:
    """The same for the same three, whatever came before."""
    return TARGETS[target].input(random.Random(f"{target} {seed} {number}"))


def _work(target: str, seed: int, numbers: range, current, results) -> None:
    size = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + _MEMORY_BYTES,) * 2)
    signal.signal(signal.SIGPROF, _stop)
    read, bugs = 0, {}
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        for number in numbers:
            current.value = number
            name, content = make_input(target, seed, number)
            signal.setitimer(signal.ITIMER_PROF, _CPU_SECONDS)
            try:
                read += TARGETS[target].attempt(pathlib.Path(folder), name, content)
            except BaseException as error:
                signal.setitimer(signal.ITIMER_PROF, 0)
                bugs.setdefault(_describe(error), number)
    signal.setitimer(signal.ITIMER_PROF, 0)
    results.send((read, bugs))


def _describe(error: BaseException) -> str:
    """What is the same for the same bug: the exception and where it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "/clusterjax/" in f.filename or "/tfds_builders/" in f.filename]
    places = [f"{pathlib.Path(f.filename).name}:{f.lineno}" for f in (*ours[-1:], *frames[-1:])]
    return f"{type(error).__name__} at {' < '.join(places)}: {' '.join(str(error).split())[:100]}"


def fuzz(target: str, count: int, seed: int, bar: tqdm) -> tuple[int, dict[str, int]]:
    """(number of inputs that were read, bug -> the first input that shows it)."""
    context = multiprocessing.get_context("fork")
    _ = TARGETS[target].seeds  # made once, before the forks
    read, bugs, start = 0, {}, 0
    while start < count:
        numbers = range(start, min(start + 2000, count))
        current = context.Value("q", start)
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(target, seed, numbers, current, sender))
        process.start()
        sender.close()
        try:
            own, found = receiver.recv()
        except EOFError:  # it died
            process.join()
            found, own, numbers = (
                {f"the process ends with {process.exitcode}": current.value},
                0,
                range(start, current.value + 1),
            )
        process.join()
        read += own
        for bug, number in found.items():
            bugs.setdefault(bug, number)
        bar.update(len(numbers))
        start = numbers.stop
    return read, bugs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--found", type=pathlib.Path)
    args = parser.parse_args()
    totals = collections.Counter()
    print(f"{'target':16} {'inputs':>9} {'read':>9} {'refused':>9} {'bugs':>5} {'seconds':>8}")
    for target in args.targets:
        count, started = max(int(_COUNTS[target] * args.scale), 1), time.perf_counter()
        with tqdm(total=count, desc=target, unit=" inputs", leave=False, mininterval=5) as bar:
            read, bugs = fuzz(target, count, args.seed, bar)
        seconds = time.perf_counter() - started
        print(f"{target:16} {count:9,} {read:9,} {count - read:9,} {len(bugs):5} {seconds:8.0f}", flush=True)
        for bug, number in bugs.items():
            print(f"  {number}: {bug}", flush=True)
            if args.found:
                name, content = make_input(target, args.seed, number)
                (args.found / target).mkdir(parents=True, exist_ok=True)
                (args.found / target / f"{number}_{name}").write_bytes(content)
        totals.update(inputs=count, read=read, bugs=len(bugs))
    refused = totals["inputs"] - totals["read"]
    print(f"{'together':16} {totals['inputs']:9,} {totals['read']:9,} {refused:9,} {totals['bugs']:5}")
    sys.exit(totals["bugs"] > 0)


if __name__ == "__main__":
    main()
