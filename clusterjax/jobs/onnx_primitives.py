"""JAX's primitives, those of the networks and of the normalisation, in the words of ONNX."""

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np

from clusterjax.jobs.onnx_graph import Graph, NotConvertible, Value, constant

_END = 2**63 - 1  # of an axis, however long


def _joint_shape(values: Sequence[Value]) -> tuple:
    rank = max(len(value.shape) for value in values)  # a number goes with any
    shapes = [value.shape or (1,) * rank for value in values]
    return tuple(next((size for size in sizes if size != 1), 1) for sizes in zip(*shapes, strict=True))


def _elementwise(operation: str) -> Callable:
    def convert(graph: Graph, equation, inputs) -> Value:
        return Value(graph.add(operation, *inputs), _joint_shape(inputs))

    return convert


def _chain(*operations: str) -> Callable:
    """The first of the inputs, the others of what came before."""

    def convert(graph: Graph, equation, inputs) -> Value:
        name = graph.add(operations[0], *inputs)
        for operation in operations[1:]:
            name = graph.add(operation, name)
        return Value(name, _joint_shape(inputs))

    return convert


def _logical(of_booleans: str, of_integers: str) -> Callable:
    def convert(graph: Graph, equation, inputs) -> Value:
        is_boolean = equation.invars[0].aval.dtype == bool
        return Value(graph.add(of_booleans if is_boolean else of_integers, *inputs), _joint_shape(inputs))

    return convert


def _square(graph: Graph, equation, inputs) -> Value:
    return Value(graph.add("Mul", inputs[0], inputs[0]), inputs[0].shape)


def _power(graph: Graph, equation, inputs) -> Value:
    exponent = np.asarray(equation.params["y"], equation.invars[0].aval.dtype)
    return Value(graph.add("Pow", inputs[0], constant(exponent)), inputs[0].shape)


def _erfc(graph: Graph, equation, inputs) -> Value:
    return Value(graph.add("Sub", constant(np.float32(1)), graph.add("Erf", *inputs)), inputs[0].shape)


def _log1p(graph: Graph, equation, inputs) -> Value:
    return Value(graph.add("Log", graph.add("Add", constant(np.float32(1)), *inputs)), inputs[0].shape)


def _is_finite(graph: Graph, equation, inputs) -> Value:
    either = graph.add("Or", graph.add("IsNaN", *inputs), graph.add("IsInf", *inputs))
    return Value(graph.add("Not", either), inputs[0].shape)


def _select(graph: Graph, equation, inputs) -> Value:
    if len(inputs) != 3 or equation.invars[0].aval.dtype != bool:
        raise NotConvertible("a choice between more than two arrays")
    which, if_false, if_true = inputs
    rank = len(equation.outvars[0].aval.shape)
    if len(which.shape) != rank:  # one for all
        which = graph.reshaped(which, (1,) * rank)
    return Value(graph.add("Where", which, if_true, if_false), _joint_shape((which, if_false, if_true)))


def _cast(graph: Graph, equation, inputs) -> Value:
    import onnx.helper

    dtype = np.dtype(equation.params["new_dtype"])
    if dtype not in (np.float32, np.int32, np.int64, np.bool_):
        raise NotConvertible(f"numbers of type {dtype}")
    return Value(graph.add("Cast", *inputs, to=onnx.helper.np_dtype_to_tensor_dtype(dtype)), inputs[0].shape)


def _broadcast(graph: Graph, equation, inputs) -> Value:
    """Axes of length 1 where it repeats: elementwise operations do the rest."""
    (value,), shape = inputs, [1] * len(equation.params["shape"])
    for axis, size in zip(equation.params["broadcast_dimensions"], value.shape, strict=True):
        shape[axis] = size
    return graph.reshaped(value, shape)


def _on_whole(convert: Callable) -> Callable:
    """What moves or joins pixels needs them all."""

    def wrapped(graph: Graph, equation, inputs) -> Value:
        whole = [graph.broadcast(v, atom.aval.shape) for v, atom in zip(inputs, equation.invars, strict=True)]
        return convert(graph, equation, whole)

    return wrapped


def _reshape(graph: Graph, equation, inputs) -> Value:
    return graph.reshaped(inputs[0], equation.outvars[0].aval.shape)


def _transpose(graph: Graph, equation, inputs) -> Value:
    return _permuted(graph, inputs[0], equation.params["permutation"])


