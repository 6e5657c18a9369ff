"""Does the train step ever wait for its data? Records a second from disk, batches a second, and steps in turns.

    python benchmarks/input_pipeline.py --model=alexnet_vgg

A small set of simulated cutouts is built in a temporary folder. The same compiled train step is then fed by the loader,
and by one batch again and again: the ratio of the two is 1 where the step never waits.
"""

import argparse
import os
import statistics
import tempfile
import time

import jax
import optax
from flax import nnx

from clusterjax.config import AugmentConfig, DataConfig
from clusterjax.data.device_augment import make_train_transform
from clusterjax.data.loader import make_train_loader
from clusterjax.data.preprocess import Preprocess
from clusterjax.data.sources import open_source
from clusterjax.models import create_model
from clusterjax.parallel import make_mesh
from clusterjax.simulation.knobs import InfraredSky
from clusterjax.training.state import create_state
from clusterjax.training.step import make_train_step
from tfds_builders.ir_cutouts.ir_cutouts_dataset_builder import make_builder


def records_per_second(source) -> float:
    started = time.perf_counter()
    for index in range(len(source)):
        source[index]
    return len(source) / (time.perf_counter() - started)


def batches_per_second(loader, count: int) -> float:
    iterator = iter(loader)
    next(iterator)
    started = time.perf_counter()
    for _ in range(count):
        next(iterator)
    return count / (time.perf_counter() - started)


def make_steps(model: str, preprocess: Preprocess, host: bool):
    """A function that runs train steps on batches from an iterator and waits for the last."""
    mesh, tx = make_mesh(), optax.adam(1e-4)

    def build(rngs: nnx.Rngs) -> nnx.Module:
        return create_model(model, num_bands=2, num_classes=2, dtype="float32", rngs=rngs)

    graphdef, state = create_state(build, tx, mesh, seed=0)
    prepare = None if host else make_train_transform(preprocess, AugmentConfig())
    step = make_train_step(graphdef, tx, mesh, seed=0, prepare=prepare)

    def run(batches, count: int) -> float:
        nonlocal state
        started = time.perf_counter()
        for _ in range(count):
            batch = next(batches)
            state, scalars = step(state, {name: batch[name] for name in ("image", "label", "valid")})
        jax.block_until_ready(scalars)
        return count / (time.perf_counter() - started)

    return run


def repeated(batch):
    while True:
        yield batch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="alexnet_vgg")
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--cutouts", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        config = DataConfig(data_dir=folder, num_train=args.cutouts, num_validation=1, num_test=1)
        builder = make_builder(config, InfraredSky())
        builder.download_and_prepare()
        source = open_source(builder, "train")
        preprocess = Preprocess.from_metadata(config, source.metadata)

        def loader(**changes):
            return make_train_loader(
                source,
                DataConfig(**changes),
                seed=0,
                batch_size=args.batch_size,
                augment=AugmentConfig(),
                preprocess=preprocess,
            )

        print(f"source, one thread       {records_per_second(source):8.0f} records/s")
        few, many = 2 * args.steps, 8 * args.steps
        for augment_on, count in (("device", many), ("host", few)):
            settings = [{"num_read_threads": threads} for threads in (1, 4)]
            settings += [{"num_workers": os.cpu_count() // 2}] if os.cpu_count() >= 4 else []
            for setting in settings:
                rate = batches_per_second(loader(augment_on=augment_on, **setting), count) * args.batch_size
                print(f"loader, augment on {augment_on:6} {rate:7.0f} records/s   {setting}")
        for augment_on in ("device", "host"):
            run = make_steps(args.model, preprocess, augment_on == "host")
            batches = iter(loader(augment_on=augment_on))
            same = repeated(next(batches))
            run(same, 2)  # compile
            pairs = [(run(batches, args.steps), run(same, args.steps)) for _ in range(args.repeats)]
            fed, ready = (statistics.median(column) * args.batch_size for column in zip(*pairs, strict=True))
            ratio = statistics.median(a / b for a, b in pairs)
            print(
                f"train step, augment on {augment_on:6}: {fed:.0f} images/s from the loader, {ready:.0f} from one batch"
            )
            print(f"    ratio {ratio:.3f} (median of {args.repeats} pairs; 1: the step never waits)")


if __name__ == "__main__":
    main()
