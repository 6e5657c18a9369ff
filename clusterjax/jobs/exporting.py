"""The job export: a trained network as one file for use without clusterjax: StableHLO, which needs jax alone, and ONNX,
which needs no Python, where it converts."""

import functools
import hashlib
import pathlib
from collections.abc import Callable

import jax
import numpy as np
from jax import export as jax_export
from jaxtyping import Float

from clusterjax import __version__
from clusterjax.config import fingerprint
from clusterjax.data.background import medians_by_sort
from clusterjax.errors import InputError
from clusterjax.experiment import Network
from clusterjax.jobs.session import Session, say, write_json
from clusterjax.models.kernels import plain_kernels
from clusterjax.training.ensemble import mean_and_spread
from clusterjax.writing import replacing, write_bytes

PLATFORMS = ("cpu", "cuda", "tpu")
# Between the file's scores and the model's; bfloat16 has 8 bits.
TOLERANCE = {"float32": 1e-5, "bfloat16": 2e-2}
_BATCH_SIZES = (1, 3, 16)  # that it is tried with
_FORMAT = "StableHLO, serialised by jax.export; read it with jax.export.deserialize"


def export(session: Session) -> None:
    """Write ``export/model.stablehlo``, ``export/model.onnx`` and ``export/README.json`` into the workdir, once each
    file, read again, gives the model's scores.

    Raises InputError where the first does not, within :data:`TOLERANCE`. Why there is no ONNX, if so, is said.
    """
    network = session.trained_network()
    if samples := session.config.evaluation.dropout_samples:
        raise InputError(
            f"config.evaluation.dropout_samples={samples}: a file draws nothing at random; export with 0, which drops "
            "no unit, or train an ensemble (config.training.num_members), whose spread the file gives"
        )
    folder = session.folder("export")
    say(f"exporting {network.source}")
    exported = export_network(network)
    content = exported.serialize()
    path = folder / "model.stablehlo"
    tolerance = TOLERANCE[network.config.model.dtype]
    with replacing(path) as partial:
        partial.write_bytes(content)
        rows = validate_export(partial, network)
        for batch_size, difference in rows:
            print(f"batch of {batch_size:3d}: scores within {difference:.1e} of the model's (limit {tolerance:.0e})")
        worst = max(difference for _, difference in rows)
        if not worst <= tolerance:
            raise InputError(
                f"the exported program's scores are {worst:.1e} from those of {network.source}, more than "
                f"{tolerance:.0e}; nothing is written (was the same jax used throughout?)"
            )
    about = describe_export(network, exported) | {
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "validation": validation_report(rows, tolerance),
        "onnx": export_onnx(network, folder),
    }
    write_json(folder / "README.json", about)
    print(f"exported   {path} ({len(content) / 1e6:.1f} MB, for {', '.join(exported.platforms)})", flush=True)


def export_onnx(network: Network, folder: pathlib.Path) -> dict:
    """Write ``model.onnx``; returns what README.json says of it, or why there is none.

    Raises InputError where ONNX Runtime gives other scores.
    """
    path = folder / "model.onnx"
    path.unlink(missing_ok=True)
    try:
        import onnxruntime  # and onnx, which it needs for nothing: the extra has both

        from clusterjax.jobs.onnx_graph import NotConvertible, convert_function
    except ImportError as error:
        return _no_onnx(f"{error.name} is not installed; the extra onnx has it")
    size, bands = network.facts.image_size, network.facts.preprocess.statistics.bands
    names = ["score"] if network.num_members is None else ["score", "spread"]
    about = f"{network.config.model.name}, clusterjax {__version__}; scores of {', '.join(network.facts.class_names)}"
    try:
        with plain_kernels(), medians_by_sort():
            model = convert_function(scores_function(network), (size, size, len(bands)), names, about=about)
    except NotConvertible as error:
        return _no_onnx(f"ONNX has no counterpart for {error}")
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def exported(images):
        scores = session.run(names, {"images": images})
        return scores[0] if len(names) == 1 else np.stack(scores)

    rows = compare_scores(network, exported)
    worst, tolerance = max(difference for _, difference in rows), TOLERANCE["float32"]
    if not worst <= tolerance:
        raise InputError(f"the ONNX model's scores are {worst:.1e} from the network's, more than {tolerance:.0e}")
    write_bytes(path, content)
    print(f"exported   {path} ({len(content) / 1e6:.1f} MB, scores within {worst:.1e} of the model's)", flush=True)
    return {
        "opset": model.opset_import[0].version,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "validation": {**validation_report(rows, tolerance), "runtime": f"onnxruntime {onnxruntime.__version__}"},
    }


def _no_onnx(reason: str) -> dict:
    say(f"no model.onnx: {reason}")
    return {"left_out": reason}