def _permuted(graph: Graph, value: Value, order: Sequence[int]) -> Value:
    shape = tuple(value.shape[axis] for axis in order)
    if value.constant is not None:
        return constant(value.constant.transpose(order))
    return (
        value if tuple(order) == tuple(range(len(shape))) else Value(graph.add("Transpose", value, perm=order), shape)
    )


def _slice(graph: Graph, equation, inputs) -> Value:
    starts, shape = equation.params["start_indices"], inputs[0].shape
    limits = [
        _END if limit == size else limit for limit, size in zip(equation.params["limit_indices"], shape, strict=True)
    ]
    steps = equation.params["strides"] or [1] * len(shape)
    parts = [graph.integers(numbers) for numbers in (starts, limits, range(len(shape)), steps)]
    return Value(graph.add("Slice", inputs[0], *parts), equation.outvars[0].aval.shape)


def _gather(graph: Graph, equation, inputs) -> Value:
    """What slicing becomes along axes beside the batch: one piece, at a constant place."""
    (image, indices), params = inputs, equation.params
    numbers, out = params["dimension_numbers"], equation.outvars[0].aval.shape
    if indices.constant is None or indices.constant.ndim != 1 or numbers.operand_batching_dims:
        raise NotConvertible("pixels from places that are not constant, or from several at once")
    starts = [0] * len(image.shape)
    for axis, start in zip(numbers.start_index_map, indices.constant, strict=True):
        starts[axis] = int(start)
    ends = [
        _END if size == whole else start + size
        for start, size, whole in zip(starts, params["slice_sizes"], image.shape, strict=True)
    ]
    parts = [graph.integers(numbers) for numbers in (starts, ends, range(len(starts)))]
    return graph.reshaped(Value(graph.add("Slice", image, *parts), tuple(params["slice_sizes"])), out)


def _concatenate(graph: Graph, equation, inputs) -> Value:
    return Value(graph.add("Concat", *inputs, axis=equation.params["dimension"]), equation.outvars[0].aval.shape)


def _stack(graph: Graph, equation, inputs) -> Value:
    axis, out = equation.params["axis"], equation.outvars[0].aval.shape
    single = (*out[:axis], 1, *out[axis + 1 :])
    return Value(graph.add("Concat", *(graph.reshaped(value, single) for value in inputs), axis=axis), out)


def _pad(graph: Graph, equation, inputs) -> Value:
    low, high, between = zip(*equation.params["padding_config"], strict=True)
    if any(between) or min(*low, *high) < 0:
        raise NotConvertible("padding between pixels, or of less than none")
    borders = graph.integers([int(size) for size in (*low, *high)])
    return Value(graph.add("Pad", inputs[0], borders, inputs[1]), equation.outvars[0].aval.shape)


def _sort(graph: Graph, equation, inputs) -> Value:
    axis = equation.params["dimension"]
    output = f"sorted_{len(graph.nodes)}"
    graph.nodes.append(
        graph._onnx.helper.make_node(
            "TopK", [graph.name_of(inputs[0]), graph.integers([inputs[0].shape[axis]])], [output, output + "_at"],
            axis=axis, largest=0, sorted=1,
        )
    )  # fmt: skip
    return Value(output, inputs[0].shape)


def _reduce(operation: str) -> Callable:
    def convert(graph: Graph, equation, inputs) -> Value:
        axes = graph.integers([int(axis) for axis in equation.params["axes"]])  # NumPy's, of some
        return Value(graph.add(operation, inputs[0], axes, keepdims=0), equation.outvars[0].aval.shape)

    return convert


def _dot(graph: Graph, equation, inputs) -> Value:
    """As products of matrices: (batch axes, free, summed) times (batch axes, summed, free)."""
    (summed_left, summed_right), (batch_left, batch_right) = equation.params["dimension_numbers"]
    left, right = inputs
    free_left = [i for i in range(len(left.shape)) if i not in (*summed_left, *batch_left)]
    free_right = [i for i in range(len(right.shape)) if i not in (*summed_right, *batch_right)]
    batch = [left.shape[i] for i in batch_left]
    number = math.prod(left.shape[i] for i in summed_left)
    num_left, num_right = math.prod(left.shape[i] for i in free_left), math.prod(right.shape[i] for i in free_right)
    left = _permuted(graph, left, [*batch_left, *free_left, *summed_left])
    right = _permuted(graph, right, [*batch_right, *summed_right, *free_right])
    left = graph.reshaped(left, [*batch, num_left, number])
    right = graph.reshaped(right, [*batch, number, num_right])
    product = Value(graph.add("MatMul", left, right), (*batch, num_left, num_right))
    return graph.reshaped(product, equation.outvars[0].aval.shape)


