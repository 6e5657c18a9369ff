"""Starting from published weights: read a file without executing it, convert its names, fit it to a network.

    python -m clusterjax.models.pretrained resnet18 resnet18.safetensors OUTPUT     # to an Orbax checkpoint

or, in a config, ``model.pretrained = "resnet18.safetensors"``.
"""

from clusterjax.models.pretrained.convert import convert, flatten_names
from clusterjax.models.pretrained.read import read_weights
from clusterjax.models.pretrained.start import adapt_bands, start_from

__all__ = ["adapt_bands", "convert", "flatten_names", "read_weights", "start_from"]
