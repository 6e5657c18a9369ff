"""Images a second of the whole training loop beside the same recipe in PyTorch, and how long the device waits for data.

    python benchmarks/train.py alexnet_vgg resnet18 --size 64 --torch_python /path/to/python/with/torch
    python benchmarks/train.py resnet18 --size 224 --batch_size 256 --dtype bfloat16 --torch_compile default ...
    python benchmarks/train.py resnet18 --startup ...: seconds from the start of a program to the end of its first step

Ours is the program's own loop (``clusterjax.training.loop.train_epoch``): array_record through Grain, normalisation,
resize and augmentation on the device, the step, metrics to disk. PyTorch's (``train_torch.py``, a process of
``--torch_python``) has the same cutouts as a memory-mapped .npy, a DataLoader, the same arithmetic in batches on the
device, channels_last, automatic mixed precision for bfloat16, and the fused optimizer. Cutouts are stored at 64 px, as
the surveys' resolution is, and enlarged on the device for ``--size 224``, as in the configs; ``--stored_size 224``
stores them so. They take turns, of ``--steps`` steps of which the first ``--warm`` are not counted: figures are medians
of ``--repeats`` turns. CPU time is that of all threads but DataLoader's workers; on a busy machine without a GPU, with
``taskset -c 0`` before the command, it compares the two whatever else runs.

A device waits for data between the end of a step and the arrival of the next step's batch, for the host between that
and the call of the step. "Ready" is the same loop with one batch that lies on the device already. Aim: no slower than
PyTorch on a CPU, 1.2 times as fast on a GPU, less than 2 % of the time waiting for data.
"""

import argparse
import concurrent.futures
import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import jax
import numpy as np
from models import HEADS, Torch

from clusterjax.config import (
    MICROWAVE_FRACTIONS,
    AugmentConfig,
    DataConfig,
    ExperimentConfig,
    ModelConfig,
    OptimConfig,
    TrainingConfig,
)
from clusterjax.data.sources import open_source
from clusterjax.experiment import dataset_facts
from clusterjax.jobs.learning import build, make_run, set_up
from clusterjax.jobs.session import Session
from clusterjax.large_pages import VARIABLE as GLIBC_TUNABLES
from clusterjax.large_pages import use_large_pages
from clusterjax.parallel import make_mesh, to_global
from clusterjax.training.agreement import Stops
from clusterjax.training.evaluate import STEP_FIELDS
from clusterjax.training.interruption import CatchSignals
from clusterjax.training.loop import TrainingRun, train_epoch, training_bar
from clusterjax.training.writer import open_writer

_RATE = 1e-4
_PREALLOCATE = "XLA_PYTHON_CLIENT_PREALLOCATE"


def make_session(name: str, args, workdir: pathlib.Path) -> Session:
    """Three bands, as torchvision's networks have, and the reference's augmentation; else as the configs are."""
    data = DataConfig(
        builder="microwave_cutouts",
        data_dir=args.data_dir,
        num_train=args.cutouts,
        num_validation=64,
        num_test=64,
        simulated_size=args.stored_size,
        object_fractions=dict(MICROWAVE_FRACTIONS),
        input_size=None if args.size == args.stored_size else args.size,
        num_workers=args.num_workers,
        num_read_threads=args.num_read_threads,
    )
    kwargs = {"image_size": args.size} if name.startswith("vit") else {}
    config = ExperimentConfig(
        name=name,
        data=data,
        model=ModelConfig(name, kwargs, HEADS.get(name), args.dtype),
        augment=AugmentConfig(),
        optim=OptimConfig(name=args.optimizer, learning_rate=_RATE, schedule="constant"),
        training=TrainingConfig(global_batch_size=args.batch_size, early_stop_patience=None),
    )
    workdir.mkdir(exist_ok=True)
    return Session(config, workdir, make_mesh(jax.devices()[:1]))


