"""Published state dicts to our trees of parameters, by each family's explicit table of names."""

import re
from typing import Any

import jax
import numpy as np
from flax import nnx

from clusterjax.errors import InputError
from clusterjax.models.registry import ModelEntry, create_model, model_entry

_LEAVES = {
    "weight": ("kernel", "scale"),
    "bias": ("bias",),
    "running_mean": ("mean",),
    "running_var": ("var",),
    "num_batches_tracked": (),  # PyTorch's count of updates, which nothing reads
}


def convert(weights: dict[str, np.ndarray], name: str, **kwargs) -> dict[str, np.ndarray]:
    """Weights of a library's network as ours of model ``name``: "backbone.stem.conv.kernel" -> array.

    Parameters and batch-norm statistics together, with the bands and classes that the file has. ``kwargs`` are those of
    :func:`create_model`. Raises InputError, by name, for entries that no table maps, that are missing or mis-shaped.
    """
    entry = model_entry(name)
    targets = _map_names(weights, entry)
    expected = _expected_shapes(targets, weights, entry, kwargs)
    converted: dict[str, np.ndarray] = {}
    for theirs, (path, leaf) in targets.items():
        if path == "" or leaf == "num_batches_tracked":
            continue
        candidates = [f"{path}.{ours}" for ours in _LEAVES[leaf]] if leaf else [path]
        ours = next((candidate for candidate in candidates if candidate in expected), None)
        if ours is None:
            raise InputError(f"weights of {name}: {theirs} has no place; the network has no {candidates[0]}")
        converted[ours] = _transpose(weights[theirs], expected[ours], entry)
        # Position embeddings of another image size are resized when they are used.
        free = (1,) if ours == "backbone.position" else ()
        if not _same_shape(converted[ours].shape, expected[ours], free):
            raise InputError(
                f"weights of {name}: {theirs} has shape {weights[theirs].shape}, which does not fit "
                f"{ours} {expected[ours]}; is it another network?"
            )
    missing = sorted(set(expected) - set(converted))
    if missing:
        raise InputError(f"weights of {name}: nothing for {', '.join(missing[:5])}{' ...' * (len(missing) > 5)}")
    return converted


def _map_names(weights, entry: ModelEntry) -> dict[str, tuple[str, str]]:
    """Their name -> (our path, their leaf or ""), by the table that knows most of their names."""
    if not entry.names:
        raise InputError(f"model {entry.name} has no published weights that can be converted")
    found = {library: {name: _map_name(name, table) for name in weights} for library, table in entry.names.items()}
    library, targets = min(found.items(), key=lambda item: sum(target is None for target in item[1].values()))
    unmapped = [name for name, target in targets.items() if target is None]
    if unmapped:
        raise InputError(
            f"weights are not those of {library}: {len(unmapped)} of {len(weights)} names are unknown, "
            f"such as {', '.join(unmapped[:5])}"
        )
    return targets


def _map_name(name: str, table) -> tuple[str, str] | None:
    for pattern, ours in table:
        match = re.fullmatch(rf"(?:{pattern})(?:\.?(?P<leaf>{'|'.join(_LEAVES)}))?", name)
        if match:
            # "{\1-1}": they count from 1.
            path = re.sub(r"\{(\d+)-1\}", lambda number: str(int(number[1]) - 1), match.expand(ours))
            return path, match["leaf"] or ""
    return None


def _expected_shapes(targets, weights, entry: ModelEntry, kwargs) -> dict[str, tuple[int, ...]]:
    """Of the network that the file is of: its own bands, classes and head."""

    def shape_of(path: str) -> tuple[int, ...]:
        for theirs, target in targets.items():
            if target == (path, "weight"):
                return weights[theirs].shape
        raise InputError(f"weights of {entry.name}: nothing for {path}.kernel")

    first = shape_of(entry.first_layer)
    if len(first) != 4:
        raise InputError(f"weights of {entry.name}: {entry.first_layer} has shape {first}, which is no convolution's")
    has_hidden = any(path.startswith("head.hidden") for path, _ in targets.values())
    kwargs = {**kwargs, "head": "vgg" if has_hidden else "linear", "head_kwargs": {}}
    shapes = nnx.eval_shape(
        lambda: create_model(
            entry.name,
            num_bands=first[1],
            num_classes=shape_of("head.linear")[0],
            dtype="float32",
            rngs=nnx.Rngs(0),
            **kwargs,
        )
    )
    return {path: leaf.shape for path, leaf in flatten_names(nnx.to_pure_dict(nnx.state(shapes))).items()}


def flatten_names(tree: Any, depth: int = 0) -> dict[str, Any]:
    """A nested dict as "backbone.stages.0.1.conv.kernel" -> leaf, without the outermost ``depth`` levels of names."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {".".join(str(key.key) for key in path[depth:]): leaf for path, leaf in leaves}


def _transpose(array: np.ndarray, shape: tuple[int, ...], entry: ModelEntry) -> np.ndarray:
    """(out, in, y, x) to (y, x, in, out); (out, in) to (in, out); flattened maps (feature, y, x) to (y, x, feature)."""
    if len(shape) == 4:
        return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
    if len(shape) == 2 and array.ndim == 4 and array.shape[2:] == (1, 1):
        return array[:, :, 0, 0].T
    if len(shape) == 2 and array.ndim == 2:
        if entry.flattened is not None and array.shape[1] == np.prod(entry.flattened):
            array = array.reshape(-1, *entry.flattened).transpose(0, 2, 3, 1).reshape(array.shape)
        return array.T
    return array


def _same_shape(a, b, free: tuple[int, ...] = ()) -> bool:
    return len(a) == len(b) and all(m == n or i in free for i, (m, n) in enumerate(zip(a, b, strict=True)))
