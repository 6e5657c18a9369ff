"""Converts published weights to a checkpoint: ``python -m clusterjax.models.pretrained MODEL WEIGHTS OUTPUT``.

MODEL is a name of ``python -m clusterjax.models``; WEIGHTS a .safetensors or .pth file, or hf:OWNER/NAME; OUTPUT a new
folder, which ``model.pretrained`` of a config then takes. Bands, classes and head stay as they are in the file.
"""

import argparse
import pathlib
import sys

from clusterjax.errors import InputError
from clusterjax.models.pretrained import convert, read_weights
from clusterjax.training.checkpoint import Checkpoints


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m clusterjax.models.pretrained", description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("weights")
    parser.add_argument("output", type=pathlib.Path)
    args = parser.parse_args(arguments)
    if args.output.exists():
        raise InputError(f"{args.output} is there already; give a new folder")
    converted = convert(read_weights(args.weights), args.model)
    with Checkpoints(args.output) as checkpoints:
        about = {"pretrained": {"model": args.model, "weights": args.weights}}
        checkpoints.save(0, {"params": converted, "model_state": {}}, about=about)
        checkpoints.wait()
    print(f"{len(converted)} arrays of {args.model} in {args.output}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except InputError as error:
        sys.exit(f"error: {error}")
