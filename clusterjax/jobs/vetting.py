"""The job vet: the verdicts of several people on a scan's candidates, joined, and as examples to train on."""

import dataclasses
import itertools
import pathlib
from collections.abc import Sequence

import numpy as np
from astropy.table import Column, Table, vstack

from clusterjax.config import VettingConfig
from clusterjax.data.votes.dawid_skene import DawidSkene, fit_dawid_skene
from clusterjax.data.votes.verdicts import (
    VERDICTS,
    VerdictFile,
    as_votes,
    check_voters,
    read_verdicts,
    table_hash,
)
from clusterjax.data.votes.weighting import class_scores, user_weights
from clusterjax.errors import InputError
from clusterjax.evaluation.agreement import cohen_kappa, fleiss_kappa
from clusterjax.jobs.session import say
from clusterjax.report.blocks import Section, TableBlock
from clusterjax.report.contents import Report
from clusterjax.report.html import write_report
from clusterjax.sky.catalogues import read_table, write_table
from clusterjax.sky.merging import is_near
from clusterjax.sky.selection import AVOIDED
from clusterjax.sky.surveys.registry import read_catalogue

REJECTED = "rejected"  # the type of a candidate that is none
_KNOWN_RADIUS_ARCMIN = 1.5  # a known object as near to a candidate is the candidate


def vet(
    files: Sequence[pathlib.Path], workdir: pathlib.Path, config: VettingConfig, catalogue: Sequence[str] = ()
) -> None:
    """Join ``files``, one of each person, on the candidates of ``workdir``'s scan, into its vetting/.

    verdicts.*: a row a candidate, with its votes, probabilities and agreement. voters.* and pairs.*: of each person and
    each two. labelled.*: the candidates with an answer as a catalogue that ``map_cutouts`` trains on, with the objects
    of ``catalogue`` that are no candidates. agreement/index.html shows it. Raises :class:`InputError` for whatever is
    wrong with a file.
    """
    path = workdir / "scan" / "candidates.fits"
    if not path.exists():
        raise InputError(f"there are no candidates in {workdir}; give the --workdir of a scan")
    if not files:
        raise InputError(f"give the verdicts, as in --job=vet --workdir={workdir} anna.csv ben.csv")
    candidates = read_table(path)
    table = table_hash(*(candidates[name] for name in ("detection_id", "ra_deg", "dec_deg")))
    ids = np.asarray(candidates["detection_id"], int).tolist()
    read = [read_verdicts(file, table=table, candidates=ids) for file in files]
    check_voters(read)
    known = [read_catalogue(entry) for entry in catalogue]
    joined = _join(read, ids)
    verdicts = _verdict_table(candidates, read, joined, config)
    labelled = _labelled(verdicts, candidates, known)
    voters, pairs = _voter_table(read, joined), _pair_table(read)
    folder = workdir / "vetting"
    folder.mkdir(parents=True, exist_ok=True)
    for name, made in (("verdicts", verdicts), ("voters", voters), ("pairs", pairs), ("labelled", labelled)):
        write_table(folder / name, made)
    page = _write_agreement(folder / "agreement", workdir.name, verdicts, voters, pairs, _counts(read, ids))
    counts = {word: int(np.sum(verdicts["verdict"] == word)) for word in (*VERDICTS[:2], "")}
    say(
        f"{len(read)} voters on {int(np.sum(verdicts['num_votes'] > 0))} of {len(candidates)} candidates: "
        f"{counts['cluster']} clusters, {counts['not']} not, {counts['']} without an answer"
    )
    say(f"agreement: {page}")
    say(f"to train on: --config.data.catalogue={folder / 'labelled.fits'}")


@dataclasses.dataclass(frozen=True)
class _Joined:
    """What comes of the votes: of the candidates' ``rows`` that have any, and of the ``users`` who were ever sure."""

    rows: np.ndarray
    weighted: np.ndarray
    fitted: DawidSkene
    users: tuple[str, ...]
    weights: np.ndarray


