"""Images a second of every network, forward and in training, beside PyTorch's: in turns, in one run.

    python benchmarks/models.py --size 64 --torch_python /path/to/python/with/torch
    python benchmarks/models.py kosiba_cn --size 356 --batch_size 10 --torch_python ...
    python benchmarks/models.py mobilenet_v1 --size 224 --batch_size 20 --torch_python ...

PyTorch (channels_last; with ``--torch_compile`` also compiled) runs in a process of its own, of ``--torch_python``,
which needs torch, torchvision and timm; while one side is timed the other waits. Figures are medians of ``--repeats``
rounds, ratios are time / PyTorch's time. Aim on 2 cores, training: 1.15 at most at 64 px; 1.5 at most and 1.2 in the
median at 224 px; forward 1.0 in the median, 1.2 at most. The last two are Kosiba et al. (2020)'s networks, with their
sizes and batches (aim in training: 1.2 on a CPU, 1.0 on a GPU).
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from clusterjax.config import OptimConfig
from clusterjax.models import create_model
from clusterjax.parallel import make_mesh
from clusterjax.training.optim import make_optimizer, with_learning_rate
from clusterjax.training.state import create_state
from clusterjax.training.step import make_predict, make_train_step

NETWORKS = (
    "alexnet_vgg", "vgg19_bn", "resnet18", "resnet50", "densenet121", "efficientnet_b0", "mobilenet_v1", "vit_tiny",
)  # fmt: skip


class Jax:
    """A network, a batch and the program's own compiled steps. Training counts its metrics and statistics too."""

    def __init__(self, name: str, size: int, batch_size: int, dtype: str):
        mesh, tx = make_mesh(jax.devices()[:1]), make_optimizer(OptimConfig(name="sgd"))
        kwargs = {"image_size": size} if name.startswith("vit") else {}

        def build(rngs: nnx.Rngs):
            return create_model(name, num_bands=3, num_classes=2, dtype=dtype, rngs=rngs, **kwargs)

        graphdef, state = create_state(build, tx, mesh, seed=0)
        self.state = with_learning_rate(state, 1e-4)
        self.train_step = make_train_step(graphdef, tx, mesh, seed=0)
        self.predict = jax.jit(make_predict(graphdef))
        rng = np.random.default_rng(0)
        self.batch = {
            "image": jnp.asarray(rng.normal(size=(batch_size, size, size, 3)), jnp.float32),
            "label": jnp.asarray(rng.integers(0, 2, batch_size), jnp.int32),
            "valid": jnp.ones(batch_size, bool),
        }

    def forward(self):
        return self.predict(self.state.params, self.state.model_state, self.batch["image"])

    def train(self):
        self.state, scalars = self.train_step(self.state, self.batch)
        return scalars

    def time(self, what: str, repeats: int) -> list[float]:
        seconds = []
        for _ in range(repeats):
            started = time.perf_counter()
            jax.block_until_ready(getattr(self, what)())
            seconds.append(time.perf_counter() - started)
        return seconds


class Torch:
    """The other process; it works only while it is asked."""

    def __init__(self, python: str, **build):
        script = pathlib.Path(__file__).with_name("models_torch.py")
        self.process = subprocess.Popen([python, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.version = self.ask({"build": build})

    def ask(self, command: dict):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("PyTorch's process has ended; see its message above")
        return json.loads(line)

    def time(self, what: str, repeats: int) -> list[float]:
        return self.ask({"time": what, "repeats": repeats})

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def measure(name: str, args) -> None:
    build = {"name": name, "size": args.size, "batch_size": args.batch_size}
    sides = {"jax": Jax(**build, dtype="bfloat16" if args.bfloat16 else "float32")}
    if args.torch_python:
        extra = {"bfloat16": args.bfloat16, "num_threads": len(os.sched_getaffinity(0))}
        sides["torch"] = Torch(args.torch_python, **build, **extra, compile=False)
        if args.torch_compile:
            sides["torch.compile"] = Torch(args.torch_python, **build, **extra, compile=True)
    for what in ("forward", "train"):
        started = time.perf_counter()
        sides["jax"].time(what, 1)
        compiled = time.perf_counter() - started
        for side in sides.values():
            side.time(what, 2)
        seconds: dict[str, list[float]] = {label: [] for label in sides}
        for _ in range(args.repeats):
            for label, side in sides.items():
                seconds[label] += side.time(what, args.inner)
        medians = {label: statistics.median(values) for label, values in seconds.items()}
        row = f"{name:18s} {args.size:4d} px  {what:8s} compile {compiled:5.1f} s"
        row += "".join(f"  {label} {args.batch_size / median:8.1f} img/s" for label, median in medians.items())
        row += "".join(f"  /{label} {medians['jax'] / medians[label]:.2f}" for label in medians if label != "jax")
        memory = jax.devices()[0].memory_stats()
        print(row + (f"  peak {memory['peak_bytes_in_use'] / 2**30:.2f} GiB" if memory else ""), flush=True)
    for label, side in sides.items():
        if label != "jax":
            side.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=NETWORKS)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--inner", type=int, default=2)
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--torch_python", help="an interpreter with torch, torchvision and timm")
    parser.add_argument("--torch_compile", action="store_true")
    args = parser.parse_args()
    print(f"jax {jax.__version__} on {jax.devices()[0].device_kind}", file=sys.stderr)
    for name in args.names:
        measure(name, args)
        jax.clear_caches()


if __name__ == "__main__":
    main()
