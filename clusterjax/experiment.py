"""From a config to the objects that jobs work with: data set, network, compiled steps."""

import dataclasses
import importlib
import json
import pathlib
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from clusterjax import remote
from clusterjax.arrays import PyTree
from clusterjax.config import ExperimentConfig, ModelConfig, from_json, to_json
from clusterjax.data.preprocess import Preprocess
from clusterjax.errors import InputError
from clusterjax.filter_channels import with_matched_filters
from clusterjax.models import create_model
from clusterjax.models.pretrained import convert, flatten_names, read_weights, start_from
from clusterjax.models.registry import model_entry
from clusterjax.networks import find_network
from clusterjax.parallel import put, replicated, to_host
from clusterjax.training.checkpoint import Checkpoints, find_checkpoint
from clusterjax.training.ensemble import MemberScores, make_dropout_scores, make_member_scores, member_of, stack_trees
from clusterjax.training.optim import make_optimizer
from clusterjax.training.packed import is_packed, read_about, read_packed
from clusterjax.training.state import TrainState, create_state
from clusterjax.training.step import make_predict


@dataclasses.dataclass(frozen=True)
class DatasetFacts:
    """What a network must know of the data that it was trained on, to be used without them."""

    class_names: tuple[str, ...]
    bands: tuple[str, ...]  # as the network sees them
    image_size: int  # pixels a side of the cutouts, before any resize
    preprocess: Preprocess
    pixel_scale_arcsec: float | None = None
    units: str = ""
    band_scales_arcsec: tuple[float, ...] = ()  # of the data set's bands, where they differ: no map has them all

    def to_dict(self) -> dict[str, Any]:
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**values, "preprocess": self.preprocess.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "DatasetFacts":
        return cls(
            **{
                **values,
                "class_names": tuple(values["class_names"]),
                "bands": tuple(values["bands"]),
                "band_scales_arcsec": tuple(values.get("band_scales_arcsec", ())),
                "preprocess": Preprocess.from_dict(values["preprocess"]),
            }
        )

    def class_index(self, name: str) -> int:
        if name not in self.class_names:
            raise InputError(
                f"config.search.positive_class={name!r} is no class of this network; it has {list(self.class_names)}"
            )
        return self.class_names.index(name)


def make_builder(config: ExperimentConfig):
    """The TFDS builder of ``config.data``; nothing is built yet."""
    name = config.data.builder
    folder = pathlib.Path(importlib.import_module("tfds_builders").__path__[0])
    known = sorted(path.parent.name for path in folder.glob("*/*_dataset_builder.py"))
    if name not in known:
        raise InputError(f"config.data.builder={name!r} is unknown; use one of {', '.join(known)}")
    module = importlib.import_module(f"tfds_builders.{name}.{name}_dataset_builder")
    # Its channels are those of the published images too, which are not simulated.
    sky = config.xray_optical if name == "xray_optical_cutouts" else config.sky
    data = config.data
    if remote.is_remote(data.data_dir):
        folder = remote.place_here(data.data_dir)
        data = dataclasses.replace(data, data_dir=str(folder))
        # The folder of this data set alone; it may hold others.
        name = pathlib.Path(module.make_builder(data, sky).data_dir).relative_to(folder)
        remote.local_path(f"{config.data.data_dir.rstrip('/')}/{name}")
    builder = module.make_builder(data, sky)
    builder.beam, builder.beam_folder = data.beam, data.beam_folder
    builder.skip_unreadable = data.skip_unreadable  # for whoever opens its records
    return builder


def dataset_facts(config: ExperimentConfig, builder) -> DatasetFacts:
    """Read from the metadata of a data set that is built."""
    metadata = builder.info.metadata
    preprocess = with_matched_filters(Preprocess.from_metadata(config.data, metadata), config, builder)
    return DatasetFacts(
        class_names=tuple(builder.info.features["label"].names),
        bands=preprocess.channels,
        image_size=builder.info.features["image"].shape[0],
        preprocess=preprocess,
        pixel_scale_arcsec=metadata.get("pixel_scale_arcsec"),
        units=metadata.get("units", ""),
        band_scales_arcsec=tuple(metadata.get("band_scales_arcsec", ())),
    )