def make_fed_run(session: Session) -> TrainingRun:
    learning = set_up(session)
    return make_run(session, learning, learning.network, _RATE, None)  # it is never saved


class Watch:
    """Between a run and its batches and step: when each was asked for, came, was called, and was done by the device."""

    def __init__(self, run: TrainingRun):
        self.times: dict[str, list[float]] = {}
        self.cpu: list[float] = []  # seconds of all threads when each was done
        self._fed, self._step = run.batches, run.train_step
        self._ready = itertools.repeat(to_global({name: next(self._fed)[name] for name in STEP_FIELDS}, run.mesh))
        self._batches = self._fed
        self._outputs: queue.SimpleQueue = queue.SimpleQueue()
        run.batches, run.train_step = self, self.step

    def __next__(self):
        self._note("asked")
        batch = next(self._batches)
        self._note("came")
        return batch

    def step(self, state, batch):
        state, scalars = self._step(state, batch)
        self._note("called")
        self._outputs.put(scalars)
        return state, scalars

    def _note(self, what: str) -> None:
        self.times[what].append(time.perf_counter())

    def _wait_for_device(self) -> None:
        while (scalars := self._outputs.get()) is not None:
            jax.block_until_ready(scalars)
            self._note("done")
            self.cpu.append(time.process_time())

    @contextlib.contextmanager
    def watching(self, *, ready: bool):
        self.times = {what: [] for what in ("asked", "came", "called", "done")}
        self.cpu = []
        self._batches = self._ready if ready else self._fed
        thread = threading.Thread(target=self._wait_for_device)
        thread.start()
        try:
            yield
        finally:
            self._outputs.put(None)
            thread.join()


@dataclasses.dataclass
class Turn:
    """Of the steps that count: images a second, CPU seconds an image, the parts of the time that the device waited."""

    rate: float
    cpu_s: float
    for_data: float
    for_host: float


class Ours:
    """The program's loop, a turn at a time."""

    def __init__(self, session: Session, steps: int):
        self.run, self.workdir, self.step = make_fed_run(session), session.workdir, 0
        self.run.steps_per_epoch = steps
        self.watch = Watch(self.run)

    def take_steps(self, *, ready: bool = False) -> None:
        run = self.run
        with (
            open_writer(self.workdir, first_step=self.step) as writer,
            CatchSignals() as signals,
            training_bar(1, 0, shown=False) as bar,
            self.watch.watching(ready=ready),
        ):
            stops = Stops(self.step, run.config.log_every_steps)
            self.step = train_epoch(run, self.step, writer, signals, stops, bar)

    def turn(self, warm: int, *, ready: bool = False) -> Turn:
        self.take_steps(ready=ready)
        asked, came, called, done = map(np.array, self.watch.times.values())
        total = done[-1] - done[warm - 1]
        for_data = np.maximum(0, came[1:] - np.maximum(asked[1:], done[:-1]))[warm - 1 :]
        for_host = np.maximum(0, called[1:] - np.maximum(came[1:], done[:-1]))[warm - 1 :]
        images = (len(done) - warm) * self.run.config.global_batch_size
        cpu_s = (self.watch.cpu[-1] - self.watch.cpu[warm - 1]) / images
        return Turn(images / total, cpu_s, for_data.sum() / total, for_host.sum() / total)

    def num_parameters(self) -> int:
        return sum(leaf.size for leaf in jax.tree.leaves(self.run.state.params))


class Theirs(Torch):
    """PyTorch's loop, in a process that works only while it is asked."""

    script = pathlib.Path(__file__).with_name("train_torch.py")


