"""Votes: the published weighting against a plain definition, the reader, and Dawid & Skene on known annotators."""

import csv
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterjax.data.votes.dawid_skene import dawid_skene_classes, fit_dawid_skene
from clusterjax.data.votes.panoptes import read_panoptes
from clusterjax.data.votes.questions import HUNT_FOR_CLUSTERS, Answer, DecisionTree, Question, make_votes
from clusterjax.data.votes.weighting import class_scores, final_classes, is_cluster, user_weights
from clusterjax.errors import InputError

TREE = DecisionTree(
    questions=(
        Question("light", (Answer("none", "other"), Answer("round", "number"), Answer("glow", "galaxies"))),
        Question("number", (Answer("one", "point"), Answer("many", "galaxies"))),
        Question("galaxies", (Answer("no", "point"), Answer("yes", "cluster"))),
    ),
    classes=("cluster", "point", "other"),
    positive=("cluster",),
)


def plain(votes):
    """(G by user and question, scores by subject of cluster and not) as the paper says it, answer by answer."""
    rows = list(zip(votes.classification, votes.user, votes.subject, votes.question, votes.answer, strict=True))
    given, agreed = {}, {}
    for _, user, subject, question, answer in rows:
        same = [a for _, _, s, q, a in rows if (s, q) == (subject, question)]
        key = user, question
        given[key] = given.get(key, 0) + 1
        agreed[key] = agreed.get(key, 0) + (same.count(answer) == max(same.count(other) for other in same))
    weight = {key: agreed[key] / given[key] for key in given}
    scores = {subject: [0.0, 0.0] for subject in range(len(votes.subjects))}
    for classification in dict.fromkeys(row[0] for row in rows):
        _, user, subject, question, answer = [row for row in rows if row[0] == classification][-1]
        leads_to = votes.tree.questions[question].answers[answer].leads_to
        if leads_to in votes.tree.classes:
            scores[subject][leads_to not in votes.tree.positive] += weight[user, question]
    return weight, scores


# Ways through the questions, by what they end with
PATHS = {
    "other": [(0, 0)],
    "point": [(0, 1), (1, 0)],
    "many": [(0, 1), (1, 1), (2, 1)],
    "cluster": [(0, 2), (2, 1)],
    "none": [(0, 2), (2, 0)],
}


@st.composite
def some_votes(draw):
    """Rows for make_votes, which is called outside: beartype draws random numbers, that Hypothesis refuses here."""
    rows, count = [], 0
    for subject in range(draw(st.integers(1, 5))):
        for user in draw(st.lists(st.integers(0, 6), min_size=1, max_size=7, unique=True)):
            path = PATHS[draw(st.sampled_from(sorted(PATHS)))]
            rows += [(count, f"user {user}", f"object {subject}", *answer) for answer in path]
            count += 1
    return rows


@settings(max_examples=60, deadline=None)
@given(some_votes())
def test_weighting_is_the_plain_definition(rows):
    votes = make_votes(TREE, rows)
    weight, scores = plain(votes)
    found = user_weights(votes)
    assert np.isfinite(found).sum() == len(weight)
    for (user, question), value in weight.items():
        assert found[user, question] == pytest.approx(value)
    sums = class_scores(votes)
    for subject, (cluster, other) in scores.items():
        assert sums[subject, 0] == pytest.approx(cluster)
        assert sums[subject, 1:].sum() == pytest.approx(other)
        if abs(cluster - other) > 1e-9:
            assert is_cluster(votes)[subject] == (cluster > other)
        else:
            assert not is_cluster(votes)[subject]
        assert (final_classes(votes)[subject] == "cluster") == is_cluster(votes)[subject]


@settings(max_examples=30, deadline=None)
@given(some_votes())
def test_unweighted_is_counting(rows):
    votes = make_votes(TREE, rows)
    rows, called = votes.endings()
    for subject in range(len(votes.subjects)):
        mine = called[votes.subject[rows] == subject]
        assert is_cluster(votes, weighted=False)[subject] == (2 * (mine == 0).sum() > len(mine))


def cast(called):
    """Votes of ``called[user][subject]``: 'c' (cluster) or 'n' (none); ' ' is no vote."""
    rows, count = [], 0
    for subject in range(len(called[0])):
        for user, choices in enumerate(called):
            if choices[subject] != " ":
                path = PATHS[{"c": "cluster", "n": "none"}[choices[subject]]]
                rows += [(count, str(user), str(subject), *answer) for answer in path]
                count += 1
    return make_votes(TREE, rows)


def test_ties_are_no_cluster_and_agree_with_the_majority():
    votes = cast(["c", "n"])
    assert user_weights(votes)[:, 2].tolist() == [1.0, 1.0]
    assert not is_cluster(votes)[0]
    assert not is_cluster(votes, weighted=False)[0]


def test_malicious_voters_are_outweighed():
    """Five agree on 20 objects, four always say what is not; three of the five alone meet the four on a last one."""
    truth = "cn" * 10
    lies = "nc" * 10
    votes = cast([truth + "c"] * 3 + [truth + " "] * 2 + [lies + "n"] * 4)
    weights = user_weights(votes)[:, 2]
    np.testing.assert_allclose(weights[:3], 20 / 21)
    np.testing.assert_allclose(weights[5:], 1 / 21)
    assert not is_cluster(votes, weighted=False)[20]
    assert is_cluster(votes)[20]


def test_tree_without_an_end():
    with pytest.raises(InputError, match="leads to 'nowhere', which is neither a later question nor a class"):
        DecisionTree((Question("a", (Answer("yes", "nowhere"),)),), ("x",), ("x",))
    with pytest.raises(InputError, match="neither a later question"):
        DecisionTree((Question("a", (Answer("yes", "a"),)),), ("x",), ("x",))
    assert len(HUNT_FOR_CLUSTERS.questions) == 6


