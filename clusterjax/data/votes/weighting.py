"""Votes weighed by how often their user agrees with the majority, question by question (Kosiba et al. 2020)."""

import numpy as np
from jaxtyping import Bool, Float

from clusterjax.data.votes.questions import Votes


def user_weights(votes: Votes) -> Float[np.ndarray, "user question"]:
    """G = C / Q: of the answers that a user gave to a question, the fraction that agrees with the majority of those
    given about the same subject; NaN for a question that the user was never asked.

    Where several answers are equally many, each of them agrees with the majority (the paper does not say).
    """
    num_answers = int(votes.answer.max(initial=0)) + 1
    num_questions = len(votes.tree.questions)
    cell = votes.subject * num_questions + votes.question
    counts = np.bincount(cell * num_answers + votes.answer, minlength=len(votes.subjects) * num_questions * num_answers)
    counts = counts.reshape(-1, num_answers)
    agrees = counts[cell, votes.answer] == counts.max(axis=1)[cell]
    place = votes.user * num_questions + votes.question
    size = len(votes.users) * num_questions
    given = np.bincount(place, minlength=size)
    agreed = np.bincount(place, weights=agrees, minlength=size)
    weights = np.divide(agreed, given, out=np.full(size, np.nan), where=given > 0)
    return weights.reshape(len(votes.users), num_questions)


def class_scores(votes: Votes, *, weighted: bool = True) -> Float[np.ndarray, "subject class"]:
    """Of each class the sum of its votes; weighted, each counts its user's G of the question that ended it."""
    rows, called = votes.endings()
    weight = user_weights(votes)[votes.user[rows], votes.question[rows]] if weighted else np.ones(len(rows))
    num_classes = len(votes.tree.classes)
    flat = np.bincount(
        votes.subject[rows] * num_classes + called, weights=weight, minlength=len(votes.subjects) * num_classes
    )
    return flat.reshape(len(votes.subjects), num_classes)


def is_cluster(votes: Votes, *, weighted: bool = True) -> Bool[np.ndarray, " subject"]:
    """Whether the classes of clusters have the larger sum. With equal sums, and without votes, it is none."""
    scores = class_scores(votes, weighted=weighted)
    positive = votes.tree.is_positive
    # Sums of equal weights in another order may differ in the last digit: that is no majority.
    cluster, other = scores[:, positive].sum(axis=1), scores[:, ~positive].sum(axis=1)
    return cluster > other * (1 + 1e-12)


def final_classes(votes: Votes, *, weighted: bool = True) -> list[str]:
    """The class of each subject: of those on the side that :func:`is_cluster` says, the one of the largest sum."""
    scores = class_scores(votes, weighted=weighted)
    side = is_cluster(votes, weighted=weighted)[:, None] == votes.tree.is_positive[None, :]
    return [votes.tree.classes[i] for i in np.argmax(np.where(side, scores, -1.0), axis=1)]
