"""What a function costs, counted in its jaxpr: alike on every platform, before anything is compiled."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.extend

from clusterjax.models.kernels import plain_kernels


class Cost(NamedTuple):
    """``operations``: a multiplication and an addition are two; ``values``: what is given out. Of convolutions and
    matrix products alone."""

    operations: int = 0
    values: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.operations + other.operations, self.values + other.values)


def count_cost(function: Callable, *args) -> Cost:
    """Of ``function(*args)``, traced with XLA's plain operations; ``args`` may be shapes. The body of a loop counts
    once."""
    with plain_kernels():
        return _count(jax.make_jaxpr(function)(*args).jaxpr)


def _count(jaxpr) -> Cost:
    total = Cost()
    for equation in jaxpr.eqns:
        total += _of_product(equation)
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            total += _count(inner)
    return total


def _of_product(equation) -> Cost:
    if equation.primitive.name not in ("conv_general_dilated", "dot_general"):
        return Cost()
    output, (left, right) = equation.outvars[0].aval, (each.aval.shape for each in equation.invars[:2])
    numbers = equation.params["dimension_numbers"]
    if equation.primitive.name == "dot_general":
        per_value = math.prod(left[axis] for axis in numbers[0][0])
    else:  # of the kernel (out feature, in feature, *pixels)
        per_value = math.prod(right[axis] for axis in numbers.rhs_spec[1:])
    return Cost(2 * output.size * per_value, output.size)
