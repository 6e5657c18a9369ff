"""clusterjax finds galaxy clusters in sky surveys.

Two towers meet in :mod:`clusterjax.jobs`: the sky (``sky``, ``simulation``, ``search``) knows no learning, and learning
(``models``, ``data``, ``training``) knows no sky. Importing this package imports nothing else;
:class:`clusterjax.Classifier`, a trained network for use in Python, is imported when it is asked for.
"""

import importlib

__version__ = "0.1.0"
__all__ = ["Classifier", "__version__"]


def __getattr__(name: str):
    if name != "Classifier":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # By its name: an import statement would put the jobs under everything that imports this package.
    return importlib.import_module("clusterjax.classifier").Classifier


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
