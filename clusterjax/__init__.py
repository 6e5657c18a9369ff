"""clusterjax finds galaxy clusters in sky surveys.

Two towers meet in :mod:`clusterjax.jobs`: the sky (``sky``, ``simulation``, ``search``) knows no learning, and learning
(``models``, ``data``, ``training``) knows no sky. Importing this package imports nothing else.
"""

__version__ = "0.1.0"
