"""The job export: a trained network as one file that needs jax alone, no clusterjax: StableHLO, by ``jax.export``."""

import functools
import hashlib
import pathlib

import jax
import numpy as np
from jax import export as jax_export
from jaxtyping import Float

from clusterjax import __version__
from clusterjax.config import fingerprint
from clusterjax.errors import InputError
from clusterjax.experiment import Network
from clusterjax.jobs.session import Session, say, write_json
from clusterjax.models.cpu_kernels import plain_kernels
from clusterjax.training.ensemble import mean_and_spread
from clusterjax.writing import replacing

PLATFORMS = ("cpu", "cuda", "tpu")
# Between the file's scores and the model's; bfloat16 has 8 bits.
TOLERANCE = {"float32": 1e-5, "bfloat16": 2e-2}
_BATCH_SIZES = (1, 3, 16)  # that it is tried with
_FORMAT = "StableHLO, serialised by jax.export; read it with jax.export.deserialize"


def export(session: Session) -> None:
    """Write ``export/model.stablehlo`` and ``export/README.json`` into the workdir, once the file, read again, gives
    the model's scores.

    Raises InputError where it does not, within :data:`TOLERANCE`.
    """
    network = session.trained_network()
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
        "validation": {"largest_difference": worst, "tolerance": tolerance, "platform": jax.default_backend()},
    }
    write_json(folder / "README.json", about)
    print(f"exported   {path} ({len(content) / 1e6:.1f} MB, for {', '.join(exported.platforms)})", flush=True)


def export_network(network: Network) -> jax_export.Exported:
    """The program ``images (batch, y, x, band) -> scores (batch, class)`` for any batch, on :data:`PLATFORMS`.

    Raw float32 pixels go in, NaN where not measured; the normalisation and the weights are inside. Of an ensemble it
    gives (mean, standard deviation over the members), each (batch, class).
    """
    # As constants of no device: arrays on a mesh would make a program for as many devices.
    weights = jax.device_get((network.state.params, network.state.model_state))
    member_scores = network.member_scores()

    def scores(images):
        each = member_scores(*weights, images)
        return each[0] if network.num_members is None else mean_and_spread(each)

    size, bands = network.facts.image_size, network.facts.preprocess.statistics.bands
    shape = jax_export.symbolic_shape(f"batch, {size}, {size}, {len(bands)}")
    with plain_kernels():  # those for CPUs alone are slow elsewhere
        return jax_export.export(jax.jit(scores), platforms=PLATFORMS)(jax.ShapeDtypeStruct(shape, np.float32))


def validate_export(path: pathlib.Path, network: Network) -> list[tuple[int, float]]:
    """(batch size, largest difference) between the scores of the file and the model's own, as the jobs compute them."""
    restored = jax.jit(jax_export.deserialize(bytearray(path.read_bytes())).call)
    member_scores = functools.partial(jax.jit(network.member_scores()), network.state.params, network.state.model_state)
    rows = []
    for batch_size in _BATCH_SIZES:
        images = trial_images(network, batch_size)
        each = np.asarray(member_scores(images))
        expected = each[0] if network.num_members is None else np.stack(mean_and_spread(each))
        rows.append((batch_size, float(np.abs(np.asarray(restored(images)) - expected).max())))
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