def export_cutouts(session: Session, folder: pathlib.Path) -> dict:
    """The training cutouts as images.npy and labels.npy; returns what PyTorch's side needs to prepare them."""
    folder.mkdir(parents=True, exist_ok=True)
    builder = build(session)
    source, facts = open_source(builder, "train"), dataset_facts(session.config, builder)
    first = source[0]["image"]
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.float32, (len(source), *first.shape))
    labels = np.empty(len(source), np.int64)
    for index in range(len(source)):
        record = source[index]
        images[index], labels[index] = record["image"], record["label"]
    images.flush()
    np.save(folder / "labels.npy", labels)
    of_bands = facts.preprocess.statistics
    moments = of_bands.moments(facts.preprocess.stretch, facts.preprocess.softening)
    inverse_scale, inverse_std = (1 / np.array(values) for values in (of_bands.scale, moments["std"]))
    normalise = {"location": of_bands.location, "mean": moments["mean"]}
    normalise |= {"inverse_scale": inverse_scale.tolist(), "inverse_std": inverse_std.tolist()}
    return {"folder": str(folder), "normalise": normalise}


def torch_settings(name: str, args, cutouts: dict) -> dict:
    return {
        "name": name,
        "size": args.size,
        "batch_size": args.batch_size,
        "bfloat16": args.dtype == "bfloat16",
        "compile": args.torch_compile,
        "num_threads": len(os.sched_getaffinity(0)),
        "num_workers": args.torch_workers,
        "optimizer": args.optimizer,
        "rate": _RATE,
        "augment": {"rotation_deg": AugmentConfig.rotation_deg, "shift_fraction": AugmentConfig.shift_fraction},
        **cutouts,
    }


def measure(name: str, args, workdir: pathlib.Path) -> None:
    """Print a network's row."""
    session = make_session(name, args, workdir / name)
    build(session)
    theirs = None
    with concurrent.futures.ThreadPoolExecutor() as pool:  # the other imports meanwhile
        if args.torch_python:
            settings = torch_settings(name, args, export_cutouts(session, workdir / "cutouts"))
            theirs = pool.submit(Theirs, args.torch_python, large_pages=args.torch_large_pages, **settings)
        ours = Ours(session, args.steps)
    theirs = theirs and theirs.result()
    if theirs and (number := theirs.ask({"parameters": True})) != ours.num_parameters():
        raise SystemExit(f"{name} has {ours.num_parameters()} parameters here and {number} in PyTorch")
    sides = {
        "fed": lambda: ours.turn(args.warm),
        "ready": lambda: ours.turn(args.warm, ready=True),
        **({"torch": lambda: theirs.ask({"steps": args.steps, "warm": args.warm})} if theirs else {}),
    }
    for side in ("fed", "torch"):  # compile
        if side in sides:
            sides[side]()
    turns: dict[str, list] = {side: [] for side in sides}
    for _, (side, turn) in itertools.product(range(args.repeats), sides.items()):
        turns[side].append(turn())
    report(name, args, turns, theirs and theirs.version)
    if theirs:
        theirs.close()


def report(name: str, args, turns: dict[str, list], version: str | None) -> None:
    fed = turns["fed"]
    rate = statistics.median(turn.rate for turn in fed)
    ready = statistics.median(a.rate / b.rate for a, b in zip(fed, turns["ready"], strict=True))
    waits = [statistics.median(getattr(turn, what) for turn in fed) for what in ("for_data", "for_host")]
    row = f"{name:14s} {args.size:4d} px  batch {args.batch_size}  {args.dtype}  clusterjax {rate:9.1f} images/s"
    row += f"  waits for data {waits[0]:.2%}, for the host {waits[1]:.2%}; fed / ready {ready:.3f}"
    if "torch" in turns:
        rates, cpu = zip(*turns["torch"], strict=True)
        pairs = [(turn.rate / rate, turn.cpu_s / cpu_s) for turn, rate, cpu_s in zip(fed, rates, cpu, strict=True)]
        ratios = [statistics.median(column) for column in zip(*pairs, strict=True)]
        row += f"  torch {version} ({args.torch_compile}) {statistics.median(rates):9.1f} images/s"
        row += f"  clusterjax / torch {ratios[0]:.2f}, CPU time {ratios[1]:.2f}"
    print(row, flush=True)


