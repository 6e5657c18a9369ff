"""Of the job compare: purity at equal completeness of all observers of the same cutouts, networks and classical."""

import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from astropy.table import Table

from clusterjax.config import ExperimentConfig
from clusterjax.errors import InputError
from clusterjax.evaluation.prior_shift import sky_fractions, type_fractions
from clusterjax.evaluation.purity import COMPLETENESS, purity_at_completeness, purity_differences, purity_errors
from clusterjax.jobs.scoring import CLASSICAL
from clusterjax.jobs.session import say
from clusterjax.sky.catalogues import read_table


class Scored(NamedTuple):
    """An observer's scores of some test cutouts; of an ensemble also those of its members (member, cutout)."""

    name: str
    score: np.ndarray
    members: np.ndarray | None = None


def scored(name: str, predictions: Table, evaluation: pathlib.Path) -> Scored:
    """Of a run: its predictions, and its members' in the folder ``evaluation``."""
    path = evaluation / "members_test.fits"
    if not path.exists():
        return Scored(name, np.asarray(predictions["score"], float))
    table = read_table(path)
    columns = [column for column in table.colnames if column.startswith("score_")]
    members = np.array([np.asarray(table[column], float) for column in columns])
    return Scored(name, np.asarray(predictions["score"], float), members)


def sky_weights(predictions: Table, config: ExperimentConfig) -> np.ndarray | None:
    """How often each test cutout is met on a sky with ``config.evaluation.sky_density_per_deg2``; None: as it is."""
    densities = config.evaluation.sky_density_per_deg2
    if not densities or "object_type" not in predictions.colnames:
        return None
    types = np.asarray(predictions["object_type"]).astype(str)
    mix = type_fractions(types)
    try:
        sky = sky_fractions(densities, mix, radius_arcmin=config.search.match_radius_arcmin)
    except InputError as error:
        say(f"purity is that of the data set's mix, not of the sky's: {error}")
        return None
    return np.array([sky[name] / mix[name] for name in types])


def purity_tables(
    predictions: Table, runs: Sequence[Scored], config: ExperimentConfig, common: Mapping[str, str]
) -> tuple[Table, Table]:
    """(a row an observer, a row a pair) of runs on the cutouts of ``predictions``, with its classical observers.

    Errors are over draws of the test set; of ensembles there are the members' mean and standard deviation too.
    ``common`` are columns that all rows have.
    """
    label, weight = np.asarray(predictions["label"]), sky_weights(predictions, config)
    classical = [name for name in CLASSICAL if name in predictions.colnames]
    observers = [*runs, *(Scored(CLASSICAL[name], np.asarray(predictions[name], float)) for name in classical)]
    rows = []
    for one in observers:
        values = purity_at_completeness(label, one.score, weight=weight)
        errors = purity_errors(label, one.score, weight=weight)
        row = {"observer": one.name}
        for level, value, error in zip(COMPLETENESS, values, errors, strict=True):
            row |= {f"purity_at_{level:g}": value, f"purity_at_{level:g}_error": error}
        if one.members is not None:
            of_members = np.array([purity_at_completeness(label, each, weight=weight) for each in one.members])
            for level, column in zip(COMPLETENESS, of_members.T, strict=True):
                row |= {f"member_at_{level:g}": column.mean(), f"member_at_{level:g}_std": column.std(ddof=1)}
        rows.append(row | {"mix": "data set" if weight is None else "sky"} | common)
    pairs = [
        {"observer": one.name, "less": other.name, "completeness": level, **difference._asdict(), **common}
        for one, other in itertools.combinations(observers, 2)
        if one in runs or other in runs
        for level, difference in zip(
            COMPLETENESS, purity_differences(label, one.score, other.score, weight=weight), strict=True
        )
    ]
    return _table(rows), _table(pairs)


def _table(rows: Sequence[Mapping]) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return Table({name: [row.get(name, np.nan) for row in rows] for name in names})
