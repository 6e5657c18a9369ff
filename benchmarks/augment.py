"""Augmentation on the host (Grain threads) against the device (inside a jitted program): cutouts a second, in turns.

    python benchmarks/augment.py

Both get raw cutouts in memory and end with a batch of the network's input on the device, normalised and augmented by
the same formulas. "affine" is the resample alone. The quicker of the two is the default of ``config.data.augment_on``.
"""

import argparse
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

from clusterjax.config import AugmentConfig, DataConfig
from clusterjax.data.device_augment import augment, make_train_transform
from clusterjax.data.loader import make_train_loader
from clusterjax.data.preprocess import Preprocess
from clusterjax.data.statistics import fit_band_statistics
from clusterjax.data.transforms import RandomAffine

_BATCHES_AHEAD = 20  # that a loader's threads make, and more


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--input_size", type=int, default=None)
    parser.add_argument("--bands", type=int, default=2)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()

    shape = (4 * args.batch_size, args.size, args.size, args.bands)
    images = np.random.default_rng(0).standard_t(3, size=shape).astype(np.float32)
    source = [{"image": image, "label": 0} for image in images]
    bands = tuple(f"band_{number}" for number in range(args.bands))
    preprocess = Preprocess(tuple(range(args.bands)), fit_band_statistics(images, bands), input_size=args.input_size)
    config = AugmentConfig()

    def rate(step, per_call: int) -> float:
        time.sleep(args.seconds / 2)  # the other loader's threads fill their buffers and rest
        for _ in range(_BATCHES_AHEAD):  # and this one's are emptied
            step()
        started, calls = time.perf_counter(), 0
        while time.perf_counter() - started < args.seconds:
            step()
            calls += 1
        return calls * per_call / (time.perf_counter() - started)

    iterators = {
        where: iter(
            make_train_loader(
                source,
                DataConfig(augment_on=where),
                seed=0,
                batch_size=args.batch_size,
                augment=config,
                preprocess=preprocess,
            )
        )
        for where in ("host", "device")
    }
    transform = jax.jit(make_train_transform(preprocess, config))
    affine = jax.jit(lambda images, key: augment(images, key, config))
    key, ready = jax.random.key(0), jnp.asarray(images[: args.batch_size])
    host_affine, rng = RandomAffine.from_config(config), np.random.default_rng(0)

    def on_host() -> None:
        jax.device_put(next(iterators["host"])["image"]).block_until_ready()

    def on_device() -> None:
        transform(next(iterators["device"])["image"], key).block_until_ready()

    measured = {
        "host, whole": (on_host, args.batch_size),
        "device, whole": (on_device, args.batch_size),
        "host, affine": (lambda: host_affine.random_map(source[0], rng), 1),
        "device, affine": (lambda: affine(ready, key).block_until_ready(), args.batch_size),
    }
    rates = {name: [] for name in measured}
    for _ in range(args.repeats):
        for name, (step, per_call) in measured.items():
            rates[name].append(rate(step, per_call))

    print(f"{args.size} px, {args.bands} bands, batches of {args.batch_size}, {jax.devices()[0].device_kind}")
    for name, values in rates.items():
        print(f"{name:15} {statistics.median(values):9.0f} cutouts/s   (lowest {min(values):.0f})")
    for what in ("whole", "affine"):
        ratios = [d / h for d, h in zip(rates[f"device, {what}"], rates[f"host, {what}"], strict=True)]
        print(f"device / host, {what}: {statistics.median(ratios):.1f} (median of {args.repeats} pairs)")


if __name__ == "__main__":
    main()
