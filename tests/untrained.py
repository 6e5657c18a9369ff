"""Networks of random weights that have seen no data: of three classes, two bands and 10 pixels."""

import dataclasses
import functools

import jax
import numpy as np

from clusterjax.config import DataConfig, ExperimentConfig, ModelConfig
from clusterjax.data.preprocess import Preprocess
from clusterjax.data.statistics import fit_band_statistics
from clusterjax.experiment import DatasetFacts, Network, create_network
from clusterjax.parallel import make_mesh
from clusterjax.training.ensemble import stack_trees

BANDS, CLASSES = ("W1", "W2"), ("star", "galaxy", "cluster")


def untrained_networks(number: int) -> list[Network]:
    """Whose scores are all over [0, 1]."""
    network = _network()
    return [dataclasses.replace(network, state=_shuffled(network.state, seed)) for seed in range(number)]


@functools.cache
def _network() -> Network:
    statistics = fit_band_statistics(np.random.default_rng(1).normal(size=(400, 2)) * (3, 8), BANDS)
    preprocess = Preprocess.from_metadata(DataConfig(), {"band_statistics": statistics.to_dict()})
    facts = DatasetFacts(CLASSES, BANDS, 10, preprocess, pixel_scale_arcsec=2.75, units="nMgy (Vega)")
    config = ExperimentConfig(model=ModelConfig("baseline", {"widths": (4,)}))
    return create_network(config, facts, make_mesh())[0]


def _shuffled(state, seed: int):
    rng = np.random.default_rng(seed)

    def draw(leaf):
        return jax.device_put(rng.normal(size=leaf.shape).astype(np.float32), leaf.sharding)

    return state.replace(params=jax.tree.map(draw, state.params))


def ensemble_of(networks: list[Network]) -> Network:
    return dataclasses.replace(
        networks[0], state=stack_trees([network.state for network in networks]), num_members=len(networks)
    )
