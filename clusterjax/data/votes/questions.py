"""The decision tree that volunteers go through, and their votes as arrays."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from clusterjax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Answer:
    """``leads_to`` is the next question, or the class that the classification ends with."""

    text: str
    leads_to: str


@dataclasses.dataclass(frozen=True)
class Question:
    name: str
    answers: tuple[Answer, ...]


@dataclasses.dataclass(frozen=True)
class DecisionTree:
    """Questions, the first asked first; ``classes`` are what they end with, ``positive`` those of them that are
    clusters. Raises :class:`InputError` for an answer that leads to neither, and where the questions go in a circle."""

    questions: tuple[Question, ...]
    classes: tuple[str, ...]
    positive: tuple[str, ...]

    def __post_init__(self):
        names = [question.name for question in self.questions]
        for question in self.questions:
            for answer in question.answers:
                later = answer.leads_to in names[names.index(question.name) + 1 :]
                if not later and answer.leads_to not in self.classes:
                    raise InputError(
                        f"answer {answer.text!r} of question {question.name!r} leads to {answer.leads_to!r}, which is "
                        "neither a later question nor a class"
                    )

    def question_index(self, name: str) -> int:
        for index, question in enumerate(self.questions):
            if question.name == name:
                return index
        known = ", ".join(question.name for question in self.questions)
        raise InputError(f"question {name!r} is unknown; the decision tree has {known}")

    def answer_index(self, question: int, text: str) -> int:
        for index, answer in enumerate(self.questions[question].answers):
            if answer.text == text:
                return index
        known = ", ".join(repr(answer.text) for answer in self.questions[question].answers)
        raise InputError(f"answer {text!r} to question {self.questions[question].name!r} is unknown; use {known}")

    def class_index(self, question: int, answer: int) -> int:
        """Of the class that the answer ends with; -1 where it leads to another question."""
        leads_to = self.questions[question].answers[answer].leads_to
        return self.classes.index(leads_to) if leads_to in self.classes else -1

    @property
    def is_positive(self) -> np.ndarray:
        """Of each class."""
        return np.isin(self.classes, self.positive)


def _yes_no(name: str, no: str, yes: str) -> Question:
    return Question(name, (Answer("no", no), Answer("yes", yes)))


# Six questions as The Hunt for Galaxy Clusters had; their wording and order are our choice.
HUNT_FOR_CLUSTERS = DecisionTree(
    questions=(
        _yes_no("source at the centre", "other", "edge or defect"),
        _yes_no("edge or defect", "extended", "other"),
        _yes_no("extended", "several points", "one large galaxy"),
        _yes_no("several points", "point", "point"),
        _yes_no("one large galaxy", "several galaxies", "galaxy"),
        _yes_no("several galaxies", "hi-z", "low-z"),
    ),
    classes=("low-z", "hi-z", "galaxy", "point", "other"),
    positive=("low-z", "hi-z"),
)


@dataclasses.dataclass(frozen=True)
class Votes:
    """A row an answer, in the order given: classification, user, subject, question and answer, by their indices.

    A classification is one user's way through the questions about one subject; its last row ends it with a class.
    """

    tree: DecisionTree
    users: tuple[str, ...]
    subjects: tuple[str, ...]
    classification: Int[np.ndarray, " n"]
    user: Int[np.ndarray, " n"]
    subject: Int[np.ndarray, " n"]
    question: Int[np.ndarray, " n"]
    answer: Int[np.ndarray, " n"]

    def endings(self) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
        """(row that ended it, index of its class) of each classification that came to an end."""
        table = np.full((len(self.tree.questions), max(len(q.answers) for q in self.tree.questions)), -1)
        for q, question in enumerate(self.tree.questions):
            for a in range(len(question.answers)):
                table[q, a] = self.tree.class_index(q, a)
        last = np.ones(len(self.classification), bool)
        last[:-1] = self.classification[1:] != self.classification[:-1]
        rows = np.flatnonzero(last)
        called = table[self.question[rows], self.answer[rows]]
        return rows[called >= 0], called[called >= 0]


def make_votes(tree: DecisionTree, rows: Sequence[tuple[int, str, str, int, int]]) -> Votes:
    """From rows of (classification, user, subject, question, answer), those of a classification together."""
    users, subjects = (tuple(dict.fromkeys(row[i] for row in rows)) for i in (1, 2))
    places = [{name: index for index, name in enumerate(names)} for names in (users, subjects)]
    numbers = np.array(
        [(row[0], places[0][row[1]], places[1][row[2]], row[3], row[4]) for row in rows], np.int64
    ).reshape(-1, 5)
    return Votes(tree, users, subjects, *numbers.T)
