"""The compiled steps: train, eval, predict. One ``jax.jit`` each, over a mesh."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from clusterjax.arrays import Batch, Images, Key
from clusterjax.models.lattice import DensePlan
from clusterjax.models.sliding import evaluate_dense
from clusterjax.parallel import DATA_AXIS, replicated, split_along_batch
from clusterjax.training.metrics import EpochMetrics, example_outputs
from clusterjax.training.state import TrainState, forward

Update = Callable[[Key, TrainState, Batch], tuple[TrainState, dict[str, jax.Array]]]


def make_update(
    graphdef: nnx.GraphDef,
    tx: optax.GradientTransformation,
    *,
    prepare: Callable[[Images, Key], Images] | None = None,
    label_smoothing: float = 0.0,
    class_weights: Sequence[float] | None = None,
    accumulate_steps: int = 1,
    batch_norm: str = "global",
    mesh: Mesh | None = None,
) -> Update:
    """Build ``(key, state, batch) -> (state, scalars)``, traceable, not yet compiled.

    ``prepare`` maps raw images and a key to the network's input (augmentation, normalisation) inside the program.
    ``class_weights``, one a class, weigh the examples in the loss. All randomness is folded from the key of the run and
    the step, so a resumed run needs no key from its checkpoint.
    ``accumulate_steps`` are :func:`make_gradients`'s; ``batch_norm`` "device" normalises each device's part of the
    batch (of ``mesh``) by itself, "global" the whole. Scalars: loss, accuracy, grad_norm.
    """

    gradients = make_gradients(graphdef, accumulate_steps=accumulate_steps, label_smoothing=label_smoothing)
    if batch_norm == "device":
        gradients = _on_each_device(gradients, mesh)

    def update(key: Key, state: TrainState, batch: Batch):
        augment_key, dropout_key = jax.random.split(jax.random.fold_in(key, state.step))
        images = batch["image"] if prepare is None else prepare(batch["image"], augment_key)
        weights = batch["valid"].astype(jnp.float32)
        if class_weights is not None:
            weights *= jnp.asarray(class_weights)[batch["label"]]
        weights /= jnp.maximum(jnp.sum(weights), 1e-12)
        examples = {"image": images, "label": batch["label"], "weight": weights, "valid": batch["valid"]}
        grads, model_state, sums = gradients(dropout_key, state.params, state.model_state, examples)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        new_state = TrainState(
            step=state.step + 1,
            params=optax.apply_updates(state.params, updates),
            model_state=model_state,
            opt_state=opt_state,
        )
        accuracy = sums["correct"] / jnp.maximum(jnp.sum(batch["valid"]), 1)
        return new_state, {"loss": sums["loss"], "accuracy": accuracy, "grad_norm": optax.tree.norm(grads)}

    return update


def make_gradients(graphdef: nnx.GraphDef, *, accumulate_steps: int = 1, label_smoothing: float = 0.0):
    """Build ``(dropout key, params, model_state, examples) -> (gradients, model_state, sums)`` of the weighted loss.

    ``examples`` are image, label, valid and weight (batch,); the loss is the sum of the weighted ones, so that those of
    parts of a batch add up to the batch's, and so do the gradients. Sums: loss, correct.

    With ``accumulate_steps`` the batch goes through in so many parts, one after the other: the memory is that of one.
    Batch normalisation then sees a part at a time, and dropout leaves out other units than in the whole batch.
    """

    def of_part(key, params, model_state, part):
        def loss_of(params):
            logits, new_model_state = forward(graphdef, params, model_state, part["image"], dropout_key=key)
            outputs = example_outputs(logits, part["label"], part["valid"], label_smoothing)
            sums = {"loss": jnp.sum(part["weight"] * outputs["loss"]), "correct": outputs["correct"] @ outputs["mask"]}
            return sums["loss"], (sums, new_model_state)

        grads, (sums, new_model_state) = jax.grad(loss_of, has_aux=True)(params)
        return grads, new_model_state, sums

    if accumulate_steps == 1:
        return of_part

    def of_batch(key, params, model_state, examples):
        # Part i has every accumulate_steps-th example: so each device has as many of it, and keeps what it has.
        parts = jax.tree.map(
            lambda values: jnp.moveaxis(values.reshape(-1, accumulate_steps, *values.shape[1:]), 1, 0), examples
        )

        def add(carried, part):
            (grads, sums), model_state = carried
            new_grads, model_state, new_sums = of_part(
                jax.random.fold_in(key, part["number"]), params, model_state, part["examples"]
            )
            return (jax.tree.map(jnp.add, (grads, sums), (new_grads, new_sums)), model_state), None

        nothing = jax.tree.map(jnp.zeros_like, params), {"loss": jnp.float32(0), "correct": jnp.float32(0)}
        numbered = {"number": jnp.arange(accumulate_steps), "examples": parts}
        # Within a loop XLA's convolutions on a CPU take ten times as long.
        unroll = accumulate_steps if jax.default_backend() == "cpu" else 1
        ((grads, sums), model_state), _ = jax.lax.scan(add, (nothing, model_state), numbered, unroll=unroll)
        return grads, model_state, sums

    return of_batch


def _on_each_device(gradients: Callable, mesh: Mesh) -> Callable:
    """The same for each device's part of the batch by itself, so that batch normalisation sees no more of it; the
    gradients and sums are added up, the running statistics averaged over the devices."""

    def of_device(key, params, model_state, examples):
        key = jax.random.fold_in(key, jax.lax.axis_index(DATA_AXIS))
        grads, model_state, sums = gradients(key, params, model_state, examples)
        return jax.lax.psum(grads, DATA_AXIS), jax.lax.pmean(model_state, DATA_AXIS), jax.lax.psum(sums, DATA_AXIS)

    whole, part = PartitionSpec(), PartitionSpec(DATA_AXIS)
    # Not check_vma: it would add the gradients of the parameters up by itself, and they would be added twice.
    return jax.shard_map(of_device, mesh=mesh, in_specs=(whole, whole, whole, part), out_specs=whole, check_vma=False)


def compile_update(update: Update, mesh: Mesh, state_shardings: TrainState | NamedSharding | None = None) -> Update:
    """One program for runs of any seed; the state that goes in is donated, and gone afterwards.

    ``state_shardings``: where the parts of the state lie; None: all of it on every device.
    """
    everywhere = replicated(mesh)
    where = everywhere if state_shardings is None else state_shardings
    return jax.jit(
        update,
        donate_argnums=1,
        in_shardings=(everywhere, where, split_along_batch(mesh)),
        out_shardings=(where, everywhere),
    )


def with_seed(compiled: Update, mesh: Mesh, seed: int) -> Callable[[TrainState, Batch], tuple[TrainState, dict]]:
    """``(state, batch) -> (state, scalars)`` of the run of that seed."""
    # Made by a program, as on several hosts no process could put it on the devices of all.
    make_key = jax.jit(lambda: jax.random.key(seed), out_shardings=replicated(mesh))
    return functools.partial(compiled, make_key())


def make_train_step(
    graphdef: nnx.GraphDef, tx: optax.GradientTransformation, mesh: Mesh, *, seed: int, **options
) -> Callable[[TrainState, Batch], tuple[TrainState, dict[str, jax.Array]]]:
    """Build the compiled ``(state, batch) -> (state, scalars)`` of one run; ``options`` are :func:`make_update`'s.

    The state that goes in is donated, and gone afterwards.
    """
    return with_seed(compile_update(make_update(graphdef, tx, mesh=mesh, **options), mesh), mesh, seed)


def make_predict(graphdef: nnx.GraphDef, transform: Callable[[Images], Images] | None = None):
    """Build ``(params, model_state, raw images) -> scores (batch, class)``, traceable, not yet compiled.

    ``transform`` is the normalisation that training used. The scores are softmax probabilities, uncalibrated.
    """

    def predict(params, model_state, images: Images):
        logits, _ = forward(graphdef, params, model_state, images if transform is None else transform(images))
        return jax.nn.softmax(logits)

    return predict


def make_dense_predict(graphdef: nnx.GraphDef, plan: DensePlan):
    """Build ``(params, model_state, normalised pixels) -> scores (batch, y, x, class)`` of all windows of a map.

    As :func:`make_predict`'s of each window by itself; for the pixels see
    :func:`clusterjax.models.sliding.evaluate_dense`.
    """
    predict = make_predict(graphdef)

    def predict_map(params, model_state, pixels: Images):
        return evaluate_dense(lambda windows: predict(params, model_state, windows), plan, pixels)

    return predict_map


def make_evaluation(graphdef: nnx.GraphDef, transform: Callable[[Images], Images] | None = None):
    """Build ``(params, model_state, metrics, batch) -> (metrics, scores (batch, class))``, traceable, not yet compiled;
    metrics accumulate."""

    def evaluation(params, model_state, metrics: EpochMetrics, batch: Batch):
        images = batch["image"] if transform is None else transform(batch["image"])
        logits, _ = forward(graphdef, params, model_state, images)
        outputs = example_outputs(logits, batch["label"], batch["valid"])
        return metrics.merge(EpochMetrics.single_from_model_output(**outputs)), jax.nn.softmax(logits)

    return evaluation


def make_eval_step(graphdef: nnx.GraphDef, mesh: Mesh, transform: Callable[[Images], Images] | None = None):
    """:func:`make_evaluation`'s, compiled."""
    everywhere, split = replicated(mesh), split_along_batch(mesh)
    return jax.jit(
        make_evaluation(graphdef, transform),
        in_shardings=(None, None, everywhere, split),  # parameters may be split over the devices
        out_shardings=(everywhere, everywhere),
    )
