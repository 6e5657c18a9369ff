"""Verdicts on candidates, as the vetting page exports them: a CSV file a person."""

import csv
import dataclasses
import hashlib
import os
import pathlib
import re
from collections.abc import Mapping, Sequence

import numpy as np

from clusterjax.data.votes.questions import Answer, DecisionTree, Question, Votes, make_votes
from clusterjax.errors import InputError

VERDICTS = ("cluster", "not", "unsure")
# Who is unsure casts no vote.
CLUSTER_OR_NOT = DecisionTree(
    (Question("verdict", tuple(Answer(word, word) for word in VERDICTS[:2])),),
    classes=VERDICTS[:2],
    positive=("cluster",),
)
_COLUMNS = ("voter", "table", "candidate", "verdict")
_SUSPICIOUS = re.compile(r"'+[=+\-@\t\r]")  # the page's guard against spreadsheets that take a text for a formula


@dataclasses.dataclass(frozen=True)
class VerdictFile:
    """What one person said: of candidates by their detection_id; a comment may come without a verdict."""

    path: pathlib.Path
    voter: str
    verdicts: Mapping[int, str]
    comments: Mapping[int, str]


def table_hash(detection_id, ra_deg, dec_deg) -> str:
    """What tells a table of candidates from others: their numbers and positions, to 0.4 mas. Names, scores and what
    catalogues say of them may change, and the verdicts still hold."""
    rows = zip(*(np.asarray(column).tolist() for column in (detection_id, ra_deg, dec_deg)), strict=True)
    text = "".join(f"{number} {ra:.7f} {dec:.7f}\n" for number, ra, dec in rows)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()[:32]


def read_verdicts(path: str | os.PathLike, *, table: str, candidates: Sequence[int]) -> VerdictFile:
    """Of one person on candidates of the ``table`` with that hash; ``candidates`` are its detection_ids.

    Raises :class:`InputError`, naming the line, for a file that is not such a table, is of another table of candidates,
    names a candidate that there is not or one twice, has another word than :data:`VERDICTS`, or has two voters.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist; give verdicts that the vetting page exported (CSV)")
    known = set(candidates)
    voters: dict[str, int] = {}
    verdicts: dict[int, str] = {}
    comments: dict[int, str] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = _open_reader(stream, path)
            for record in reader:
                where = f"{path}, line {reader.line_num}"
                fields = {name: unguarded(record.get(name) or "") for name in (*_COLUMNS, "comment")}
                number = _candidate(fields, table, known, where)
                if number in verdicts or number in comments:
                    raise InputError(f"{where}: candidate {number} is there twice")
                if not fields["voter"].strip():
                    raise InputError(f"{where}: voter is empty; export with a name")
                voters.setdefault(fields["voter"].strip(), reader.line_num)
                if fields["verdict"]:
                    verdicts[number] = fields["verdict"]
                if fields["comment"].strip():
                    comments[number] = fields["comment"].strip()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is no CSV file: {' '.join(str(error).split())}") from error
    if not voters:
        raise InputError(f"{path} has no verdicts")
    if len(voters) > 1:
        (first, _), (second, line) = list(voters.items())[:2]
        raise InputError(f"{path}, line {line} is by {second!r}, those before by {first!r}; give a file a person")
    return VerdictFile(path, next(iter(voters)), verdicts, comments)


def _open_reader(stream, path: pathlib.Path) -> csv.DictReader:
    head = stream.readline()
    stream.seek(0)
    # Some countries' spreadsheets write semicolons.
    reader = csv.DictReader(stream, delimiter=";" if ";" in head and "," not in head else ",", strict=True)
    missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
    if not head.strip():
        raise InputError(f"{path} is empty; export the verdicts again")
    if missing:
        raise InputError(f"{path} has no column {missing[0]}; verdicts have {', '.join(_COLUMNS)}")
    return reader


def _candidate(fields: Mapping[str, str], table: str, known: set[int], where: str) -> int:
    """The row's candidate; its table and its word are right."""
    if fields["table"] != table:
        raise InputError(
            f"{where} is of the candidates {fields['table'][:80]!r}, the workdir has {table!r}; give the workdir of "
            "that scan"
        )
    text = fields["candidate"].strip()
    number = int(text) if re.fullmatch(r"[0-9]{1,18}", text, re.ASCII) else None
    if number not in known:
        raise InputError(f"{where}: there is no candidate {text[:80]!r} in this scan")
    if fields["verdict"] and fields["verdict"] not in VERDICTS:
        raise InputError(f"{where}: verdict {fields['verdict'][:80]!r} is unknown; use one of {', '.join(VERDICTS)}")
    return number


def unguarded(text: str) -> str:
    """Without the apostrophe that keeps spreadsheets from taking a text for a formula."""
    return text[1:] if _SUSPICIOUS.match(text) else text


def check_voters(files: Sequence[VerdictFile]) -> None:
    """Raises :class:`InputError` where two files are by the same person."""
    seen: dict[str, pathlib.Path] = {}
    for file in files:
        if file.voter in seen:
            raise InputError(
                f"{seen[file.voter]} and {file.path} are both by {file.voter!r}; give one of them, or rename one voter"
            )
        seen[file.voter] = file.path


def as_votes(files: Sequence[VerdictFile]) -> Votes:
    """The votes for and against, subjects named by their detection_id; InputError where nobody was sure of any."""
    rows = [
        (number, file.voter, str(candidate), 0, VERDICTS.index(verdict))
        for number, (file, candidate, verdict) in enumerate(
            (file, candidate, verdict)
            for file in files
            for candidate, verdict in sorted(file.verdicts.items())
            if verdict in CLUSTER_OR_NOT.classes
        )
    ]
    if not rows:
        raise InputError(f"nobody said {' or '.join(CLUSTER_OR_NOT.classes)} of any candidate")
    return make_votes(CLUSTER_OR_NOT, rows)
