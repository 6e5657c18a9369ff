"""Images a second of every network, forward and in training, beside PyTorch's: in turns, in one run.

    python benchmarks/models.py --size 64 --torch_python /path/to/python/with/torch
    python benchmarks/models.py kosiba_cn --size 356 --batch_size 10 --torch_python ...
    python benchmarks/models.py mobilenet_v1 --size 224 --batch_size 20 --torch_python ...
    python benchmarks/models.py --size 224 --batch_size 128 --bfloat16 --inner 10 --workers 12 --torch_compile \\
        --peak_tflops 790 --torch_python ...  # on a GPU

PyTorch (channels_last; with ``--torch_compile`` also compiled) runs in a process of its own, of ``--torch_python``,
which needs torch, torchvision and timm; while one side is timed the others wait. Figures are medians of ``--repeats``
rounds of ``--inner`` steps each, ratios are time / PyTorch's time. ``--workers`` networks are compiled at a time; then
the machine is quiet and they are timed one after the other.

Aim on 2 cores, training: 1.15 at most at 64 px; 1.5 at most and 1.2 in the median at 224 px; forward 1.0 in the median,
1.2 at most. On a GPU: at most 1.0 of the compiled PyTorch for each, 0.83 in the median. Kosiba et al. (2020)'s
networks, the second and third command, with their sizes and batches: in training 1.2 on a CPU, 1.0 on a GPU.

The roofline is the time that ``--peak_tflops`` and ``--peak_tb_per_s`` allow: for the operations of the forward pass,
and for writing and reading once what each convolution and matrix product gives; in training three times that.
"""

import argparse
import concurrent.futures
import contextlib
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from clusterjax.config import OptimConfig
from clusterjax.large_pages import VARIABLE as GLIBC_TUNABLES
from clusterjax.large_pages import use_large_pages
from clusterjax.models import create_model
from clusterjax.models.operations import count_cost
from clusterjax.parallel import make_mesh
from clusterjax.training.optim import make_optimizer, with_learning_rate
from clusterjax.training.state import create_state
from clusterjax.training.step import make_predict, make_train_step

NETWORKS = (
    "alexnet_vgg", "vgg19_bn", "resnet18", "resnet50", "densenet121", "efficientnet_b0", "mobilenet_v1", "vit_tiny",
)  # fmt: skip

HEADS = {"resnet18": "linear"}  # torchvision's, where ours is another by default


class Jax:
    """A network, a batch and the program's own compiled steps. Training counts its metrics and statistics too."""

    def __init__(self, name: str, size: int, batch_size: int, dtype: str):
        mesh, tx = make_mesh(jax.devices()[:1]), make_optimizer(OptimConfig(name="sgd"))
        kwargs = {"image_size": size} if name.startswith("vit") else {}

        def build(rngs: nnx.Rngs):
            common = {"num_bands": 3, "num_classes": 2, "head": HEADS.get(name), "dtype": dtype, "rngs": rngs}
            return create_model(name, **common, **kwargs)

        self.graphdef, state = create_state(build, tx, mesh, seed=0)
        self.state = with_learning_rate(state, 1e-4)
        rng = np.random.default_rng(0)
        self.batch = {
            "image": jnp.asarray(rng.normal(size=(batch_size, size, size, 3)), jnp.float32),
            "label": jnp.asarray(rng.integers(0, 2, batch_size), jnp.int32),
            "valid": jnp.ones(batch_size, bool),
        }
        train_step = make_train_step(self.graphdef, tx, mesh, seed=0)
        self.key, self.batch_size = train_step.args[0], batch_size
        arguments = {"forward": self._inputs(), "train": (self.key, self.state, self.batch)}
        programs = {"forward": jax.jit(make_predict(self.graphdef)), "train": train_step.func}
        self.programs, self.compile_seconds = {}, {}
        for what, program in programs.items():
            started = time.perf_counter()
            self.programs[what] = program.lower(*arguments[what]).compile()
            self.compile_seconds[what] = time.perf_counter() - started

    def _inputs(self):
        return self.state.params, self.state.model_state, self.batch["image"]

    def forward(self):
        return self.programs["forward"](*self._inputs())

    def train(self):
        self.state, scalars = self.programs["train"](self.key, self.state, self.batch)
        return scalars

    def time(self, what: str, steps: int) -> float:
        """Seconds a step, in a row."""
        started = time.perf_counter()
        for _ in range(steps):
            result = getattr(self, what)()
        jax.block_until_ready((result, self.state))
        return (time.perf_counter() - started) / steps

    def num_parameters(self) -> int:
        return sum(leaf.size for leaf in jax.tree.leaves(self.state.params))

    def peak_bytes(self, what: str) -> int:
        memory = self.programs[what].memory_analysis()
        there = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
        return there + memory.temp_size_in_bytes

    def roofline_seconds(self, peak_flops: float, peak_bytes_per_s: float) -> float:
        """Of a forward pass, at least."""
        cost = count_cost(make_predict(self.graphdef), *self._inputs())
        return max(cost.operations / peak_flops, 2 * 2 * cost.values / peak_bytes_per_s)


