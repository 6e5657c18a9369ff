"""The compiled steps: train, eval, predict. One ``jax.jit`` each, over a mesh."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh

from clusterjax.arrays import Batch, Images, Key
from clusterjax.models.lattice import DensePlan
from clusterjax.models.sliding import evaluate_dense
from clusterjax.parallel import replicated, split_along_batch
from clusterjax.training.metrics import EpochMetrics, example_outputs, weighted_mean
from clusterjax.training.state import TrainState, forward

Update = Callable[[Key, TrainState, Batch], tuple[TrainState, dict[str, jax.Array]]]


def make_update(
    graphdef: nnx.GraphDef,
    tx: optax.GradientTransformation,
    *,
    prepare: Callable[[Images, Key], Images] | None = None,
    label_smoothing: float = 0.0,
    class_weights: Sequence[float] | None = None,
) -> Update:
    """Build ``(key, state, batch) -> (state, scalars)``, traceable, not yet compiled.

    ``prepare`` maps raw images and a key to the network's input (augmentation, normalisation) inside the program.
    ``class_weights``, one a class, weigh the examples in the loss. All randomness is folded from the key of the run and
    the step, so a resumed run needs no key from its checkpoint.
    Scalars: loss, accuracy, grad_norm.
    """

    def update(key: Key, state: TrainState, batch: Batch):
        augment_key, dropout_key = jax.random.split(jax.random.fold_in(key, state.step))
        images = batch["image"] if prepare is None else prepare(batch["image"], augment_key)

        def mean_loss(params):
            logits, model_state = forward(graphdef, params, state.model_state, images, dropout_key=dropout_key)
            outputs = example_outputs(logits, batch["label"], batch["valid"], label_smoothing)
            metrics = EpochMetrics.single_from_model_output(**outputs)
            loss = metrics.loss.compute()
            if class_weights is not None:
                loss = weighted_mean(outputs["loss"], batch["label"], batch["valid"], jnp.asarray(class_weights))
            return loss, (metrics.accuracy.compute(), model_state)

        (loss, (accuracy, model_state)), grads = jax.value_and_grad(mean_loss, has_aux=True)(state.params)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        new_state = TrainState(
            step=state.step + 1,
            params=optax.apply_updates(state.params, updates),
            model_state=model_state,
            opt_state=opt_state,
        )
        return new_state, {"loss": loss, "accuracy": accuracy, "grad_norm": optax.tree.norm(grads)}

    return update


def compile_update(update: Update, mesh: Mesh) -> Update:
    """One program for runs of any seed; the state that goes in is donated, and gone afterwards."""
    everywhere = replicated(mesh)
    return jax.jit(
        update,
        donate_argnums=1,
        in_shardings=(everywhere, everywhere, split_along_batch(mesh)),
        out_shardings=everywhere,
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
    return with_seed(compile_update(make_update(graphdef, tx, **options), mesh), mesh, seed)


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


def make_eval_step(graphdef: nnx.GraphDef, mesh: Mesh, transform: Callable[[Images], Images] | None = None):
    """Build ``(params, model_state, metrics, batch) -> (metrics, scores (batch, class))``; metrics accumulate."""
    everywhere, split = replicated(mesh), split_along_batch(mesh)

    @functools.partial(
        jax.jit,
        in_shardings=(everywhere, everywhere, everywhere, split),
        out_shardings=(everywhere, everywhere),
    )
    def eval_step(params, model_state, metrics: EpochMetrics, batch: Batch):
        images = batch["image"] if transform is None else transform(batch["image"])
        logits, _ = forward(graphdef, params, model_state, images)
        outputs = example_outputs(logits, batch["label"], batch["valid"])
        return metrics.merge(EpochMetrics.single_from_model_output(**outputs)), jax.nn.softmax(logits)

    return eval_step
