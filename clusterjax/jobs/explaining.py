"""The job explain: what the network looks at in cutouts that it gets right, gets wrong, and is unsure of.

:mod:`clusterjax.jobs.explained` reads for the report what it leaves.
"""

import dataclasses
import functools
import pathlib

import jax
import numpy as np
from astropy.table import Table

from clusterjax.config import ExplainConfig
from clusterjax.data.preprocess import Preprocess
from clusterjax.data.resize import resize_matrix
from clusterjax.data.sources import open_source
from clusterjax.errors import InputError
from clusterjax.experiment import Network
from clusterjax.jobs.examples import read_images, read_predictions
from clusterjax.jobs.learning import build
from clusterjax.jobs.session import Session, is_done, read_json, say, write_json
from clusterjax.report.contents import Predictions
from clusterjax.report.galleries import choose_examples
from clusterjax.sky.catalogues import write_table
from clusterjax.training.explain import (
    Attributions,
    in_batches,
    make_activation_maps,
    make_grad_cam,
    make_integrated_gradients,
)
from clusterjax.training.layers_within import MapLayer, choose_grad_cam_layer, choose_layers, list_map_layers
from clusterjax.writing import replacing

_NUM_WITH_ACTIVATIONS = 3  # groups whose first cutout has its activation maps shown


def explain(session: Session) -> None:
    """Of the cutouts in the report's galleries: explanations.fits and .ecsv, maps.npz, summary.json in explain/.

    Of an ensemble, the mean over its members; activation maps are those of the first.
    """
    network, config = session.trained_network(), session.config.explain
    folder = session.folder("explain")
    evaluated = _evaluation_of(network.source, session.workdir)
    made_from = {"evaluation": evaluated["made_from"], "config": dataclasses.asdict(config)}
    if is_done(folder / "summary.json", made_from):
        say(f"explanations of {network.source} are done: {folder}")
        return
    builder = build(session)
    predictions = read_predictions(session.workdir, session.config, evaluated, builder)
    chosen = choose_examples(predictions, num=config.num_cutouts)
    rows, groups = np.concatenate(list(chosen.values())), np.repeat(list(chosen), [len(r) for r in chosen.values()])
    index = np.asarray(predictions.table["index"])[rows]
    images = read_images(open_source(builder, "test"), index)
    say(f"explaining {len(rows)} cutouts to {network.source}")
    explained = _explain(network, config, images, _targets(predictions, rows), groups)
    write_table(folder / "explanations", Table({"index": index, "group": groups, **explained.columns}))
    _write_arrays(folder / "maps.npz", {**explained.arrays, "activation_images": images[explained.with_activations]})
    write_json(folder / "summary.json", {"made_from": made_from, **explained.summary})
    worst = float(np.max(np.abs(explained.columns["completeness_error"])))
    say(f"attributions add up to the log-odds within {worst:.2g}; maps and table: {folder}")


def _evaluation_of(checkpoint: str, workdir: pathlib.Path) -> dict:
    metrics = workdir / "evaluation" / "metrics.json"
    evaluated = read_json(metrics) or {}
    if evaluated.get("made_from", {}).get("checkpoint") != checkpoint:
        raise InputError(f"there is no evaluation of {checkpoint} in {workdir}; run --job=evaluate first")
    return evaluated


def _targets(predictions: Predictions, rows: np.ndarray) -> np.ndarray:
    """The class that is explained: of two the positive one, else what was called."""
    if predictions.is_binary:
        return np.ones(len(rows), np.int32)
    return predictions.probabilities[rows].argmax(axis=1).astype(np.int32)


@dataclasses.dataclass(frozen=True)
class _Explained:
    columns: dict[str, np.ndarray]
    arrays: dict[str, np.ndarray]
    summary: dict
    with_activations: np.ndarray  # which cutouts


