"""Memory of a training step on each device: parameters and the optimizer's state whole on all, or split over them.

    python benchmarks/sharding.py [--model vit_l16] [--size 224] [--batch 32] [--devices 8] [--live]

Virtual CPU devices, unless there are others. The step is compiled, for shapes alone, and XLA says what it takes:
"state" is what stays between steps, "step" what comes on top within one. --live allocates the states too, which takes
as many copies of them as there are devices, and counts the bytes on the first device.
"""

import argparse
import os


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="vit_l16")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--devices", type=int, default=8)
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--live", action="store_true")
    options = parser.parse_args()
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count={options.devices}"
    for name, shard_above in (("whole on every device", None), ("split over all devices", 65_536)):
        print(f"{options.model}, {options.size} px, batch {options.batch}, {options.devices} devices, {name}:")
        print(
            "  " + ", ".join(f"{part} {gib:.3f} GiB" for part, gib in measure(options, shard_above).items()), flush=True
        )


def measure(options, shard_above: int | None) -> dict[str, float]:
    """GiB of one device."""
    import jax

    from clusterjax.config import OptimConfig
    from clusterjax.models import create_model
    from clusterjax.parallel import make_mesh, split_along_batch
    from clusterjax.training.optim import make_optimizer
    from clusterjax.training.state import create_state, shardings_of, state_shapes
    from clusterjax.training.step import compile_update, make_update

    mesh, tx = make_mesh(jax.devices()[: options.devices]), make_optimizer(OptimConfig("adamw"))

    def build(rngs):
        return create_model(options.model, num_bands=2, num_classes=2, dtype="bfloat16", rngs=rngs)

    graphdef, state = state_shapes(build, tx, mesh, shard_above=shard_above)
    update = make_update(graphdef, tx, mesh=mesh, accumulate_steps=options.accumulate)
    image = (options.batch, options.size, options.size, 2)
    batch = {
        name: jax.ShapeDtypeStruct(shape, dtype, sharding=split_along_batch(mesh))
        for name, shape, dtype in (
            ("image", image, "float32"),
            ("label", image[:1], "int32"),
            ("valid", image[:1], "bool"),
        )
    }
    key = jax.eval_shape(lambda: jax.random.key(0))
    needs = compile_update(update, mesh, shardings_of(state)).lower(key, state, batch).compile().memory_analysis()
    figures = {"state": needs.alias_size_in_bytes, "step": needs.temp_size_in_bytes}
    if options.live:
        _, live = create_state(build, tx, mesh, seed=0, shard_above=shard_above)
        figures["live state"] = sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(live))
    return {name: bytes / 2**30 for name, bytes in figures.items()}


if __name__ == "__main__":
    main()
