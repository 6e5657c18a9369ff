"""Scores of stacked networks and of networks with dropped units, against each network by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from clusterjax.training import ensemble
from clusterjax.training.ensemble import (
    make_dropout_scores,
    make_ensemble_eval_step,
    make_member_scores,
    mean_and_spread,
    member_of,
    stack_trees,
)
from clusterjax.training.evaluate import evaluate
from clusterjax.training.state import forward
from clusterjax.training.step import make_predict


@pytest.fixture
def setups(make_setup):
    made = [make_setup(jax.devices()[:1], seed=seed, dropout=0.3) for seed in range(2)]
    for seed, setup in enumerate(made):  # a fresh head says nothing
        head = setup.state.params["head"]["linear"]
        head["kernel"] = head["kernel"] + 0.5 * jax.random.normal(jax.random.key(seed), head["kernel"].shape)
    return made


def stacked(setups):
    return (stack_trees([getattr(setup.state, part) for setup in setups]) for part in ("params", "model_state"))


@pytest.mark.parametrize("by_turns", [True, False])
def test_each_member_is_the_network_by_itself(setups, make_batches, monkeypatch, by_turns):
    monkeypatch.setattr(ensemble, "one_by_one", lambda: by_turns)
    predict = make_predict(setups[0].graphdef, lambda images: 2 * images)
    images = jnp.asarray(next(make_batches())["image"])
    scores = jax.jit(make_member_scores(predict, 2))(*stacked(setups), images)
    for i, setup in enumerate(setups):
        np.testing.assert_allclose(scores[i], predict(setup.state.params, setup.state.model_state, images), rtol=1e-4)
    assert np.abs(scores[0] - scores[1]).max() > 1e-3
    alone = make_member_scores(predict)(setups[0].state.params, setups[0].state.model_state, images)
    np.testing.assert_allclose(alone[0], scores[0], rtol=1e-4)


@pytest.mark.parametrize(("platform", "expected"), [("cpu", True), ("gpu", True), ("tpu", False)])
def test_who_takes_turns(monkeypatch, platform, expected):
    monkeypatch.setattr(ensemble.jax, "default_backend", lambda: platform)
    assert ensemble.one_by_one() == expected


def test_evaluation_is_that_of_the_mean_score(setups, make_batches):
    predict = make_predict(setups[0].graphdef)
    params, model_state = stacked(setups)
    state = setups[0].state.replace(params=params, model_state=model_state)
    step = make_ensemble_eval_step(make_member_scores(predict, 2), setups[0].mesh)
    batch = next(make_batches())
    batch["valid"][20:] = False
    metrics, columns = evaluate(step, state, [batch], setups[0].mesh)
    members = [
        np.asarray(predict(s.state.params, s.state.model_state, jnp.asarray(batch["image"])))[:20] for s in setups
    ]
    np.testing.assert_allclose(columns["scores"], np.stack(members, axis=1), rtol=1e-4)
    mean, label = np.mean(members, axis=0), batch["label"][:20]
    assert metrics["loss"] == pytest.approx(-np.log(mean[np.arange(20), label]).mean(), rel=1e-4)
    assert metrics["accuracy"] == pytest.approx((mean.argmax(1) == label).mean())


def test_dropped_units(setups, make_batches):
    """The mean over many passes of a linear head is the logits of none; batch normalisation does not train."""
    setup = setups[0]
    images = jnp.asarray(next(make_batches())["image"][:4])
    weights = setup.state.params, setup.state.model_state
    scores = jax.jit(make_dropout_scores(setup.graphdef, 200, seed=0))(*weights, images)
    assert scores.shape == (200, 4, 2)
    logits = jnp.log(scores[..., 1] / scores[..., 0])
    plain, _ = forward(setup.graphdef, *weights, images)
    error = logits.std(0) / np.sqrt(200)
    np.testing.assert_array_less(np.abs(logits.mean(0) - (plain[:, 1] - plain[:, 0])), 4 * error + 1e-6)
    assert logits.std(0).min() > 1e-3
    again = jax.jit(make_dropout_scores(setup.graphdef, 200, seed=0))(*weights, images)
    np.testing.assert_array_equal(scores, again)
    key = jax.random.key(0)
    _, state = forward(setup.graphdef, *weights, images, dropout_key=key, batch_statistics=False)
    jax.tree.map(np.testing.assert_array_equal, state, weights[1])


def test_samples_of_each_member(setups, make_batches):
    images = jnp.asarray(next(make_batches())["image"][:4])
    scores = make_dropout_scores(setups[0].graphdef, 3, seed=5, num_members=2)(*stacked(setups), images)
    assert scores.shape == (6, 4, 2)
    second = make_dropout_scores(setups[0].graphdef, 3, seed=5)(
        setups[1].state.params, setups[1].state.model_state, images
    )
    np.testing.assert_allclose(scores[3:], second, rtol=1e-4)


def test_mean_and_spread():
    scores = np.random.default_rng(0).random((5, 7, 2))
    mean, spread = mean_and_spread(scores)
    np.testing.assert_allclose(mean, np.mean(scores, axis=0))
    np.testing.assert_allclose(spread, np.std(scores, axis=0, ddof=1))
    assert np.all(mean_and_spread(scores[:1])[1] == 0)
    tree = {"a": np.arange(6.0).reshape(2, 3)}
    np.testing.assert_array_equal(member_of(stack_trees([member_of(tree, 0), member_of(tree, 1)]), 1)["a"], [3, 4, 5])
