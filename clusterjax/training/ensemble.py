"""Several networks of one structure as one: their arrays stacked along a first axis, the member's.

On a CPU or a GPU the members score one after another: with kernels of each member's own, all at once is one convolution
in groups, which is slower than each by itself. Elsewhere they are one ``vmap``. How they are trained,
:func:`clusterjax.training.together.sooner_at_once` says.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Float

from clusterjax.arrays import Batch, Images, PyTree
from clusterjax.parallel import replicated, split_along_batch
from clusterjax.training.metrics import EpochMetrics, example_outputs
from clusterjax.training.state import forward

MemberScores = Callable[[PyTree, PyTree, Images], Float[Array, "member ..."]]  # of params, model_state, images


def stack_trees(trees: Sequence[PyTree]) -> PyTree:
    """Trees of equal structure as one, with a first axis more."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def member_of(tree: PyTree, index: int) -> PyTree:
    """The inverse of :func:`stack_trees`, for one of them."""
    return jax.tree.map(lambda leaf: leaf[index], tree)


def one_by_one() -> bool:
    """True where members score one after another: but on TPUs."""
    return jax.default_backend() in ("cpu", "gpu")


def over_members(function: Callable[..., Array], num_members: int | None, *trees: PyTree) -> Float[Array, "member ..."]:
    """``function(*trees)`` of each member of stacked trees; with ``num_members`` None of the trees, as the only one."""
    if num_members is None:
        return function(*trees)[None]
    if one_by_one():
        return jnp.stack([function(*(member_of(tree, i) for tree in trees)) for i in range(num_members)])
    return jax.vmap(function)(*trees)


def make_member_scores(
    predict: Callable[[PyTree, PyTree, Images], Array], num_members: int | None = None
) -> MemberScores:
    """Build ``(params, model_state, images) -> scores (member, ...)`` of what ``predict`` makes of each member."""

    def member_scores(params, model_state, images: Images):
        return over_members(lambda p, s: predict(p, s, images), num_members, params, model_state)

    return member_scores


def make_dropout_scores(
    graphdef: nnx.GraphDef,
    num_samples: int,
    *,
    seed: int,
    num_members: int | None = None,
    transform: Callable[[Images], Images] | None = None,
) -> MemberScores:
    """As :func:`make_member_scores` of softmax scores, of ``num_samples`` passes through each member with other units
    dropped (Monte Carlo dropout: Gal & Ghahramani 2016, arXiv:1506.02142). Samples count as members.

    Which units, depends on ``seed`` and on the place in the batch. Batch normalisation keeps its statistics.
    """
    keys = jax.random.split(jax.random.key(seed), num_samples)

    def member_scores(params, model_state, images: Images):
        images = images if transform is None else transform(images)

        def samples(p, s):  # what comes before the first dropout does not depend on the key, and is computed once
            logits = jax.vmap(lambda key: forward(graphdef, p, s, images, dropout_key=key, batch_statistics=False)[0])
            return jax.nn.softmax(logits(keys))

        scores = over_members(samples, num_members, params, model_state)
        return scores.reshape(-1, *scores.shape[2:])

    return member_scores


def mean_and_spread(scores: Float[np.ndarray | Array, "member *rest"]) -> tuple:
    """Mean and standard deviation (of a sample: over one less) over the members; the spread of one is 0."""
    return scores.mean(0), scores.std(0, ddof=1) if len(scores) > 1 else 0 * scores[0]


def make_ensemble_eval_step(member_scores: MemberScores, mesh: Mesh):
    """Build ``(params, model_state, metrics, batch) -> (metrics, scores (batch, member, class))``.

    The metrics are those of the mean score.
    """
    everywhere = replicated(mesh)

    def eval_step(params, model_state, metrics: EpochMetrics, batch: Batch):
        scores = member_scores(params, model_state, batch["image"])
        log_mean = jnp.log(jnp.maximum(scores.mean(0), 1e-30))
        outputs = example_outputs(log_mean, batch["label"], batch["valid"])
        return metrics.merge(EpochMetrics.single_from_model_output(**outputs)), jnp.moveaxis(scores, 0, 1)

    return jax.jit(
        eval_step,
        in_shardings=(everywhere, everywhere, everywhere, split_along_batch(mesh)),
        out_shardings=(everywhere, everywhere),
    )