class Torch:
    """The other process; it works only while it is asked."""

    script = pathlib.Path(__file__).with_name("models_torch.py")

    def __init__(self, python: str, *, large_pages: bool = False, **build):
        environment = dict(os.environ)
        if not large_pages:  # as it comes
            environment.pop(GLIBC_TUNABLES, None)
        self.process = subprocess.Popen(
            [python, str(self.script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.version = self.ask({"build": build})

    def ask(self, command: dict):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("PyTorch's process has ended; see its message above")
        return json.loads(line)

    def time(self, what: str, steps: int) -> float:
        """Seconds a step, in a row."""
        return self.ask({"time": what, "steps": steps})

    def close(self):
        self.process.stdin.close()
        self.process.wait()


_JAX_RUNS = threading.Lock()  # one network's activations in memory at a time


def prepare(name: str, args) -> dict:
    """All sides of a network, compiled and warm."""
    build = {"name": name, "size": args.size, "batch_size": args.batch_size}
    sides = {"jax": Jax(**build, dtype="bfloat16" if args.bfloat16 else "float32")}
    if args.torch_python:
        extra = {"bfloat16": args.bfloat16, "num_threads": len(os.sched_getaffinity(0))}
        extra["large_pages"] = args.torch_large_pages
        kinds = {"torch": None} | ({"torch.compile": args.torch_compile} if args.torch_compile else {})
        for label, compile in kinds.items():
            sides[label] = Torch(args.torch_python, **build, **extra, compile=compile)
            if (number := sides[label].ask({"parameters": True})) != sides["jax"].num_parameters():
                raise SystemExit(f"{name} has {sides['jax'].num_parameters()} parameters here, {number} in PyTorch")
    for what in ("forward", "train"):
        for label, side in sides.items():
            with _JAX_RUNS if label == "jax" else contextlib.nullcontext():
                side.time(what, 2)
    return sides


def measure(name: str, sides: dict, args) -> None:
    peak = 1e12 * args.peak_tflops, 1e12 * args.peak_tb_per_s
    roofline = sides["jax"].roofline_seconds(*peak) if args.peak_tflops else None
    for what, passes in (("forward", 1), ("train", 3)):
        seconds: dict[str, list[float]] = {label: [] for label in sides}
        for side in sides.values():
            side.time(what, 2)
        for _ in range(args.repeats):
            for label, side in sides.items():
                seconds[label].append(side.time(what, args.inner))
        medians = {label: statistics.median(values) for label, values in seconds.items()}
        row = f"{name:18s} {args.size:4d} px  {what:8s} compile {sides['jax'].compile_seconds[what]:5.1f} s"
        row += "".join(f"  {label} {args.batch_size / median:8.1f} img/s" for label, median in medians.items())
        row += "".join(f"  /{label} {medians['jax'] / medians[label]:.2f}" for label in medians if label != "jax")
        if roofline is not None:
            row += f"  {passes * roofline / medians['jax']:.0%} of the roofline"
        peaks = {label: side.ask({"peak_bytes": True}) for label, side in sides.items() if label != "jax"}
        peaks = {"jax": sides["jax"].peak_bytes(what)} | {label: value for label, value in peaks.items() if value}
        print(row + "  peak GiB " + " / ".join(f"{value / 2**30:.2f}" for value in peaks.values()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=NETWORKS)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--inner", type=int, default=2)
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--torch_python", help="an interpreter with torch, torchvision and timm")
    parser.add_argument("--torch_compile", nargs="?", const="default", help="also compiled, in this mode")
    parser.add_argument(
        "--torch_large_pages", action="store_true", help="for PyTorch too; ours has them as the program"
    )
    parser.add_argument("--workers", type=int, default=1, help="networks compiled at a time")
    parser.add_argument("--peak_tflops", type=float, default=0.0, help="the device's, for the roofline (H200: 790)")
    parser.add_argument("--peak_tb_per_s", type=float, default=4.3)
    args = parser.parse_args()
    print(f"jax {jax.__version__} on {jax.devices()[0].device_kind}", file=sys.stderr)
    for names in itertools.batched(args.names, args.workers):
        with concurrent.futures.ThreadPoolExecutor(args.workers) as pool:
            networks = list(pool.map(lambda name: prepare(name, args), names))
        for name, sides in zip(names, networks, strict=True):
            measure(name, sides, args)
            for label, side in sides.items():
                if label != "jax":
                    side.close()
            sides.clear()
        jax.clear_caches()


if __name__ == "__main__":
    use_large_pages()
    main()