def _join(read: Sequence[VerdictFile], ids: list[int]) -> _Joined:
    votes = as_votes(read)
    row_of = {number: row for row, number in enumerate(ids)}
    scores = class_scores(votes, weighted=True)
    total = scores.sum(axis=1)  # 0 where all who voted never agree with the majority: then each counts alike
    scores = np.where(total[:, None] > 0, scores, class_scores(votes, weighted=False))
    fitted = fit_dawid_skene(votes.subject, votes.user, votes.answer, num_classes=2)
    return _Joined(
        rows=np.array([row_of[int(subject)] for subject in votes.subjects]),
        weighted=scores[:, 0] / scores.sum(axis=1),
        fitted=fitted,
        users=votes.users,
        weights=user_weights(votes)[:, 0],
    )


def _counts(read: Sequence[VerdictFile], ids: list[int]) -> np.ndarray:
    """(candidate, word) how many said so."""
    return np.array([[sum(file.verdicts.get(i) == word for file in read) for word in VERDICTS] for i in ids])


def _verdict_table(candidates: Table, read: Sequence[VerdictFile], joined: _Joined, config: VettingConfig) -> Table:
    ids = np.asarray(candidates["detection_id"], int).tolist()
    counts = _counts(read, ids)
    num_votes = counts[:, :2].sum(axis=1)
    probability = {"weighted": np.full(len(ids), np.nan), "dawid_skene": np.full(len(ids), np.nan)}
    probability["weighted"][joined.rows] = joined.weighted
    probability["dawid_skene"][joined.rows] = joined.fitted.posterior[:, 0]
    decides = probability[config.method]
    enough = num_votes >= config.min_votes
    verdict = np.full(len(ids), "", "U7")
    verdict[enough & (decides >= config.confident)] = "cluster"
    verdict[enough & (decides <= 1 - config.confident)] = "not"
    share = np.divide(counts[:, :2].max(axis=1), num_votes, out=np.full(len(ids), np.nan), where=num_votes > 0)
    table = candidates[[name for name in ("detection_id", "name", "ra_deg", "dec_deg") if name in candidates.colnames]]
    for index, word in enumerate(VERDICTS):
        table[f"num_{word}"] = Column(counts[:, index], description=f"people who said {word}")
    table["num_votes"] = Column(num_votes, description="people who were sure")
    for name, text in (
        ("weighted", "share of the votes for a cluster, each weighed by how often its voter agrees with the majority"),
        ("dawid_skene", "of a cluster, truth and voters' errors fitted together"),
    ):
        table[f"probability_{name}"] = Column(probability[name], description=text)
    table["agreement"] = Column(share, description="share of the votes that are for the more frequent answer")
    table["verdict"] = Column(verdict, description=f"where probability_{config.method} is sure; else empty")
    for name, of in (("votes", "verdicts"), ("comments", "comments")):
        said = [[(file.voter, getattr(file, of).get(i)) for file in read] for i in ids]
        texts = ["; ".join(f"{voter}: {text}" for voter, text in one if text) for one in said]
        table[name] = Column(np.array(texts, str), description="who said what")
    table.meta = {"voters": [file.voter for file in read], "confident": config.confident}
    return table


def _labelled(verdicts: Table, candidates: Table, known: Sequence[Table]) -> Table:
    """A catalogue for ``map_cutouts``: clusters, what was rejected, and what empty sky must keep away from."""
    types = {"cluster": "cluster", "not": REJECTED, "": AVOIDED}
    table = Table({name: verdicts[name] for name in ("ra_deg", "dec_deg")})
    table["object_type"] = [types[str(word)] for word in verdicts["verdict"]]
    table["name"] = np.asarray(verdicts["name"] if "name" in verdicts.colnames else verdicts["detection_id"], str)
    redshift = candidates["redshift"] if "redshift" in candidates.colnames else np.full(len(candidates), np.nan)
    table["redshift"] = np.ma.filled(np.ma.asarray(redshift, dtype=float), np.nan)
    table["m500c_msun"] = np.full(len(candidates), np.nan)
    table["num_votes"] = np.asarray(verdicts["num_votes"])
    for objects in known:
        new = objects["ra_deg", "dec_deg", "object_type", "name", "redshift", "m500c_msun"]
        new["num_votes"] = np.zeros(len(new), int)
        new = new[~is_near(new, table, _KNOWN_RADIUS_ARCMIN)]
        table = vstack([table, new], metadata_conflicts="silent")
    table["object_type"].description = f"{AVOIDED}: no example, but empty sky keeps away from it"
    return table


