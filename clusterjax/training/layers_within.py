"""Reaches what layers within a network give, without a line in the networks themselves.

A layer of the merged copy is put into a tap, a module that calls it and shows its output to a function, which may hand
back another. ``nnx.capture`` would need ``sow`` and ``perturb`` in each layer's own code.
"""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from clusterjax.arrays import Images, PyTree
from clusterjax.errors import InputError

_LEAST_PIXELS = 2  # a side; less is no map
# Of ResNets at 224 px, which Grad-CAM was made for: maps of the deepest layers tell more, but of fewer places.
_GRAD_CAM_PIXELS = 7


@dataclasses.dataclass(frozen=True)
class MapLayer:
    """A layer whose output is a map: ``name`` as in ``backbone.blocks.2``, of ``shape`` (y, x, feature).

    Of a transformer the output is a token for each patch, row by row, after a class token if ``has_class_token``.
    ``is_outermost``: no layer about it gives a map.
    """

    name: str
    shape: tuple[int, int, int]
    is_tokens: bool = False
    has_class_token: bool = False
    is_outermost: bool = True

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Of the layer's output itself, without the batch."""
        num_y, num_x, num_features = self.shape
        return (num_y * num_x + self.has_class_token, num_features) if self.is_tokens else self.shape

    def as_map(self, output: Array) -> Float[Array, "batch y x feature"]:
        if not self.is_tokens:
            return output
        return output[:, int(self.has_class_token) :].reshape(output.shape[0], *self.shape)


class _Tap(nnx.Module):
    def __init__(self, layer: nnx.Module, see: Callable[[Array], Array]):
        self.layer = layer
        self.see = see

    def __call__(self, *args, **kwargs):
        return self.see(self.layer(*args, **kwargs))

    def __getattr__(self, name: str):
        """The layer's own: what is about it may ask for its settings."""
        if name.startswith("_") or "layer" not in vars(self):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(vars(self)["layer"], name)


def tapped_forward(
    graphdef: nnx.GraphDef,
    params: PyTree,
    model_state: PyTree,
    inputs: Images,
    taps: dict[str, Callable[[Array], Array]],
) -> Float[Array, "batch class"]:
    """Logits in evaluation mode. ``taps[name]`` sees that layer's output, and what it returns takes its place.

    Raises InputError for a name that is no layer.
    """
    model = nnx.merge(graphdef, params, model_state, copy=True)
    model.eval()
    modules = _named_modules(model)
    for name, see in taps.items():
        if name not in modules:
            raise InputError(f"{name!r} is no layer of this network; it has {', '.join(sorted(modules))}")
        parent, _, key = name.rpartition(".")
        _put(modules[parent] if parent else model, key, _Tap(modules[name], see))
    for module in modules.values():
        if getattr(module, "remat", False):  # what is seen within could not be handed out
            module.remat = False
    return model(inputs).astype(jnp.float32)


def _named_modules(model: nnx.Module) -> dict[str, nnx.Module]:
    """All but the model itself, by dotted name, the innermost last."""
    named = {".".join(map(str, path)): module for path, module in nnx.iter_modules(model) if path}
    return dict(sorted(named.items(), key=lambda item: item[0].count(".")))


def _put(parent, key: str, module: nnx.Module) -> None:
    if isinstance(parent, nnx.List):
        parent[int(key)] = module
    elif isinstance(parent, nnx.Dict):
        parent[key] = module
    else:
        setattr(parent, key, module)


def list_map_layers(
    graphdef: nnx.GraphDef, params: PyTree, model_state: PyTree, *, input_shape: tuple[int, int, int]
) -> list[MapLayer]:
    """All layers whose output is a map of 2 pixels a side or more, in the order in which they end.

    ``input_shape`` is (y, x, band); the arrays may be shapes alone. Nothing is computed.
    """
    shapes: dict[str, tuple[int, ...]] = {}  # in the order in which the calls end

    def watch(name):
        def see(output):
            shapes.pop(name, None)  # of a layer that is called twice, the last
            shapes[name] = output.shape[1:]
            return output

        return see

    def forward_of_all(params, model_state, inputs):
        model = nnx.merge(graphdef, params, model_state, copy=True)
        # Those that only hold others, and those that only drop values out, are no layers.
        names = [
            name
            for name, module in _named_modules(model).items()
            if not isinstance(module, nnx.List | nnx.Dict) and nnx.state(module, nnx.Param)
        ]
        return tapped_forward(graphdef, params, model_state, inputs, {name: watch(name) for name in names})

    jax.eval_shape(forward_of_all, params, model_state, jax.ShapeDtypeStruct((1, *input_shape), jnp.float32))
    return _maps_among(shapes)


def _maps_among(shapes: dict[str, tuple[int, ...]]) -> list[MapLayer]:
    found: list[MapLayer] = []
    grid = (0, 0)
    for name, shape in shapes.items():
        if len(shape) == 3:
            grid = shape[:2]
            layer = MapLayer(name, shape)
        elif len(shape) == 2 and shape[0] - grid[0] * grid[1] in (0, 1):
            layer = MapLayer(name, (*grid, shape[1]), True, shape[0] > grid[0] * grid[1])
        else:
            continue
        found.append(layer)
    names = {layer.name for layer in found}
    return [
        dataclasses.replace(layer, is_outermost=not _parents(layer.name) & names)
        for layer in found
        if min(layer.shape[:2]) >= _LEAST_PIXELS
    ]


def _parents(name: str) -> set[str]:
    parts = name.split(".")
    return {".".join(parts[:i]) for i in range(1, len(parts))}


def choose_layers(layers: Sequence[MapLayer], names: Sequence[str] = (), *, num: int = 3) -> list[MapLayer]:
    """The layers ``names``; without names, ``num`` of the outermost, evenly spaced up to the last.

    Of six convolutions these are the second, fourth and sixth, as Kosiba et al. (2020) show them. Raises InputError
    for a name that gives no map, and for a network without any.
    """
    outermost = _outermost(layers)
    if not names:
        num = min(num, len(outermost))
        return [outermost[-(-(i + 1) * len(outermost) // num) - 1] for i in range(num)]
    by_name = {layer.name: layer for layer in layers}
    for name in names:
        if name not in by_name:
            raise InputError(
                f"config.explain: layer {name!r} gives no map in this network; use some of "
                f"{', '.join(layer.name for layer in outermost)}, or a layer within them"
            )
    return [by_name[name] for name in names]


def _outermost(layers: Sequence[MapLayer]) -> list[MapLayer]:
    outermost = [layer for layer in layers if layer.is_outermost]
    if not outermost:
        raise InputError("no layer of this network gives a map of 2 pixels a side or more; use larger images")
    return outermost


def choose_grad_cam_layer(layers: Sequence[MapLayer], name: str | None = None) -> MapLayer:
    """The layer ``name``; else the last with maps of 7 pixels a side or more, or the finest if all have fewer.

    Of a transformer whose class token is read, what goes into the last attention: after it no score depends on the
    patches' tokens. Raises InputError as :func:`choose_layers` does.
    """
    if name is not None:
        return choose_layers(layers, [name])[0]
    outermost = _outermost(layers)
    if outermost[-1].has_class_token:
        return [layer for layer in layers if layer.has_class_token and layer.name.endswith(".norm1")][-1]
    fine = [layer for layer in outermost if min(layer.shape[:2]) >= _GRAD_CAM_PIXELS]
    return fine[-1] if fine else max(outermost, key=lambda layer: min(layer.shape[:2]))
