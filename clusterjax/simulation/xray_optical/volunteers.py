"""Simulated volunteers: sure of points, slow to call a faint glow extended, of unequal care, some of them malicious.

The published biases (Kosiba et al. 2020, section 3): what volunteers call a cluster nearly always is one (precision
0.98 to 0.99), but they miss a third to two thirds of them (recall 0.40 on 404 objects, 0.65 on the 170 of the test
sample, weighted); weighing the votes brings the accuracy on the former from 0.542 to 0.621. The numbers below are our
choice to that end: with as many clusters as there (62 %), 0.55 becomes 0.60 at a precision of 1.00 (means of 3 seeds).
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from clusterjax.data.votes.questions import HUNT_FOR_CLUSTERS, Votes
from clusterjax.simulation.knobs import XRAY_OBJECT_TYPES

_NO, _YES = 0, 1
# The right answer to each of the six questions, and how surely it is given (log-odds) on average
_SURE = 3.0
_TRUTH: dict[str, tuple[tuple[int, float], ...]] = {
    "low_z_cluster": ((_YES, 3.0), (_NO, 2.5), (_YES, 1.0), (_NO, 0.0), (_NO, 1.4), (_YES, 1.5)),
    "high_z_cluster": ((_YES, 2.5), (_NO, 2.2), (_YES, 0.6), (_NO, 0.0), (_NO, 2.0), (_NO, 1.5)),
    "nearby_galaxy": ((_YES, _SURE), (_NO, _SURE), (_YES, 1.0), (_NO, 0.0), (_YES, 3.5), (_NO, 1.0)),
    "point_source": ((_YES, _SURE), (_NO, _SURE), (_NO, 3.0), (_NO, 0.1), (_NO, 0.0), (_NO, 1.0)),
    "star_agn": ((_YES, _SURE), (_NO, _SURE), (_NO, 3.0), (_NO, 0.1), (_YES, 0.0), (_NO, 1.0)),
    "double": ((_YES, _SURE), (_NO, _SURE), (_NO, 2.0), (_YES, 1.0), (_YES, 0.0), (_NO, 1.0)),
    "artefact": ((_NO, 0.0), (_YES, 3.0), (_NO, 0.5), (_YES, 0.5), (_YES, 0.0), (_NO, 1.0)),
    "edge": ((_NO, 0.5), (_YES, 3.0), (_NO, 1.5), (_NO, 0.5), (_YES, 0.0), (_NO, 1.0)),
}
assert tuple(_TRUTH) == XRAY_OBJECT_TYPES
_ACTIVITY_SIGMA = 1.5  # of the logarithm of how much each volunteer does


@dataclasses.dataclass(frozen=True)
class Volunteers:
    """Who votes."""

    number: int = 300
    votes_per_object: int = 30  # Zooniverse retires an object after these (Kosiba et al. 2020)
    skill_sigma: float = 1.0  # of log-odds, between volunteers and questions
    difficulty_sigma: float = 1.2  # of log-odds, between objects: a faint one is faint for all
    malicious: float = 0.05  # fraction of volunteers who answer at random


def simulate_votes(
    object_types: Sequence[str], rng: np.random.Generator, volunteers: Volunteers | None = None
) -> Votes:
    """Votes on objects of these types; subjects are named by their place in the list."""
    volunteers = volunteers or Volunteers()
    tree, number = HUNT_FOR_CLUSTERS, volunteers.number
    num_questions = len(tree.questions)
    skill = rng.normal(0, volunteers.skill_sigma / np.sqrt(2), (number, 1))
    skill = skill + rng.normal(0, volunteers.skill_sigma / np.sqrt(2), (number, num_questions))
    malicious = rng.random(number) < volunteers.malicious
    activity = np.exp(rng.normal(0, _ACTIVITY_SIGMA, number))
    difficulty = rng.normal(0, volunteers.difficulty_sigma, (len(object_types), num_questions))

    votes_each = min(volunteers.votes_per_object, number)
    # Without replacement, in proportion to the activity: the largest of exponential races.
    races = rng.exponential(1.0, (len(object_types), number)) / activity
    user = np.argpartition(races, votes_each - 1, axis=1)[:, :votes_each].ravel()
    subject = np.repeat(np.arange(len(object_types)), votes_each)
    truth, odds = np.moveaxis(np.array([_TRUTH[name] for name in object_types]).reshape(-1, num_questions, 2), -1, 0)
    truth = truth.astype(np.int64)
    logit = odds[subject] + difficulty[subject] + skill[user]
    right = rng.random(logit.shape) < np.where(malicious[user][:, None], 0.5, 1 / (1 + np.exp(-logit)))
    answer = np.where(right, truth[subject], 1 - truth[subject])
    return _walk(tree, user, subject, answer, object_types, number)


def _walk(tree, user, subject, answer: Int[np.ndarray, "vote question"], object_types, number: int) -> Votes:
    """The questions that each vote comes by, in their order."""
    leads_to = np.full((len(tree.questions), 2), -1)
    for q, question in enumerate(tree.questions):
        for a, given in enumerate(question.answers):
            if tree.class_index(q, a) < 0:
                leads_to[q, a] = tree.question_index(given.leads_to)
    asked = np.zeros(answer.shape, bool)
    asked[:, 0] = True
    for q in range(len(tree.questions)):  # every answer leads to a later question
        following = np.where(asked[:, q], leads_to[q, answer[:, q]], -1)
        rows = np.flatnonzero(following >= 0)
        asked[rows, following[rows]] = True
    vote, question = np.nonzero(asked)
    return Votes(
        tree=tree,
        users=tuple(f"volunteer_{i}" for i in range(number)),
        subjects=tuple(str(i) for i in range(len(object_types))),
        classification=vote,
        user=user[vote],
        subject=subject[vote],
        question=question,
        answer=answer[vote, question],
    )