def _voter_table(read: Sequence[VerdictFile], joined: _Joined) -> Table:
    """What each did, and how far each can be trusted."""
    place = {user: index for index, user in enumerate(joined.users)}
    rows = []
    for file in read:
        index = place.get(file.voter)  # None for one who was never sure
        confusion = np.full((2, 2), np.nan) if index is None else joined.fitted.confusion[index]
        words = list(file.verdicts.values())
        rows.append(
            {
                "voter": file.voter,
                **{f"num_{word}": words.count(word) for word in VERDICTS},
                "weight": np.nan if index is None else float(joined.weights[index]),
                "clusters_called_so": float(confusion[0, 0]),
                "others_called_so": float(confusion[1, 1]),
            }
        )
    table = Table(rows)
    table["weight"].description = "share of the votes that agree with the majority (Kosiba et al. 2020)"
    table["clusters_called_so"].description = "of clusters, by Dawid and Skene (1979)"
    table["others_called_so"].description = "of other candidates, by Dawid and Skene (1979)"
    return table


def _pair_table(read: Sequence[VerdictFile]) -> Table:
    """Cohen's kappa of every two, of the candidates that both judged; unsure is an answer of its own."""
    rows = []
    for first, second in itertools.combinations(read, 2):
        both = sorted(first.verdicts.keys() & second.verdicts.keys())
        answers = [np.array([VERDICTS.index(one.verdicts[i]) for i in both], int) for one in (first, second)]
        kappa = cohen_kappa(*answers, len(VERDICTS))
        rows.append((first.voter, second.voter, kappa.num, kappa.observed, kappa.value, kappa.error))
    names = ["first", "second", "num_both", "agreement", "kappa", "kappa_error"]
    return Table(rows=rows or None, names=names, dtype=[str, str, int, float, float, float])


def _write_agreement(folder, title: str, verdicts: Table, voters: Table, pairs: Table, counts) -> pathlib.Path:
    kappa = fleiss_kappa(counts)
    lead = (
        f"Fleiss' kappa of all is {kappa.value:.2f} ± {kappa.error:.2f} over {kappa.num} candidates that two or more "
        "judged; 1 is full agreement, 0 what chance gives."
        if np.isfinite(kappa.value)
        else "There is no kappa: too few candidates were judged by two, or all answers are the same."
    )
    judged = verdicts[verdicts["num_votes"] + verdicts["num_unsure"] > 0]
    disputed = judged[np.argsort(np.nan_to_num(np.asarray(judged["agreement"], float)), kind="stable")]
    blocks = [
        TableBlock("voters", voters, "Weight: how often one agrees with the majority. The last two: what share of "
                   "clusters, and of others, one calls so, fitted together with the truth (Dawid and Skene 1979)."),
    ]  # fmt: skip
    if len(pairs):
        blocks.append(TableBlock("pairs", pairs, "Every two on the candidates that both judged: Cohen's kappa."))
    blocks.append(TableBlock("verdicts", disputed, "What is most disputed comes first."))
    report = Report(
        title=f"Verdicts on {title}",
        subtitle=f"{len(voters)} people, {len(judged)} candidates",
        provenance={"voters": ", ".join(voters["voter"])},
        sections=[Section("agreement", "Who agrees with whom", lead, blocks)],
    )
    return write_report(folder, report)
