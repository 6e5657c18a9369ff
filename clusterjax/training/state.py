"""Everything that changes during training, as one pytree of arrays. The only place that splits and merges modules.

nnx modules are used functionally: ``nnx.jit`` and ``nnx.Optimizer`` walk the object graph in Python at every call.
"""

import math
from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from clusterjax.arrays import Images, Key, PyTree
from clusterjax.parallel import DATA_AXIS, replicated


@flax.struct.dataclass
class TrainState:
    """``params`` and ``model_state`` (batch-norm statistics) are nested dicts of arrays, ``step`` counts updates."""

    step: PyTree  # a scalar; all fields may also hold shapes, as Orbax and eval_shape put there
    params: PyTree
    model_state: PyTree
    opt_state: optax.OptState


def split_model(model: nnx.Module) -> tuple[nnx.GraphDef, PyTree, PyTree]:
    """(graphdef, params, model_state): the structure apart from the arrays."""
    graphdef, params, model_state = nnx.split(model, nnx.Param, ...)
    return graphdef, nnx.to_pure_dict(params), nnx.to_pure_dict(model_state)


def forward(
    graphdef: nnx.GraphDef,
    params: PyTree,
    model_state: PyTree,
    images: Images,
    *,
    dropout_key: Key | None = None,
    batch_statistics: bool = True,
) -> tuple[Float[Array, "window class"], PyTree]:
    """Logits in float32 and the new model state. With a ``dropout_key`` the model trains, without one it evaluates.

    With ``batch_statistics`` False it trains but for batch normalisation, which keeps to the statistics that it has.

    A window is an image; in a dense evaluation (:mod:`clusterjax.models.sliding`), one of many in an image.
    """
    model = nnx.merge(graphdef, params, model_state, copy=True)
    if dropout_key is None:
        model.eval()
        logits = model(images)
    else:
        model.train()
        if not batch_statistics:
            model.set_attributes(nnx.BatchNorm, use_running_average=True, raise_if_not_found=False)
        logits = model(images, rngs=nnx.Rngs(dropout=dropout_key))
    return logits.astype(jnp.float32), nnx.to_pure_dict(nnx.state(model, nnx.Not(nnx.Param)))


def state_shardings(state: TrainState, mesh: Mesh, *, shard_above: int | None = None) -> TrainState:
    """Where each array of a state (or of its shapes) lies: on every device, or, of more than ``shard_above`` elements,
    split over all devices along its longest axis that they can share evenly. None splits nothing.

    Parameters and what the optimizer keeps of them have the same shapes, and so are split alike.
    """

    def place(leaf):
        axes = [axis for axis, length in enumerate(leaf.shape) if length % mesh.size == 0]
        if shard_above is None or math.prod(leaf.shape) <= shard_above or not axes:
            return replicated(mesh)
        longest = max(axes, key=lambda axis: leaf.shape[axis])
        return NamedSharding(mesh, PartitionSpec(*[None] * longest, DATA_AXIS))

    everywhere = jax.tree.map(lambda _: replicated(mesh), (state.step, state.model_state))
    params, opt_state = jax.tree.map(place, (state.params, state.opt_state))
    return TrainState(everywhere[0], params, everywhere[1], opt_state)


def shardings_of(state: TrainState) -> TrainState:
    return jax.tree.map(lambda leaf: leaf.sharding, state)


def create_state(
    build: Callable[[nnx.Rngs], nnx.Module],
    tx: optax.GradientTransformation,
    mesh: Mesh,
    *,
    seed: int,
    shard_above: int | None = None,
) -> tuple[nnx.GraphDef, TrainState]:
    """Fresh parameters from ``seed``, created on the devices by one program: replicated over the mesh, but for what
    :func:`state_shardings` splits."""
    graphdef, initialise, shapes = _initialisation(build, tx, mesh, seed=seed, shard_above=shard_above)
    return graphdef, jax.jit(initialise, out_shardings=shardings_of(shapes))()


def state_shapes(build, tx, mesh: Mesh, *, shard_above: int | None = None) -> tuple[nnx.GraphDef, TrainState]:
    """As :func:`create_state`, but shapes and where they would lie, without any memory."""
    graphdef, _, shapes = _initialisation(build, tx, mesh, seed=0, shard_above=shard_above)
    return graphdef, shapes


def _initialisation(build, tx, mesh: Mesh, *, seed: int, shard_above: int | None):
    """(graphdef, what makes the state, its shapes and shardings)."""
    graphdef, _, _ = split_model(nnx.eval_shape(lambda: build(nnx.Rngs(0))))

    def initialise():
        # The key is made within: on several hosts none could put it on the devices of all.
        _, params, model_state = split_model(build(nnx.Rngs(params=jax.random.key(seed))))
        return TrainState(jnp.zeros((), jnp.int32), params, model_state, tx.init(params))

    shapes = jax.eval_shape(initialise)
    shardings = state_shardings(shapes, mesh, shard_above=shard_above)
    shapes = jax.tree.map(
        lambda leaf, where: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where), shapes, shardings
    )
    return graphdef, initialise, shapes
