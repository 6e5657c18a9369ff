"""A network over a map: by dense evaluation where the network and its normalisation allow it, else window by window."""

import functools
import pathlib
from collections.abc import Callable

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from clusterjax.config import SearchConfig
from clusterjax.errors import InputError
from clusterjax.experiment import Network
from clusterjax.jobs.session import say
from clusterjax.models.sliding import plan_dense
from clusterjax.search.dense import DenseScore, make_score_pieces, scan_map_dense
from clusterjax.search.scan import make_score_windows, scan_map
from clusterjax.search.tiles import scan_tiles
from clusterjax.sky.reader import MapReader
from clusterjax.sky.skymap import ProbabilityMap, SkyMap
from clusterjax.training.ensemble import make_member_scores, mean_and_spread
from clusterjax.training.step import make_dense_predict

PIECE_BYTES = 2**29  # about what a dense evaluation takes of the memory at a time


def search_map(
    network: Network,
    sky: SkyMap | MapReader,
    config: SearchConfig,
    mesh,
    *,
    dropout_samples: int = 0,
    folder: pathlib.Path | None = None,
    part: tuple[int, int] = (0, 1),
) -> ProbabilityMap | None:
    """Scan ``sky`` with the network, its own window size and normalisation, by ``config.method``.

    Of an ensemble, or with ``dropout_samples``, the map has the mean score and its spread. Finished tiles are kept in
    ``folder``; ``part`` is :func:`~clusterjax.search.tiles.scan_tiles`'s.
    """
    search = make_search(network, config, mesh, dropout_samples=dropout_samples)
    return search(sky, folder=folder, part=part, progress=part[0] == 0)


def make_search(
    network: Network, config: SearchConfig, mesh, *, dropout_samples: int = 0
) -> Callable[..., ProbabilityMap]:
    """Build ``(sky, *, folder=None, progress=True) -> scores`` of :func:`search_map`, for many maps of one shape with
    one compile."""
    dense, why = choose_dense(network, config, dropout_samples=dropout_samples)
    say(f"scanning by {'windows' if dense is None else 'dense evaluation'}: {why}")
    size = network.facts.image_size
    windows = {"size": size, "stride": config.stride, "min_valid_fraction": config.min_valid_fraction}
    if dense is not None:
        score_piece = functools.partial(
            scan_map_dense, dense, **windows, mesh=mesh, score_pieces=make_score_pieces(dense, mesh)
        )
    else:
        positive = network.facts.class_index(config.positive_class)
        member_scores = network.member_scores(dropout_samples=dropout_samples, preprocess=False)
        params, model_state = network.state.params, network.state.model_state
        transform = network.facts.preprocess

        def predict(images):
            return _score_and_spread(member_scores(params, model_state, images)[..., positive])

        score_piece = functools.partial(
            scan_map, predict, **windows, batch_size=config.batch_size, transform=transform, mesh=mesh,
            score_windows=make_score_windows(predict, transform, size, mesh),
        )  # fmt: skip
    return functools.partial(scan_tiles, score_piece, **windows)


def _score_and_spread(scores: Float[Array, "member *rest"]) -> Float[Array, "..."]:
    """(*rest) of one member, else (*rest, 2): mean and standard deviation."""
    return scores[0] if len(scores) == 1 else jnp.stack(mean_and_spread(scores), axis=-1)


def choose_dense(network: Network, config: SearchConfig, *, dropout_samples: int = 0) -> tuple[DenseScore | None, str]:
    """(the dense evaluation or None, why), by ``config.method``; InputError where it is asked for and cannot be."""
    if config.method == "windows":
        return None, "config.search.method='windows'"
    try:
        if dropout_samples:
            raise InputError("config.evaluation.dropout_samples drops other units in each window")
        dense, saving = make_dense_score(network, config)
    except InputError as error:
        if config.method == "dense":
            raise InputError(f"config.search.method='dense' is not possible: {error}") from None
        return None, str(error)
    if config.method == "auto" and saving < 1:
        return (
            None,
            f"at stride {config.stride} the shared convolutions take {1 / saving:.1f} times the operations",
        )
    return dense, f"shared between windows, the convolutions take 1/{saving:.3g} of the operations"


def make_dense_score(network: Network, config: SearchConfig) -> tuple[DenseScore, float]:
    """(the network on pieces of a map, how much it saves); InputError, with the reason, where there is no dense way."""
    facts, positive = network.facts, network.facts.class_index(config.positive_class)
    facts.preprocess.check_pixelwise(facts.image_size)
    border, before, window = facts.preprocess.margin(facts.image_size)
    params, model_state = network.state.params, network.state.model_state
    model = nnx.merge(network.graphdef, *network.weights()[0], copy=True)
    plan = plan_dense(model, window=window, stride=config.stride, num_bands=len(facts.bands))
    predict = make_dense_predict(network.graphdef, plan)
    after = facts.image_size - window - before - 2 * border

    def score(pixels):
        pixels = facts.preprocess.normalise(pixels)
        pixels = pixels[:, before : pixels.shape[1] - after, before : pixels.shape[2] - after]
        scores = make_member_scores(predict, network.num_members)(params, model_state, pixels)
        return _score_and_spread(scores[..., positive])

    halo = plan.halo + facts.image_size - window
    has_spread = (network.num_members or 1) > 1
    dense = DenseScore(score, plan.extent_step, halo, plan.largest_extent(PIECE_BYTES), has_spread)
    return dense, plan.saving
