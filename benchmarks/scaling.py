"""Weak scaling: one training step with so many images a device, on 1 to 8 (virtual) devices of this machine.

    python benchmarks/scaling.py [--model resnet18] [--size 64] [--batch 16] [--devices 1 2 4 8] [--repeats 5]

Virtual devices share the cores, so that ideal scaling is a constant throughput of all devices together; what falls
short of it is what splitting a batch and adding up gradients costs. The counts take turns; medians of the repeats.
CPU time an image does not depend on what else the machine does, and is the figure to compare.
"""

import argparse
import os
import statistics
import time

import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16, help="images a device")
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count={max(options.devices)}"
    steps = {number: make_step(options, number) for number in options.devices}
    for step in steps.values():
        step()  # compiles
    times: dict[int, list[tuple[float, float]]] = {number: [] for number in steps}
    for _ in range(options.repeats):
        for number, step in steps.items():
            wall, cpu = time.perf_counter(), time.process_time()
            step()
            times[number].append((time.perf_counter() - wall, time.process_time() - cpu))
    print(f"{options.model}, {options.size} px, {options.batch} images a device, {os.cpu_count()} cores")
    print("devices  images/s  efficiency  CPU ms an image  efficiency")
    medians = {
        number: [statistics.median(kind) for kind in zip(*taken, strict=True)] for number, taken in times.items()
    }
    first = min(medians)
    for number, (wall, cpu) in medians.items():
        images = number * options.batch
        of_first = [value / (first * options.batch) for value in medians[first]]
        print(
            f"{number:7d} {images / wall:9.1f} {of_first[0] / (wall / images):11.2f} {1e3 * cpu / images:16.1f} "
            f"{of_first[1] / (cpu / images):11.2f}"
        )


def make_step(options, number: int):
    """A function that takes one step on ``number`` devices, to its end."""
    import jax

    from clusterjax.config import OptimConfig
    from clusterjax.models import create_model
    from clusterjax.parallel import make_mesh, to_global
    from clusterjax.training.optim import make_optimizer, with_learning_rate
    from clusterjax.training.state import create_state
    from clusterjax.training.step import make_train_step

    mesh, tx = make_mesh(jax.devices()[:number]), make_optimizer(OptimConfig())
    graphdef, state = create_state(
        lambda rngs: create_model(options.model, num_bands=2, num_classes=2, dtype="float32", rngs=rngs),
        tx,
        mesh,
        seed=0,
    )
    train_step = make_train_step(graphdef, tx, mesh, seed=0)
    rng, size = np.random.default_rng(0), number * options.batch
    batch = {
        "image": rng.normal(size=(size, options.size, options.size, 2)).astype(np.float32),
        "label": rng.integers(0, 2, size).astype(np.int32),
        "valid": np.ones(size, bool),
    }

    def step() -> None:
        nonlocal state
        state, scalars = train_step(with_learning_rate(state, 1e-4), to_global(batch, mesh))
        jax.block_until_ready((state, scalars))

    return step


if __name__ == "__main__":
    main()
