"""Votes from a Panoptes (Zooniverse) classification export: CSV, with the answers as JSON."""

import csv
import json
import os
import pathlib

from clusterjax.data.votes.questions import HUNT_FOR_CLUSTERS, DecisionTree, Votes, make_votes
from clusterjax.errors import InputError
from clusterjax.limits import limits

_COLUMNS = ("classification_id", "user_name", "annotations", "subject_ids")


def read_panoptes(path: str | os.PathLike, tree: DecisionTree = HUNT_FOR_CLUSTERS) -> Votes:
    """Of an export's columns are read: classification_id, user_name, subject_ids, and annotations, a JSON list of
    ``{"task": question, "value": answer}`` (``task_label`` where it is there names the question).

    Of a user's several classifications of a subject the first counts. Tasks that are no question of ``tree``, answers
    left open, and what comes after an answer that ends the classification are left out. Raises :class:`InputError`
    for a file that is not such a table, and for an answer that ``tree`` does not have, naming the line.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist; give a classification export (CSV)")
    csv.field_size_limit(limits().field_chars)  # metadata can be long
    rows: list[tuple[int, str, str, int, int]] = []
    seen: set[tuple[str, str]] = set()
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"{path} has no column {missing[0]}; an export has {', '.join(_COLUMNS)}")
            for number, record in enumerate(reader):
                where = f"{path}, line {reader.line_num}"
                key = (_text(record, "user_name", where), _text(record, "subject_ids", where))
                if key in seen:
                    continue
                seen.add(key)
                rows += [(number, *key, *answer) for answer in _answers(record["annotations"], tree, where)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is no CSV file: {error}") from error
    if not rows:
        raise InputError(f"{path} has no answers to {', '.join(q.name for q in tree.questions)}")
    return make_votes(tree, rows)


def _text(record: dict, name: str, where: str) -> str:
    value = (record[name] or "").strip()
    if not value:
        raise InputError(f"{where}: {name} is empty")
    return value


def _answers(annotations: str | None, tree: DecisionTree, where: str) -> list[tuple[int, int]]:
    """(question, answer) up to the one that ends the classification."""
    try:
        tasks = json.loads(annotations or "")
        pairs = [(task.get("task_label") or task["task"], task["task"], task.get("value")) for task in tasks]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"{where}: annotations are no JSON list of tasks with task and value") from error
    names = [question.name for question in tree.questions]
    found = []
    for label, task, value in pairs:
        name = label if label in names else task
        if name not in names or value is None:
            continue
        question = tree.question_index(name)
        try:
            answer = tree.answer_index(question, str(value))
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        found.append((question, answer))
        if tree.class_index(question, answer) >= 0:
            break
    return found