def _explain(network: Network, config: ExplainConfig, images, targets, groups) -> _Explained:
    facts, weights = network.facts, network.weights()[0]
    inputs = np.asarray(facts.preprocess(images.astype(np.float32)))
    layers = list_map_layers(network.graphdef, *weights, input_shape=inputs.shape[1:])
    cam_layer = choose_grad_cam_layer(layers, config.grad_cam_layer)
    shown_layers = choose_layers(layers, config.layers)
    _check_filters(config, shown_layers)
    batches = functools.partial(in_batches, batch_size=config.batch_size)

    grad_cam = mean_grad_cam(network, cam_layer, config, inputs, targets)
    attributed = mean_attributions(network, config, inputs, targets, images.shape[1:])

    first = np.array([np.argmax(groups == group) for group in list(dict.fromkeys(groups))[:_NUM_WITH_ACTIVATIONS]])
    maps = batches(functools.partial(make_activation_maps(network.graphdef, shown_layers), *weights), inputs[first])
    filters = {name: _chosen_filters(config, values) for name, values in maps.items()}
    to_cutout = functools.partial(on_cutout_pixels, preprocess=facts.preprocess, shape=images.shape[1:3])
    by_band = attributed.attributions.sum(axis=(1, 2))
    return _Explained(
        columns={
            "target": np.array(facts.class_names)[targets],
            "log_odds": attributed.log_odds,
            "baseline_log_odds": attributed.baseline_log_odds,
            **{f"attribution_{band}": by_band[:, i] for i, band in enumerate(facts.bands)},
            "completeness_error": attributed.errors,
        },
        arrays={
            "grad_cam": to_cutout(grad_cam),
            "attribution": to_cutout(attributed.attributions.sum(axis=3), is_density=True),
            "attributions_on_input": attributed.attributions,
            **{f"activation_{name}": maps[name][..., filters[name]] for name in maps},
        },
        summary={
            "grad_cam_layer": cam_layer.name,
            "layers": {layer.name: {"shape": layer.shape, "filters": filters[layer.name]} for layer in shown_layers},
        },
        with_activations=first,
    )


def mean_grad_cam(network: Network, layer: MapLayer, config: ExplainConfig, inputs, targets) -> np.ndarray:
    """(n, y, x) on the layer's pixels, of the network's ``inputs``; the mean over the members of an ensemble."""
    cam = make_grad_cam(network.graphdef, layer)
    return _mean(
        [
            in_batches(functools.partial(cam, *each), inputs, targets, batch_size=config.batch_size)
            for each in network.weights()
        ]
    )


def mean_attributions(
    network: Network, config: ExplainConfig, inputs, targets, cutout_shape: tuple[int, int, int]
) -> Attributions:
    """Integrated gradients from ``config.baseline``, of cutouts of that (y, x, band) before the normalisation."""
    baseline = _baseline(config, network.facts.preprocess, cutout_shape)
    integrate = make_integrated_gradients(network.graphdef, num_steps=config.num_steps)
    return _mean(
        [
            in_batches(
                lambda x, target, each=each: integrate(*each, x, baseline, target),
                inputs,
                targets,
                batch_size=config.batch_size,
            )
            for each in network.weights()
        ]
    )


def _mean(trees: list):
    """Over the members of an ensemble: attributions, and the log-odds that they add up to."""
    return jax.tree.map(lambda *leaves: np.mean(leaves, axis=0), *trees)


def _check_filters(config: ExplainConfig, layers: list[MapLayer]) -> None:
    for layer in layers:
        if config.filters and max(config.filters) >= layer.shape[2]:
            raise InputError(
                f"config.explain.filters has {max(config.filters)}; layer {layer.name} has filters 0 to "
                f"{layer.shape[2] - 1}"
            )


def _chosen_filters(config: ExplainConfig, maps: np.ndarray) -> list[int]:
    """Those of the config, else the ones that vary most over these cutouts and pixels."""
    if config.filters:
        return list(config.filters)
    return np.argsort(-maps.std(axis=(0, 1, 2)), kind="stable")[: config.num_filters].tolist()


def _baseline(config: ExplainConfig, preprocess: Preprocess, shape: tuple[int, int, int]) -> np.ndarray:
    empty = np.asarray(preprocess(np.zeros((1, *shape), np.float32)))[0]
    return empty if config.baseline == "empty" else np.zeros_like(empty)


def on_cutout_pixels(
    maps: np.ndarray, preprocess: Preprocess, shape: tuple[int, int], *, is_density: bool = False
) -> np.ndarray:
    """Maps (n, y, x) over the network's input, of any resolution, on cutouts of ``shape`` pixels, by linear
    interpolation; NaN outside what the network sees. ``is_density`` keeps the sum, not the values."""
    placed = np.asarray(maps, np.float32)
    for axis, length in ((1, shape[0]), (2, shape[1])):
        border, cut, seen = preprocess.margin(length)
        old = placed.shape[axis]
        matrix = resize_matrix(old, seen) * (old / seen if is_density else 1.0)
        placed = np.moveaxis(np.tensordot(placed, matrix, axes=([axis], [1])), -1, axis)
        around = [(0, 0)] * 3
        around[axis] = (border + cut, length - seen - border - cut)
        placed = np.pad(placed, around, constant_values=np.nan)
    return placed


def _write_arrays(path: pathlib.Path, arrays: dict[str, np.ndarray]) -> None:
    with replacing(path) as partial, partial.open("wb") as stream:  # to a name it would add .npz
        np.savez_compressed(stream, **arrays)
