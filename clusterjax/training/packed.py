"""A trained network as two small files, ``network.json`` and ``weights.npz``: to hand on, and to bring along.

A checkpoint of Orbax is a folder of many files that also holds the optimizer's state, thrice the weights.
"""

import contextlib
import hashlib
import io
import json
import os
import pathlib
import zipfile
from typing import Any

import jax
import numpy as np

from clusterjax.arrays import PyTree
from clusterjax.errors import InputError
from clusterjax.models.pretrained import flatten_names
from clusterjax.writing import replacing, write_text

ABOUT, WEIGHTS = "network.json", "weights.npz"


def is_packed(path: str | os.PathLike) -> bool:
    """True for a folder that :func:`write_packed` wrote."""
    return (pathlib.Path(path) / ABOUT).is_file()


def write_packed(folder: pathlib.Path, weights: PyTree, about: dict[str, Any]) -> None:
    """``weights``, nested dicts of arrays, and JSON-able ``about``, in a folder that is there.

    Each file is whole or not there, ``network.json`` the last: the same weights give the same bytes.
    """
    arrays = {name: np.asarray(leaf) for name, leaf in sorted(flatten_names(jax.device_get(weights)).items())}
    with replacing(folder / WEIGHTS) as partial, partial.open("wb") as stream:  # to a name it would add .npz
        np.savez_compressed(stream, **arrays)
    about = {**about, "sha256": hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()}
    write_text(folder / ABOUT, json.dumps(about, indent=1) + "\n")


def read_about(folder: str | os.PathLike) -> dict[str, Any]:
    """What :func:`write_packed` was told, and the sha256 of the weights. Raises InputError."""
    path = pathlib.Path(folder) / ABOUT
    try:
        about = json.loads(path.read_text())
        missing = {"config", "facts", "sha256"} - set(about)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({error}); pack the network again by --job=pack") from error
    if missing:
        raise InputError(f"{path} has no {', '.join(sorted(missing))}; pack the network again by --job=pack")
    return about


def read_packed(folder: str | os.PathLike, target: PyTree, *, num_members: int | None, sha256: str) -> PyTree:
    """The weights, in the structure of ``target``, whose shapes they have; of an ensemble with an axis more in front.

    Raises InputError for a file that is not what was written, and for weights of another network.
    """
    path = pathlib.Path(folder) / WEIGHTS
    try:
        content = path.read_bytes()
        intact = hashlib.sha256(content).hexdigest() == sha256
        with np.load(io.BytesIO(content), allow_pickle=False) if intact else contextlib.nullcontext({}) as file:
            arrays = dict(file)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be read ({error}); fetch or pack the network again") from error
    if not intact:
        raise InputError(f"{path} is not the file that {ABOUT} tells of: its checksum differs; fetch or pack it again")
    members = () if num_members is None else (num_members,)
    wanted = {name: (*members, *leaf.shape) for name, leaf in flatten_names(target).items()}
    if {name: array.shape for name, array in arrays.items()} != wanted:
        raise InputError(f"{path} holds the weights of another network than {ABOUT} tells of; pack it again")

    def fill(where, leaf):
        array = np.asarray(arrays[".".join(str(key.key) for key in where)], leaf.dtype)
        return jax.device_put(array, leaf.sharding)

    return jax.tree_util.tree_map_with_path(fill, target)