def _convolution(graph: Graph, equation, inputs) -> Value:
    params = equation.params
    numbers = params["dimension_numbers"]
    if params["batch_group_count"] != 1 or set(params["lhs_dilation"]) - {1}:
        raise NotConvertible("a transposed convolution, or one in groups of images")
    image, kernel = _permuted(graph, inputs[0], numbers.lhs_spec), _permuted(graph, inputs[1], numbers.rhs_spec)
    name = graph.add(
        "Conv", image, kernel, strides=params["window_strides"], dilations=params["rhs_dilation"],
        pads=[*(low for low, _ in params["padding"]), *(high for _, high in params["padding"])],
        group=params["feature_group_count"],
    )  # fmt: skip
    shape = equation.outvars[0].aval.shape
    out = Value(name, tuple(shape[axis] for axis in numbers.out_spec))
    return _permuted(graph, out, np.argsort(numbers.out_spec).tolist())


def _pool(operation: str) -> Callable:
    """Over windows along the middle axes of (batch, y, x, feature)."""

    def convert(graph: Graph, equation, inputs) -> Value:
        params = equation.params
        sizes, steps, pads = (params[key] for key in ("window_dimensions", "window_strides", "padding"))
        dilations = set(itertools.chain(params["base_dilation"], params["window_dilation"]))
        outer = [(sizes[axis], steps[axis], tuple(pads[axis])) for axis in (0, -1)]
        if len(sizes) != 4 or dilations - {1} or outer != [(1, 1, (0, 0))] * 2:
            raise NotConvertible("pooling along other axes than y and x")
        padding = [pads[1][0], pads[2][0], pads[1][1], pads[2][1]]
        options = {"count_include_pad": 1} if operation == "AveragePool" else {}
        image = _permuted(graph, inputs[0], (0, 3, 1, 2))
        name = graph.add(operation, image, kernel_shape=sizes[1:3], strides=steps[1:3], pads=padding, **options)
        if operation == "AveragePool":
            name = graph.add("Mul", name, constant(np.float32(sizes[1] * sizes[2])))
        shape = equation.outvars[0].aval.shape
        return _permuted(graph, Value(name, (shape[0], shape[3], *shape[1:3])), (0, 2, 3, 1))

    return convert


_ELEMENTWISE = {
    "add": "Add", "add_any": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "max": "Max", "min": "Min", "neg": "Neg",
    "abs": "Abs", "sign": "Sign", "exp": "Exp", "log": "Log", "tanh": "Tanh", "asinh": "Asinh", "logistic": "Sigmoid",
    "erf": "Erf", "sqrt": "Sqrt", "eq": "Equal", "lt": "Less", "gt": "Greater", "le": "LessOrEqual",
    "ge": "GreaterOrEqual", "stop_gradient": "Identity", "copy": "Identity", "copy_p": "Identity",
}  # fmt: skip
_WHOLE = {
    "reshape": _reshape, "squeeze": _reshape, "expand_dims": _reshape, "transpose": _transpose, "slice": _slice,
    "gather": _gather, "concatenate": _concatenate, "stack": _stack, "pad": _pad, "sort": _sort,
    "reduce_sum": _reduce("ReduceSum"), "reduce_max": _reduce("ReduceMax"), "reduce_min": _reduce("ReduceMin"),
    "dot_general": _dot, "conv_general_dilated": _convolution, "reduce_window_max": _pool("MaxPool"),
    "reduce_window_sum": _pool("AveragePool"),
}  # fmt: skip
# (graph, equation of a jaxpr, its inputs) -> its output
CONVERTERS = {
    **{name: _elementwise(operation) for name, operation in _ELEMENTWISE.items()},
    **{name: _on_whole(convert) for name, convert in _WHOLE.items()},
    "rsqrt": _chain("Sqrt", "Reciprocal"), "ne": _chain("Equal", "Not"), "square": _square, "integer_pow": _power,
    "erfc": _erfc, "log1p": _log1p, "is_finite": _is_finite, "select_n": _select, "convert_element_type": _cast,
    "and": _logical("And", "BitwiseAnd"), "or": _logical("Or", "BitwiseOr"), "not": _logical("Not", "BitwiseNot"),
    "broadcast_in_dim": _broadcast,
}  # fmt: skip