@dataclasses.dataclass
class Network:
    """A network with its weights, and what it needs to be used; or an ensemble of ``num_members``, its arrays stacked
    along a first axis."""

    graphdef: nnx.GraphDef
    state: TrainState
    facts: DatasetFacts
    config: ExperimentConfig
    step: int = 0
    source: str = ""  # the checkpoint it came from
    num_members: int | None = None  # None: one network, without that axis

    def weights(self) -> list[tuple[PyTree, PyTree]]:
        """(params, model_state) of each member; of one network, that one."""
        both = self.state.params, self.state.model_state
        return [both] if self.num_members is None else [member_of(both, i) for i in range(self.num_members)]

    def member_scores(self, *, dropout_samples: int = 0, preprocess: bool = True) -> MemberScores:
        """``(params, model_state, images) -> scores (member, batch, class)``, of raw or of normalised images.

        One member where there is no ensemble; ``dropout_samples`` of each, if any are asked for.
        """
        transform = self.facts.preprocess if preprocess else None
        if dropout_samples:
            return make_dropout_scores(
                self.graphdef,
                dropout_samples,
                seed=self.config.seed,
                num_members=self.num_members,
                transform=transform,
            )
        return make_member_scores(make_predict(self.graphdef, transform), self.num_members)

    def on(self, mesh: Mesh) -> "Network":
        """The same, whole on every device of ``mesh``. All hosts must ask at once."""
        return dataclasses.replace(self, state=put(to_host(self.state), replicated(mesh)))

    def about(self) -> dict[str, Any]:
        """What goes into a checkpoint so that it can be used alone."""
        return {"config": json.loads(to_json(self.config)), "facts": self.facts.to_dict()}


def create_network(
    config: ExperimentConfig, facts: DatasetFacts, mesh: Mesh, *, use_pretrained: bool = True, shard: bool = True
) -> tuple[Network, Any]:
    """(network, its optimizer); its weights are fresh, or begin with ``config.model.pretrained``.

    Whole on every device, unless ``config.training.shard_parameters`` splits them and ``shard`` does not say otherwise.
    """
    tx = make_optimizer(config.optim)

    def build(rngs: nnx.Rngs) -> nnx.Module:
        return create_model(
            config.model.name,
            num_bands=len(facts.bands),
            num_classes=len(facts.class_names),
            dtype=config.model.dtype,
            rngs=rngs,
            head=config.model.head,
            **config.model.kwargs,
        )

    shard_above = config.training.shard_above if shard and config.training.shard_parameters else None
    graphdef, state = create_state(build, tx, mesh, seed=config.seed, shard_above=shard_above)
    if use_pretrained and config.model.pretrained:
        state = start_from_pretrained(state, config.model)
    return Network(graphdef, state, facts, config), tx


def start_from_pretrained(state: TrainState, config: ModelConfig) -> TrainState:
    """``state`` with the weights of ``config.pretrained``: a PyTorch file, a hub's name, or a checkpoint of ours."""
    if pathlib.Path(config.pretrained).is_dir():
        folder, step = find_checkpoint(config.pretrained)
        with Checkpoints(folder) as checkpoints:
            weights = flatten_names(checkpoints.restore_as_saved(step, ("params", "model_state")), depth=1)
    else:
        kwargs = {name: value for name, value in config.kwargs.items() if name != "head_kwargs"}
        weights = convert(read_weights(config.pretrained), config.name, **kwargs)
    trees = {"params": state.params, "model_state": state.model_state}
    shapes = {name: leaf.shape for tree in trees.values() for name, leaf in flatten_names(tree).items()}
    fitted = start_from(
        weights, shapes, model_entry(config.name), bands=config.pretrained_bands, keep_head=config.pretrained_head
    )

    def fill(path, leaf):
        value = fitted.get(".".join(str(key.key) for key in path))
        return leaf if value is None else put(np.asarray(value, leaf.dtype), leaf.sharding)

    return state.replace(**{name: jax.tree_util.tree_map_with_path(fill, tree) for name, tree in trees.items()})


