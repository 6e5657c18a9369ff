"""Which of the networks that clusterjax brings along is for a map."""

import os
import pathlib

from clusterjax import networks
from clusterjax.errors import InputError
from clusterjax.experiment import DatasetFacts
from clusterjax.jobs.session import say
from clusterjax.sky.open_map import open_map
from clusterjax.training.packed import read_about


def choose_network(images: tuple[str, ...]) -> pathlib.Path:
    """The folder of the network with as many bands as the map and either their names or their unit.

    Raises InputError, which says what there is and what the map has, where that is none or more than one.
    """
    if not images:
        raise InputError("there is no map to scan; give one: clusterjax scan MAP.fits")
    sky = open_map(images)
    fitting, known = [], []
    for name in networks.NAMES:
        facts = DatasetFacts.from_dict(read_about(networks.find_network(name))["facts"])
        bands = facts.preprocess.statistics.bands
        known.append(f"{name}: {', '.join(bands)} in {facts.units}")
        if len(bands) == len(sky.bands) and (set(bands) == set(sky.bands) or facts.units == sky.units):
            fitting.append(name)
    if len(fitting) != 1:
        raise InputError(
            f"no network is known for the bands {', '.join(sky.bands)} in {sky.units or 'unknown units'} ("
            f"{'; '.join(known)}); give --network=NAME, or --checkpoint=PATH of your own"
        )
    say(f"the network is {fitting[0]}, by the map's bands ({', '.join(sky.bands)}) and unit ({sky.units or 'unknown'})")
    return networks.find_network(fitting[0])


def map_name(images: tuple[str, ...]) -> str:
    """What a workdir is called after: the first file's name without its endings, or the folder's."""
    name = pathlib.Path(os.path.abspath(images[0].partition("[")[0])).name
    for suffix in (".gz", ".fz", ".fits", ".fit"):
        name = name.removesuffix(suffix)
    return name
