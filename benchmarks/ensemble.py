"""Training steps of several members against those of one: in turns (as on a CPU) and as one program (as on a GPU).

    python benchmarks/ensemble.py [--members 10] [--model baseline] [--size 64] [--batch 64] [--dtype bfloat16]

The three kinds take turns; medians of the repeats. An ensemble should cost less than 4 times one network on an
accelerator, for Baseline and the custom network, and no more than its number on a CPU.
"""

import argparse
import statistics
import time

import jax
import numpy as np

from clusterjax.config import OptimConfig
from clusterjax.large_pages import use_large_pages
from clusterjax.models import create_model
from clusterjax.parallel import make_mesh, to_global
from clusterjax.training.optim import make_optimizer, with_learning_rate
from clusterjax.training.state import create_state
from clusterjax.training.step import compile_update, make_update, with_seed
from clusterjax.training.together import MembersStep


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--model", default="baseline")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--dtype", default="float32")
    options = parser.parse_args()
    mesh, tx = make_mesh(), make_optimizer(OptimConfig())
    seeds = range(options.members)

    def build(rngs):
        return create_model(options.model, num_bands=2, num_classes=2, dtype=options.dtype, rngs=rngs)

    graphdefs, states = zip(*(create_state(build, tx, mesh, seed=seed) for seed in seeds), strict=True)
    update = make_update(graphdefs[0], tx)
    compiled = compile_update(update, mesh)
    steps = [with_seed(compiled, mesh, seed) for seed in seeds]
    together = MembersStep(update, mesh, seeds)
    rng = np.random.default_rng(0)
    batch = {
        "image": rng.normal(size=(options.batch, options.size, options.size, 2)).astype(np.float32),
        "label": rng.integers(0, 2, options.batch).astype(np.int32),
        "valid": np.ones(options.batch, bool),
    }
    stacked = with_learning_rate(together.stack(states), np.full(options.members, 1e-3), np.ones(options.members))
    states = [with_learning_rate(state, 1e-3) for state in states]
    active = np.ones(options.members, bool)

    def one():
        states[0], scalars = steps[0](states[0], to_global(batch, mesh))
        return scalars

    def in_turns():
        for i in seeds:
            states[i], scalars = steps[i](states[i], to_global(batch, mesh))
        return scalars

    def at_once():
        nonlocal stacked
        stacked, scalars = together(stacked, [batch] * options.members, active)
        return scalars

    kinds = {"one network": one, f"{options.members} in turns": in_turns, f"{options.members} at once": at_once}
    for run in kinds.values():
        jax.block_until_ready(run())
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(options.repeats):
        for name, run in kinds.items():
            started = time.perf_counter()
            jax.block_until_ready(run())
            seconds[name].append(time.perf_counter() - started)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    about = f"{options.model}, {options.size} px, batch {options.batch}, {options.dtype}"
    print(f"{about}, {mesh.size} x {jax.devices()[0].device_kind}")
    for name, value in median.items():
        print(f"{name:>14}  {1e3 * value:8.1f} ms  {value / median['one network']:6.2f} times one")


if __name__ == "__main__":
    use_large_pages()
    main()
