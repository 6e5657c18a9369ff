"""A JAX function of a batch of images as an ONNX graph, primitive by primitive.

The function is traced once for any number of images; what of it depends on constants alone is computed then. Only what
the networks and the normalisation are made of is known (:mod:`clusterjax.jobs.onnx_primitives`); jax2onnx, which knows
more, traces neither our modules nor a batch of any size through them, and holds Orbax back.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import export as jax_export
from jax.extend import core

OPSET = 20


class NotConvertible(Exception):
    """The function does what ONNX, or this converter, has no words for."""


@dataclasses.dataclass(frozen=True)
class Value:
    """A tensor of the graph by its name, or a constant. ``shape`` is its own, with 1 where it is yet to be broadcast:
    elementwise operations do that by themselves."""

    content: str | np.ndarray
    shape: tuple

    @property
    def constant(self) -> np.ndarray | None:
        return None if isinstance(self.content, str) else self.content


def constant(array) -> Value:
    array = np.asarray(array)
    return Value(array, array.shape)


class Graph:
    """Nodes and constants as they come; :meth:`model` makes of them what ONNX stores."""

    def __init__(self, batch_source: str):
        import onnx.helper
        import onnx.numpy_helper

        self._onnx = onnx
        self.nodes: list = []
        self._initializers: dict[str, Any] = {}
        self._names: dict[tuple, str] = {}
        self._batch_source = batch_source
        self._batch: str | None = None

    def add(self, operation: str, *inputs: Value | str, **attributes) -> str:
        """A node with one output, whose name is returned."""
        output = f"{operation.lower()}_{len(self.nodes)}"
        names = [value if isinstance(value, str) else self.name_of(value) for value in inputs]
        self.nodes.append(self._onnx.helper.make_node(operation, names, [output], **attributes))
        return output

    def name_of(self, value: Value) -> str:
        """Of a tensor; a constant becomes one, each only once."""
        if isinstance(value.content, str):
            return value.content
        array = value.content
        content = np.ascontiguousarray(array).reshape(array.shape)  # which makes a scalar an array
        key = (array.dtype.str, array.shape, hashlib.sha256(content).digest())
        if key not in self._names:
            self._names[key] = f"constant_{len(self._names)}"
            tensor = self._onnx.numpy_helper.from_array(content)
            tensor.name = self._names[key]
            self._initializers[tensor.name] = tensor
        return self._names[key]

    def integers(self, numbers: Sequence[int]) -> str:
        return self.name_of(constant(np.array(numbers, np.int64)))

    def reshaped(self, value: Value, shape: Sequence) -> Value:
        """``value`` in ``shape``, of which one axis may depend on the batch."""
        if value.constant is not None:
            return constant(value.constant.reshape([size if isinstance(size, int) else -1 for size in shape]))
        if sum(not isinstance(size, int) for size in shape) > 1:
            raise NotConvertible(f"an array of shape {tuple(shape)}, more than one axis of which depends on the batch")
        sizes = self.integers([size if isinstance(size, int) else -1 for size in shape])
        return Value(self.add("Reshape", value, sizes), tuple(shape))

    def broadcast(self, value: Value, shape: Sequence) -> Value:
        """``value`` repeated to ``shape``, which has as many axes."""
        if value.shape == tuple(shape):
            return value
        if value.constant is not None and all(isinstance(size, int) for size in shape):
            return constant(np.broadcast_to(value.constant, shape))
        parts = []
        for own, size in zip(value.shape, shape, strict=True):
            if isinstance(size, int):
                parts.append(self.integers([size]))
            elif own == size:
                parts.append(self.integers([1]))  # stays as it is
            else:
                parts.append(self._batch_size(size))
        return Value(self.add("Expand", value, self.add("Concat", *parts, axis=0)), tuple(shape))

    def _batch_size(self, size) -> str:
        if str(size) != "batch":
            raise NotConvertible(f"an axis of {size}")
        if self._batch is None:
            shape = self.add("Shape", self._batch_source)
            self._batch = self.add("Slice", shape, self.integers([0]), self.integers([1]))
        return self._batch

    def model(self, image_shape: Sequence[int], outputs: Sequence[tuple[str, Value, Sequence[int]]], about: str):
        """``outputs`` are (name, value, shape without the batch)."""
        make, float32 = self._onnx.helper, self._onnx.TensorProto.FLOAT
        for name, value, _ in outputs:
            self.nodes.append(make.make_node("Identity", [self.name_of(value)], [name]))
        graph = make.make_graph(
            self.nodes,
            "clusterjax",
            [make.make_tensor_value_info(self._batch_source, float32, ["batch", *image_shape])],
            [make.make_tensor_value_info(name, float32, ["batch", *shape]) for name, _, shape in outputs],
        )
        # IR 10 is what runtimes of 2024 read.
        model = make.make_model(
            graph, opset_imports=[make.make_opsetid("", OPSET)], ir_version=10, producer_name="clusterjax",
            doc_string=about,
        )  # fmt: skip
        for name in list(self._initializers):  # moved one by one: networks of a gigabyte would be copied twice
            model.graph.initializer.append(self._initializers.pop(name))
        self._onnx.checker.check_model(model, full_check=True)
        return model


def convert_function(function: Callable, image_shape: Sequence[int], outputs: Sequence[str], *, about: str = ""):
    """``function``, of images (batch, *image_shape) float32 an array (batch, ...) or several, as an ``onnx.ModelProto``
    with the input ``images`` and these ``outputs``.

    Raises :class:`NotConvertible`, with what it is, for anything that has no counterpart.
    """
    from clusterjax.jobs.onnx_primitives import CONVERTERS

    shape = jax_export.symbolic_shape(", ".join(["batch", *map(str, image_shape)]))
    traced = jax.make_jaxpr(function)(jax.ShapeDtypeStruct(shape, np.float32))
    graph = Graph("images")
    results = _convert(graph, traced.jaxpr, traced.consts, [Value("images", tuple(shape))], CONVERTERS)
    avals = [var.aval for var in traced.jaxpr.outvars]
    whole = [graph.broadcast(result, aval.shape) for result, aval in zip(results, avals, strict=True)]
    named = [(name, value, value.shape[1:]) for name, value in zip(outputs, whole, strict=True)]
    return graph.model(image_shape, named, about)


def _convert(graph: Graph, jaxpr, consts, arguments: Sequence[Value], converters) -> list[Value]:
    values = dict(zip(jaxpr.constvars, map(constant, consts), strict=True))
    values.update(zip(jaxpr.invars, arguments, strict=True))

    def value_of(atom) -> Value:
        return constant(np.asarray(atom.val, atom.aval.dtype)) if isinstance(atom, core.Literal) else values[atom]

    for equation in jaxpr.eqns:
        inputs = [value_of(atom) for atom in equation.invars]
        inner = next((equation.params[key] for key in ("jaxpr", "call_jaxpr") if key in equation.params), None)
        if inner is not None and equation.primitive.name not in ("scan", "while", "cond"):
            closed = inner if hasattr(inner, "consts") else core.ClosedJaxpr(inner, ())
            results = _convert(graph, closed.jaxpr, closed.consts, inputs, converters)
        else:
            results = [_convert_equation(graph, equation, inputs, converters)]
        values.update(zip(equation.outvars, results, strict=True))
    return [value_of(atom) for atom in jaxpr.outvars]


def _convert_equation(graph: Graph, equation, inputs: Sequence[Value], converters) -> Value:
    name, aval = equation.primitive.name, equation.outvars[0].aval
    static = all(isinstance(size, int) for size in aval.shape)
    whole = all(value.shape == atom.aval.shape for value, atom in zip(inputs, equation.invars, strict=True))
    if static and whole and len(equation.outvars) == 1 and all(value.constant is not None for value in inputs):
        with jax.default_device(jax.devices("cpu")[0]):
            return constant(
                np.asarray(equation.primitive.bind(*(value.constant for value in inputs), **equation.params))
            )
    if name not in converters or len(equation.outvars) != 1:
        raise NotConvertible(f"the operation {name}")
    return converters[name](graph, equation, inputs)
