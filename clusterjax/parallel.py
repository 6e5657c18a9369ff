"""One mesh, two shardings: everything that changes is replicated, batches are split along their first axis."""

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from clusterjax.errors import InputError

DATA_AXIS = "data"


def initialise_distributed() -> None:
    """Join the other hosts of a pod slice. Call once, before anything touches a device."""
    jax.distributed.initialize()


def make_mesh(devices=None) -> Mesh:
    """All devices along one axis, ``data``."""
    devices = jax.devices() if devices is None else devices
    # Auto axes: Explicit, jax's default, breaks integer-label losses and gathers of windows.
    return Mesh(np.asarray(devices), (DATA_AXIS,), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec())


def split_along_batch(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec(DATA_AXIS))


def check_divisible(field: str, batch_size: int, num_devices: int) -> None:
    """Raise InputError unless each device gets equally many examples."""
    below = batch_size // num_devices * num_devices
    if below == batch_size:
        return
    choices = f"{below} or {below + num_devices}" if below else f"{num_devices}"
    raise InputError(f"{field}={batch_size} is not divisible by {num_devices} devices; use {choices}")


def to_global(batch: dict[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """This host's part of a batch -> global arrays, split along the first axis."""
    sharding = split_along_batch(mesh)
    return {name: jax.make_array_from_process_local_data(sharding, values) for name, values in batch.items()}
