"""The trained networks that clusterjax brings along, each a folder here; README.md beside this file says how they were
made, and ``model_card.md`` in each how well it does."""

import os
import pathlib

_FOLDER = pathlib.Path(__file__).parent
NAMES = ("infrared", "microwave")


def find_network(path: str | os.PathLike) -> pathlib.Path:
    """The folder of the network of that name; any other ``path``, and one that exists, as it is."""
    path = pathlib.Path(path)
    return _FOLDER / path if str(path) in NAMES and not path.exists() else path


def is_shipped(path: str | os.PathLike) -> bool:
    """True for one of those."""
    return find_network(path).parent == _FOLDER
