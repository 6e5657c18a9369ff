"""One mesh, two shardings: everything that changes is replicated, batches are split along their first axis."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from clusterjax.errors import InputError

DATA_AXIS = "data"


def make_mesh(devices=None) -> Mesh:
    """All devices along one axis, ``data``; those of one host lie side by side."""
    devices = jax.devices() if devices is None else devices
    devices = sorted(devices, key=lambda device: (device.process_index, device.id))
    # Auto axes: Explicit, jax's default, breaks integer-label losses and gathers of windows.
    return Mesh(np.asarray(devices), (DATA_AXIS,), axis_types=(AxisType.Auto,))


def connect() -> None:
    """Use the devices of all hosts together once, while all are there: CPUs of different hosts are connected at the
    first use, within half a minute or not at all, and later one host may compile for longer than another."""
    mesh = make_mesh()
    ones = to_global({"": np.ones(len(mesh.local_devices), np.float32)}, mesh)[""]
    jax.jit(jnp.sum, out_shardings=replicated(mesh))(ones).block_until_ready()


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


def put(tree, sharding: NamedSharding):
    """``jax.device_put`` of arrays that all hosts hold alike; of jax's own no host sees those of another's devices."""
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)

    def place(leaf):
        leaf = np.asarray(leaf)
        return jax.make_array_from_callback(leaf.shape, sharding, lambda index: leaf[index])

    return jax.tree.map(place, tree)


def to_host(tree):
    """NumPy arrays of a tree's arrays, whole, wherever their parts lie. All hosts must ask at once."""
    if all(leaf.is_fully_addressable or leaf.is_fully_replicated for leaf in jax.tree.leaves(tree)):
        return jax.tree.map(np.asarray, tree)
    gather = jax.jit(lambda leaf: leaf, out_shardings=replicated(jax.tree.leaves(tree)[0].sharding.mesh))
    return jax.tree.map(lambda leaf: np.asarray(gather(leaf)), tree)  # one by one: sharded arrays may not fit whole


def gather_batches(columns: dict[str, np.ndarray], batch_size: int, mesh: Mesh) -> dict[str, np.ndarray]:
    """What the hosts read of their batches of ``batch_size``, which took turns, as one host would have read it."""
    if jax.process_count() == 1:
        return columns
    gathered = {}
    for name, values in columns.items():
        # As bytes: jax would cut 64-bit numbers down to 32.
        shape, raw = values.shape[1:], np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)
        own = len(mesh.local_devices)
        every = to_host(to_global({name: np.repeat(raw[None], own, axis=0)}, mesh))[name][::own]
        every = every.reshape(len(every), -1, batch_size, raw.shape[1]).swapaxes(0, 1)
        gathered[name] = np.ascontiguousarray(every).view(values.dtype).reshape(-1, *shape)
    return gathered


def to_global(batch: dict[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """This host's part of a batch -> global arrays, split along the first axis."""
    sharding = split_along_batch(mesh)
    return {name: jax.make_array_from_process_local_data(sharding, values) for name, values in batch.items()}