COLUMNS = ("classification_id", "user_name", "created_at", "metadata", "annotations", "subject_ids")


def export(path, rows, columns=COLUMNS):
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns, extrasaction="ignore")
        writer.writeheader()
        for number, (user, subject, answers) in enumerate(rows):
            tasks = (
                answers
                if isinstance(answers, str)
                else json.dumps(
                    [{"task": f"T{i}", "task_label": task, "value": value} for i, (task, value) in enumerate(answers)]
                )
            )
            writer.writerow(
                {
                    "classification_id": number,
                    "user_name": user,
                    "metadata": "{}",
                    "annotations": tasks,
                    "subject_ids": subject,
                }
            )
    return path


def test_reading_an_export(tmp_path):
    first = [("light", "glow"), ("galaxies", "yes")]
    path = export(
        tmp_path / "votes.csv",
        [
            ("ann", "7", first),
            (
                "not-logged-in-ab",
                "7",
                [("light", "round"), ("comment", "nice"), ("number", "one"), ("galaxies", "yes")],
            ),
            ("ann", "7", [("light", "none")]),  # again: the first counts
            ("bob", "8", [("light", "glow"), ("galaxies", None)]),  # left open
        ],
    )
    votes = read_panoptes(path, TREE)
    assert votes.users == ("ann", "not-logged-in-ab", "bob")
    assert votes.subjects == ("7", "8")
    rows, called = votes.endings()
    assert [TREE.classes[i] for i in called] == ["cluster", "point"]
    assert votes.subject[rows].tolist() == [0, 0]
    assert len(votes.answer) == 5


@pytest.mark.parametrize(
    ("rows", "columns", "reason"),
    [
        (
            [("ann", "1", [("light", "green")])],
            COLUMNS,
            "line 2: answer 'green' to question 'light' is unknown",
        ),
        ([("ann", "1", "[{")], COLUMNS, "line 2: annotations are no JSON list"),
        ([("ann", "1", "[3]")], COLUMNS, "line 2: annotations are no JSON list"),
        ([("", "1", [("light", "none")])], COLUMNS, "line 2: user_name is empty"),
        ([("ann", "1", [("colour", "red")])], COLUMNS, "has no answers to light, number, galaxies"),
        ([], COLUMNS, "has no answers"),
        ([], ("user_name",), "has no column classification_id"),
    ],
)
def test_exports_that_are_none(tmp_path, rows, columns, reason):
    with pytest.raises(InputError, match=reason):
        read_panoptes(export(tmp_path / "votes.csv", rows, columns), TREE)


def test_no_export(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_panoptes(tmp_path / "no.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x9f")
    with pytest.raises(InputError, match="is no CSV file"):
        read_panoptes(tmp_path / "binary.csv")


@pytest.fixture(scope="module")
def annotators():
    """(subject, user, called, truth, confusion): 60 users of known confusion, 600 subjects of 12 votes, 3 classes."""
    rng = np.random.default_rng(0)
    truth = rng.choice(3, 600, p=[0.5, 0.3, 0.2])
    confusion = np.array([rng.dirichlet(1 + 6 * row, 60) for row in np.eye(3)]).transpose(1, 0, 2)
    # What most call class 0 when it is 2: the majority is wrong about it.
    confusion[:40, 2] = [0.6, 0.05, 0.35]
    user = np.array([rng.choice(60, 12, replace=False) for _ in truth]).ravel()
    subject = np.repeat(np.arange(600), 12)
    called = np.array([rng.choice(3, p=confusion[u, truth[s]]) for u, s in zip(user, subject, strict=True)])
    return subject, user, called, truth, confusion


def test_dawid_skene_finds_truth_and_confusion(annotators):
    subject, user, called, truth, confusion = annotators
    fitted = fit_dawid_skene(subject, user, called, num_classes=3)
    majority = np.argmax(np.bincount(subject * 3 + called, minlength=1800).reshape(-1, 3), axis=1)
    right = np.mean(np.argmax(fitted.posterior, axis=1) == truth)
    assert right > 0.93
    assert right > np.mean(majority == truth) + 0.03
    np.testing.assert_allclose(fitted.prior, [0.5, 0.3, 0.2], atol=0.05)
    assert np.abs(fitted.confusion[:, 0] - confusion[:, 0]).mean() < 0.06  # 60 votes of class 0 each
    np.testing.assert_allclose(fitted.confusion.sum(axis=2), 1)
    np.testing.assert_allclose(fitted.posterior.sum(axis=1), 1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_each_step_gains(annotators, smoothing):
    subject, user, called, *_ = annotators
    history = fit_dawid_skene(subject, user, called, num_classes=3, smoothing=smoothing).log_likelihood
    assert len(history) > 2
    assert (np.diff(history) > -1e-6 * abs(history[-1])).all()


def test_agreeing_users_are_believed():
    votes = cast(["ccnn", "ccnn", "ccnn"])
    assert dawid_skene_classes(votes) == ["cluster", "cluster", "point", "point"]
    assert dawid_skene_classes(votes, binary=True).tolist() == [True, True, False, False]


def test_dawid_skene_without_votes():
    none = np.zeros(0, np.int64)
    with pytest.raises(InputError, match="there are no votes"):
        fit_dawid_skene(none, none, none, num_classes=2)
    with pytest.raises(InputError, match="subject 1 has no votes"):
        fit_dawid_skene(np.array([0, 2]), np.array([0, 0]), np.array([0, 1]), num_classes=2)
