"""A callable's constants made arguments of its program."""

from collections.abc import Callable

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def lift_parameters(function: Callable, *arguments, mesh: Mesh | None) -> tuple[Callable, list]:
    """(``program(parameters, *arguments)``, parameters) of ``function(*arguments)``, which returns one array.

    A network's parameters are constants of the callable that scores windows; left so, they would be written into the
    program, whose size is limited and whose compilation would try to fold them. ``arguments`` are examples or shapes;
    under a mesh the parameters are put on all of its devices.
    """
    traced = jax.make_jaxpr(function)(*arguments)
    parameters = traced.consts
    if mesh is not None:
        everywhere = NamedSharding(mesh, PartitionSpec())
        parameters = [value if _is_on(value, mesh) else jax.device_put(value, everywhere) for value in parameters]

    def program(parameters, *arguments):
        return jax.core.eval_jaxpr(traced.jaxpr, parameters, *arguments)[0]

    return program, parameters


def _is_on(value, mesh: Mesh) -> bool:
    return isinstance(value, jax.Array) and value.sharding.device_set == set(mesh.devices.flat)