def first_step(name: str, args, workdir: pathlib.Path) -> None:
    """One step, then a line on stdout."""
    jax.config.update("jax_compilation_cache_dir", args.first_step)
    Ours(make_session(name, args, workdir / name), 1).take_steps()
    print("done", flush=True)


def measure_startup(name: str, args, workdir: pathlib.Path) -> None:
    """Seconds from the start of a process to the end of its first step, twice: without what the first one compiled and
    with it."""
    session = make_session(name, args, workdir / name)
    cutouts = export_cutouts(session, workdir / "cutouts")
    cache = str(workdir / f"compiled_{name}")
    own = [sys.executable, __file__, *sys.argv[1:], "--only", name, "--first_step", cache]
    told = [json.dumps({"build": torch_settings(name, args, cutouts)}), json.dumps({"steps": 1, "warm": 0})]
    sides = {"clusterjax": (own, "", 1)}
    if args.torch_python:
        sides["torch"] = ([args.torch_python, str(Theirs.script)], "\n".join(told) + "\n", len(told))
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(workdir / f"inductor_{name}")}
    environment["TRITON_CACHE_DIR"] = str(workdir / f"triton_{name}")
    del environment[_PREALLOCATE]
    if not args.torch_large_pages:  # ours starts again for them, which counts
        environment.pop(GLIBC_TUNABLES, None)
    row = f"{name:14s} {args.size:4d} px  {args.dtype}  start to first step"
    for side, (command, text, num_lines) in sides.items():
        for state in ("cold", "cached"):
            started = time.perf_counter()
            done = subprocess.run(
                command, input=text, stdout=subprocess.PIPE, text=True, env=environment, check=True
            ).stdout.count("\n")
            if done < num_lines:
                raise SystemExit(f"{side} ended before its first step")
            row += f"  {side} {state} {time.perf_counter() - started:.1f} s"
    print(row, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["alexnet_vgg", "resnet18"])
    parser.add_argument("--size", type=int, default=64, help="pixels a side that the network sees")
    parser.add_argument("--stored_size", type=int, default=64, help="pixels a side of the cutouts on disk")
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--optimizer", choices=("adam", "sgd"), default="adam")
    parser.add_argument("--cutouts", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=60, help="of a turn")
    parser.add_argument(
        "--warm", type=int, default=20, help="steps of a turn that do not count: more than are read ahead"
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--data_dir", default="runs/datasets")
    parser.add_argument("--num_workers", type=int, default=0, help="config.data.num_workers")
    parser.add_argument("--num_read_threads", type=int, default=DataConfig.num_read_threads)
    parser.add_argument("--compilation_cache", help="a folder, to compile less in the next run")
    parser.add_argument("--torch_python", help="an interpreter with torch, torchvision and timm")
    parser.add_argument(
        "--torch_compile", default="no", help="no, or a mode of torch.compile: default, reduce-overhead"
    )
    parser.add_argument("--torch_workers", type=int, default=8 if os.cpu_count() >= 8 else 0, help="of the DataLoader")
    parser.add_argument(
        "--torch_large_pages", action="store_true", help="for PyTorch too; ours has them as the program"
    )
    parser.add_argument("--startup", action="store_true")
    parser.add_argument("--first_step", help=argparse.SUPPRESS)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.compilation_cache:
        jax.config.update("jax_compilation_cache_dir", str(pathlib.Path(args.compilation_cache).resolve()))
    if args.startup and not args.first_step:
        os.environ[_PREALLOCATE] = "false"  # the memory is for those that are measured
    with tempfile.TemporaryDirectory() as folder:
        if args.first_step:
            first_step(args.only, args, pathlib.Path(folder))
            return
        print(f"jax {jax.__version__} on {jax.devices()[0].device_kind}, {os.cpu_count()} cores", file=sys.stderr)
        for name in args.names:
            (measure_startup if args.startup else measure)(name, args, pathlib.Path(folder))
            jax.clear_caches()


if __name__ == "__main__":
    use_large_pages()
    main()