MEMBERS = "members"  # the folder of a workdir that holds those of an ensemble, 0, 1, ...: workdirs of their own


def load_network(path, mesh: Mesh, *, expected: ExperimentConfig | None = None) -> Network:
    """The network of a checkpoint, from the checkpoint alone: config and normalisation are in it.

    The workdir of an ensemble gives all members that have a checkpoint; a folder that the job ``pack`` wrote, or the
    name of a network that clusterjax brings along, that one. Raises InputError where it cannot be read, or is of
    another model than ``expected``.
    """
    path = find_network(path)
    if is_packed(path):
        return _load_packed(path, mesh, expected)
    if (path / MEMBERS).is_dir():
        return _load_ensemble(path, mesh, expected)
    folder, step = find_checkpoint(path)
    with Checkpoints(folder) as checkpoints:
        about = checkpoints.about(step)
        if not about or "config" not in about or "facts" not in about:
            raise InputError(f"checkpoint {folder / str(step)} was not written by clusterjax: it has no config")
        config, facts = from_json(json.dumps(about["config"])), DatasetFacts.from_dict(about["facts"])
        _check_model(config, expected, folder / str(step))
        network, _ = create_network(config, facts, mesh, use_pretrained=False, shard=False)
        weights: PyTree = {"params": network.state.params, "model_state": network.state.model_state}
        weights = checkpoints.restore(step, weights).state
    network.state = network.state.replace(**weights)
    return dataclasses.replace(network, step=step, source=str(folder / str(step)))


def _load_packed(folder: pathlib.Path, mesh: Mesh, expected: ExperimentConfig | None) -> Network:
    about = read_about(folder)
    config, facts = from_json(json.dumps(about["config"])), DatasetFacts.from_dict(about["facts"])
    _check_model(config, expected, folder)
    network, _ = create_network(config, facts, mesh, use_pretrained=False, shard=False)
    num_members = about.get("num_members")
    target: PyTree = {"params": network.state.params, "model_state": network.state.model_state}
    weights = read_packed(folder, target, num_members=num_members, sha256=about["sha256"])
    state = network.state.replace(**weights)
    return dataclasses.replace(network, state=state, step=about["step"], source=str(folder), num_members=num_members)


def _check_model(config: ExperimentConfig, expected: ExperimentConfig | None, where: pathlib.Path) -> None:
    # Through JSON, where a tuple is a list.
    if expected is not None and from_json(to_json(expected)).model != config.model:
        raise InputError(
            f"checkpoint {where} is of model {_describe(config)}, the config asks for {_describe(expected)}; give the "
            "checkpoint's own config, or none"
        )


def _load_ensemble(workdir: pathlib.Path, mesh: Mesh, expected: ExperimentConfig | None) -> Network:
    folders = sorted((workdir / MEMBERS).glob("*/checkpoints"), key=lambda folder: int(folder.parent.name))
    if not folders:
        raise InputError(f"no checkpoint in {workdir / MEMBERS}; run --job=train first")
    members = [load_network(folder, mesh, expected=expected) for folder in folders]
    first = members[0]
    for folder, member in zip(folders, members, strict=True):
        if (member.config.model, member.facts.to_dict()) != (first.config.model, first.facts.to_dict()):
            raise InputError(f"{folder.parent} is of another model or data set than {folders[0].parent}; remove one")
    steps = "_".join(str(member.step) for member in members)
    config = dataclasses.replace(
        first.config, training=dataclasses.replace(first.config.training, num_members=len(members))
    )
    state = stack_trees([member.state for member in members])
    source = str(workdir / MEMBERS / f"steps_{steps}")
    return Network(first.graphdef, state, first.facts, config, first.step, source, num_members=len(members))


def _describe(config: ExperimentConfig) -> str:
    options = "".join(f" {name}={value!r}" for name, value in sorted(config.model.kwargs.items()))
    return config.model.name + (f" head={config.model.head!r}" if config.model.head else "") + options
