"""Sweeps that several configs share: every network on one sky, and one change at a time."""

import copy
from collections.abc import Callable, Mapping, Sequence

from clusterjax.config import ExperimentConfig, ModelConfig, SweepConfig
from clusterjax.errors import InputError
from clusterjax.recipes import any_network, shrink_to_smoke

# Those of Fomicheva (2025), in the order of their table.
REFERENCE_NETWORKS = (
    "vit_l16", "spinalnet_vgg", "spinalnet_resnet", "resnet18", "spinalnet_efficientnet", "spinalnet_densenet",
    "cnn_mlp", "alexnet_vgg", "baseline",
)  # fmt: skip
# Those that two CPU cores train within an hour each, beginning with the quickest.
SMALL_NETWORKS = ("baseline", "cnn_mlp", "alexnet_vgg", "kosiba_cn", "mobilenet_v1", "vit_tiny", "resnet18")
OTHER_NETWORKS = (
    "densenet121", "efficientnet_b0", "inception_v3", "kosiba_cn", "mobilenet_v1", "resnet50", "vgg19_bn", "vit_b16",
    "vit_tiny", "wide_resnet101_2",
)  # fmt: skip

# For a smoke run: four steps of the whole networks are minutes of compilation and gigabytes of checkpoints.
_FEWER_LAYERS = {
    "vit_l16": {"depth": 2},
    "spinalnet_vgg": {"stages": ((1, 64), (1, 128), (1, 256), (1, 512), (1, 512))},
    "spinalnet_resnet": {"num_blocks": (1, 1, 1, 1)},
    "spinalnet_efficientnet": {"depth": 0.3},
    "spinalnet_densenet": {"num_layers": (2, 2, 2, 2)},
}


def all_networks(
    variant: str, wavelength: str, from_scratch: Callable[[str, ModelConfig], ExperimentConfig]
) -> SweepConfig:
    """The zoo on one sky: all networks; of the variant reference the nine of Fomicheva (2025), of small those for a
    CPU, of smoke the nine in a few steps each, the deepest with fewer layers."""
    choices = {
        "": (*REFERENCE_NETWORKS, *OTHER_NETWORKS),
        "reference": REFERENCE_NETWORKS,
        "small": SMALL_NETWORKS,
        "smoke": REFERENCE_NETWORKS,
    }
    names = _choose(f"all_{wavelength}", variant, choices)
    sweep = SweepConfig(
        f"all_{wavelength}{variant and '_' + variant}",
        {name: any_network(name, wavelength, from_scratch) for name in names},
    )
    if variant == "smoke":
        for name, experiment in sweep.experiments.items():
            shrink_to_steps(experiment)
            experiment.model.kwargs |= _FEWER_LAYERS.get(name, {})
    return sweep


def one_change_each(
    name: str,
    variant: str,
    base: ExperimentConfig,
    changes: Mapping[str, Callable[[ExperimentConfig], None]],
    *,
    base_name: str = "as_it_is",
) -> SweepConfig:
    """``base`` and, beside it, ``base`` with each change; the variant smoke takes a few steps each."""
    _choose(name, variant, {"": (), "smoke": ()})
    experiments = {base_name: copy.deepcopy(base)}
    for key, change in changes.items():
        experiments[key] = copy.deepcopy(base)
        change(experiments[key])
    for key, experiment in experiments.items():
        experiment.name = f"{name}_{key}"
        if variant == "smoke":
            shrink_to_steps(experiment)
    return SweepConfig(f"{name}{variant and '_' + variant}", experiments)


def shrink_to_steps(config: ExperimentConfig) -> None:
    """A few steps at a given rate: whether it runs, and nothing else."""
    shrink_to_smoke(config)
    config.data.num_train, config.data.num_validation, config.data.num_test = 64, 64, 64
    config.training.num_epochs, config.training.global_batch_size, config.training.log_every_steps = 1, 16, 1
    config.optim.learning_rate = 1e-4


def _choose(name: str, variant: str, choices: Mapping[str, Sequence[str]]) -> Sequence[str]:
    if variant not in choices:
        known = ", ".join(choice for choice in choices if choice)
        raise InputError(f"sweep {name} has no variant {variant!r}; use {known} or none")
    return choices[variant]
