"""``clusterjax networks``: the trained networks that clusterjax brings along; with a name, its model card."""

import sys

from clusterjax import networks
from clusterjax.training.packed import read_about


def main(arguments: list[str]) -> None:
    for name in arguments:
        if name not in networks.NAMES:
            print(f"error: there is no network {name!r}; there are {', '.join(networks.NAMES)}", file=sys.stderr)
            sys.exit(2)
        print((networks.find_network(name) / "model_card.md").read_text())
    if arguments:
        return
    for name in networks.NAMES:
        about = read_about(networks.find_network(name))
        bands = about["facts"]["preprocess"]["statistics"]["bands"]
        print(f"{name:12s}{about['config']['model']['name']}: {', '.join(bands)} in {about['facts']['units']}")


if __name__ == "__main__":
    main(sys.argv[1:])
