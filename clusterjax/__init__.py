"""clusterjax finds galaxy clusters in sky surveys.

Two towers meet in :mod:`clusterjax.jobs`: the sky (``sky``, ``simulation``, ``search``) knows no learning, and learning
(``models``, ``data``, ``training``) knows no sky. Importing this package imports nothing else;
:class:`clusterjax.Classifier`, a trained network for use in Python, and :class:`clusterjax.SelectionFunction`, what it
finds of the clusters there are, are imported when they are asked for.
"""

import importlib

__version__ = "0.1.0"
__all__ = ["Classifier", "SelectionFunction", "__version__"]
# By their names: an import statement would put the jobs under everything that imports this package.
_HOMES = {"Classifier": "clusterjax.classifier", "SelectionFunction": "clusterjax.search.selection"}


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
