"""Truth and volunteers' errors together, by expectation maximisation (Dawid & Skene 1979, Applied Statistics 28, 20).

Where the majority is biased, as volunteers against faint clusters, a weight for agreeing with it cannot mend that; a
confusion matrix for each volunteer, fitted with the truth, can.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from clusterjax.data.votes.questions import Votes
from clusterjax.errors import InputError


@dataclasses.dataclass(frozen=True)
class DawidSkene:
    """``posterior`` of each subject's class, the classes' ``prior``, each user's ``confusion`` (true, called), and the
    penalised log-likelihood of each step, which never falls."""

    posterior: Float[np.ndarray, "subject class"]
    prior: Float[np.ndarray, " class"]
    confusion: Float[np.ndarray, "user class class"]
    log_likelihood: tuple[float, ...]


def fit_dawid_skene(
    subject: Int[np.ndarray, " n"],
    user: Int[np.ndarray, " n"],
    called: Int[np.ndarray, " n"],
    *,
    num_classes: int,
    smoothing: float = 0.1,
    max_steps: int = 500,
    tolerance: float = 1e-7,
) -> DawidSkene:
    """From votes: ``user`` called ``subject`` the class ``called``. Begins with the fractions of the votes.

    ``smoothing`` is added to all counts of confusion and prior (Dirichlet priors of 1 + smoothing), so that a user of
    few votes is never taken to be sure. Subjects and users are numbered from 0; each subject needs a vote. Stops when
    the log-likelihood gains less than ``tolerance`` of itself. Raises :class:`InputError` without votes and for a
    subject that has none.
    """
    if not len(subject):
        raise InputError("there are no votes")
    num_subjects, num_users = int(subject.max()) + 1, int(user.max()) + 1
    posterior = np.bincount(subject * num_classes + called, minlength=num_subjects * num_classes).astype(float)
    posterior = posterior.reshape(num_subjects, num_classes)
    total = posterior.sum(axis=1, keepdims=True)
    if (total == 0).any():
        raise InputError(f"subject {int(np.argmin(total))} has no votes")
    posterior /= total
    history: list[float] = []
    for _ in range(max_steps):
        prior, confusion = _maximise(posterior, subject, user, called, num_users, smoothing)
        posterior, value = _expect(prior, confusion, subject, user, called, num_subjects, smoothing)
        history.append(value)
        if len(history) > 1 and value - history[-2] < tolerance * abs(value):
            break
    return DawidSkene(posterior, prior, confusion, tuple(history))


def _maximise(posterior, subject, user, called, num_users: int, smoothing: float):
    num_classes = posterior.shape[1]
    prior = posterior.sum(axis=0) + smoothing
    confusion = np.zeros((num_users, num_classes, num_classes))
    for true in range(num_classes):
        counts = np.bincount(
            user * num_classes + called, weights=posterior[subject, true], minlength=num_users * num_classes
        )
        confusion[:, true] = counts.reshape(num_users, num_classes) + smoothing
    total = confusion.sum(axis=2, keepdims=True)  # 0 for a user who never met that class, without smoothing
    even = np.full(confusion.shape, 1 / num_classes)
    return prior / prior.sum(), np.divide(confusion, total, out=even, where=total > 0)


def _expect(prior, confusion, subject, user, called, num_subjects: int, smoothing: float):
    with np.errstate(divide="ignore"):
        log_prior, log_confusion = np.log(prior), np.log(confusion)
    log_joint = np.empty((num_subjects, len(prior)))
    for true in range(len(prior)):
        votes = log_confusion[user, true, called]
        log_joint[:, true] = log_prior[true] + np.bincount(subject, weights=votes, minlength=num_subjects)
    peak = log_joint.max(axis=1, keepdims=True)
    joint = np.exp(log_joint - peak)
    value = float(np.sum(peak[:, 0] + np.log(joint.sum(axis=1))))
    if smoothing:
        value += smoothing * float(log_prior.sum() + log_confusion.sum())
    return joint / joint.sum(axis=1, keepdims=True), value


def dawid_skene_classes(votes: Votes, *, binary: bool = False, smoothing: float = 0.1) -> list[str] | np.ndarray:
    """The likeliest class of each subject; ``binary``: whether it is a cluster, from votes for cluster or not."""
    rows, called = votes.endings()
    classes = votes.tree.classes
    if binary:
        positive = votes.tree.is_positive
        fitted = fit_dawid_skene(
            votes.subject[rows], votes.user[rows], positive[called].astype(np.int64), num_classes=2, smoothing=smoothing
        )
        return fitted.posterior[:, 1] > 0.5
    fitted = fit_dawid_skene(
        votes.subject[rows], votes.user[rows], called, num_classes=len(classes), smoothing=smoothing
    )
    return [classes[i] for i in np.argmax(fitted.posterior, axis=1)]