def validation_report(rows: list[tuple[int, float]], tolerance: float) -> dict:
    return {
        "largest_difference": max(difference for _, difference in rows),
        "tolerance": tolerance,
        "by_batch_size": {str(batch_size): difference for batch_size, difference in rows},
        "platform": jax.default_backend(),
    }


def export_network(network: Network) -> jax_export.Exported:
    """The program ``images (batch, y, x, band) -> scores (batch, class)`` for any batch, on :data:`PLATFORMS`.

    Raw float32 pixels go in, NaN where not measured; the normalisation and the weights are inside. Of an ensemble it
    gives (mean, standard deviation over the members), each (batch, class).
    """
    size, bands = network.facts.image_size, network.facts.preprocess.statistics.bands
    shape = jax_export.symbolic_shape(f"batch, {size}, {size}, {len(bands)}")
    with plain_kernels():  # those for CPUs alone are slow elsewhere
        exporter = jax_export.export(jax.jit(scores_function(network)), platforms=PLATFORMS)
        return exporter(jax.ShapeDtypeStruct(shape, np.float32))


def scores_function(network: Network) -> Callable:
    """``images -> scores``, of an ensemble (mean, spread), with the weights as constants."""
    # Of no device: arrays on a mesh would make a program for as many devices.
    weights = jax.device_get((network.state.params, network.state.model_state))
    member_scores = network.member_scores()

    def scores(images):
        each = member_scores(*weights, images)
        return each[0] if network.num_members is None else mean_and_spread(each)

    return scores


def validate_export(path: pathlib.Path, network: Network) -> list[tuple[int, float]]:
    """(batch size, largest difference) between the scores of the file and the model's own, as the jobs compute them."""
    return compare_scores(network, jax.jit(jax_export.deserialize(bytearray(path.read_bytes())).call))


def compare_scores(network: Network, exported: Callable) -> list[tuple[int, float]]:
    """(batch size, largest difference) between what ``exported`` makes of trial images and the model's scores."""
    member_scores = functools.partial(jax.jit(network.member_scores()), network.state.params, network.state.model_state)
    rows = []
    for batch_size in _BATCH_SIZES:
        images = trial_images(network, batch_size)
        each = np.asarray(member_scores(images))
        expected = each[0] if network.num_members is None else np.stack(mean_and_spread(each))
        rows.append((batch_size, float(np.abs(np.asarray(exported(images)) - expected).max())))
    return rows


def trial_images(network: Network, number: int, *, seed: int = 0) -> Float[np.ndarray, "image y x band"]:
    """Noise with a source, from a hundredth of the data set's scale to a hundred times it, and a hole: all that the
    normalisation and the network meet, without the data set."""
    rng = np.random.default_rng(seed)
    statistics, size = network.facts.preprocess.statistics, network.facts.image_size
    location, scale = (np.asarray(values, np.float32) for values in (statistics.location, statistics.scale))
    level = 10 ** rng.uniform(-2, 2, (number, 1, 1, 1))
    noise = rng.normal(size=(number, size, size, len(scale)))
    offset = np.arange(size) - rng.uniform(0.3, 0.7) * size
    source = np.exp(-(offset[:, None] ** 2 + offset**2) / (0.1 * size) ** 2)
    source = 10 * source[:, :, None] * rng.uniform(size=(number, 1, 1, len(scale)))
    images = location + scale * level * (noise + source)
    images[-1, : size // 8, : size // 4] = np.nan
    return images.astype(np.float32)


def describe_export(network: Network, exported: jax_export.Exported) -> dict:
    """What README.json says: enough to use the file without clusterjax."""
    facts = network.facts
    scores = {"shape": ["batch", len(facts.class_names)], "dtype": "float32", "classes": list(facts.class_names)}
    outputs = [{"name": "score", "meaning": "softmax score in [0, 1], uncalibrated", **scores}]
    if network.num_members is not None:
        outputs[0]["meaning"] += f"; mean of {network.num_members} networks"
        outputs.append({"name": "spread", "meaning": "standard deviation of the score over the networks", **scores})
    return {
        "format": _FORMAT,
        "how": "jax.export.deserialize(bytearray(open('model.stablehlo', 'rb').read())).call(images)",
        "inputs": [
            {
                "name": "images",
                "meaning": "raw pixels, NaN where not measured; the normalisation is inside",
                "shape": ["batch", facts.image_size, facts.image_size, len(facts.preprocess.statistics.bands)],
                "axes": ["image", "y", "x", "band"],
                "dtype": "float32",
                "bands": list(facts.preprocess.statistics.bands),
                "units": facts.units,
                "pixel_scale_arcsec": facts.pixel_scale_arcsec,
            }
        ],
        "outputs": outputs,
        "platforms": list(exported.platforms),
        "calling_convention_version": exported.calling_convention_version,
        "model": network.config.model.name,
        "checkpoint": network.source,
        "config_sha256": fingerprint(network.config),
        "software": {"clusterjax": __version__, "jax": jax.__version__},
    }
