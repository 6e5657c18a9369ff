"""The job fuse: two or more finished runs on the same cutouts made one, from their scores alone."""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np
from astropy.table import Table

from clusterjax.config import ModelConfig, to_json
from clusterjax.errors import InputError
from clusterjax.evaluation.fusion import METHODS, Stacking, fuse_scores
from clusterjax.jobs.scoring import SPLITS, SPREAD, make_headline, show_members, split_metrics
from clusterjax.jobs.session import open_workdir, read_config, read_json, say, write_json
from clusterjax.report.console import headline_text
from clusterjax.sky.catalogues import read_table, write_table
from clusterjax.writing import replacing, write_text

_OF_ONE_RUN = ("score", "probability", SPREAD)  # columns that the fusion has its own of, or none


def fuse(folders: Sequence[pathlib.Path], workdir: pathlib.Path) -> list[pathlib.Path]:
    """Write a run for each way of fusion, ``workdir``/stacked and ``workdir``/product_of_odds, as the job evaluate
    does; returns their folders, to be compared with the runs.

    The stacking is fitted on the validation split. Where all runs are ensembles of as many networks, the first of each
    are fused, the second of each, and so on. FOLDER:COLUMN is another column of a run's predictions, such as
    runs/infrared:matched_filter. Raises InputError for runs that are not of the same cutouts.
    """
    if len(folders) < 2:
        raise InputError("--job=fuse needs two or more evaluated runs, as in --job=fuse runs/infrared runs/microwave")
    columns = [_column_of(folder) for folder in folders]
    folders = [folder.with_name(folder.name.partition(":")[0]) for folder in folders]
    tables = {split: _read_alike(folders, columns, split) for split in SPLITS}
    members = {split: _member_scores(folders, columns, tables[split], split) for split in SPLITS}
    open_workdir(workdir)
    names = [
        read_config(folder / "config.json").model.name if column == "score" else column
        for folder, column in zip(folders, columns, strict=True)
    ]
    return [_write(folders, names, workdir / method, method, tables, members) for method in METHODS]


def _column_of(folder: pathlib.Path) -> str:
    return folder.name.partition(":")[2] or "score"


def _read_alike(folders: Sequence[pathlib.Path], columns: Sequence[str], split: str) -> list[Table]:
    """Predictions of the same cutouts, of all runs."""
    tables = []
    for folder in folders:
        path = folder / "evaluation" / f"predictions_{split}.fits"
        if not path.exists():
            raise InputError(f"{folder} has no evaluation/predictions_{split}.fits; run --job=evaluate there first")
        tables.append(read_table(path))
    first = tables[0]
    for folder, column, table in zip(folders, columns, tables, strict=True):
        if "score" not in table.colnames:
            raise InputError(f"{folder} has more than two classes; scores of two are fused")
        if column not in table.colnames:
            raise InputError(f"the predictions of {folder} have no column {column!r}; they have {table.colnames}")
        if "object_id" not in first.colnames or len(table) != len(first) or any(
            not np.array_equal(table[name], first[name]) for name in ("object_id", "label")
        ):  # fmt: skip
            raise InputError(f"{folder} and {folders[0]} are not of the same {split} cutouts; evaluate on one data set")
    return tables


def _member_scores(
    folders: Sequence[pathlib.Path], columns: Sequence[str], tables: list[Table], split: str
) -> np.ndarray:
    """Scores (run, member, example): of one member where the runs are not ensembles of as many."""
    found = []
    for folder, column in zip(folders, columns, strict=True):
        path = folder / "evaluation" / f"members_{split}.fits"
        table = read_table(path) if column == "score" and path.exists() else Table()
        names = [name for name in table.colnames if name.startswith("score_")]
        found.append([np.asarray(table[name], float) for name in names])
    if len({len(scores) for scores in found}) > 1 or not found[0]:
        alone = [np.asarray(table[column], float)[None] for column, table in zip(columns, tables, strict=True)]
        return np.stack(alone)
    return np.array(found)


def _write(folders, names, folder: pathlib.Path, method: str, tables: dict, members: dict) -> pathlib.Path:
    positive = np.asarray(tables["validation"][0]["label"]) == 1
    fused: dict[str, list[np.ndarray]] = {split: [] for split in SPLITS}
    used: list[Stacking] = []
    for number in range(members["test"].shape[1]):
        validation = members["validation"][:, number].T
        for split in SPLITS:
            scores, how = fuse_scores(method, members[split][:, number].T, validation, positive)
            fused[split].append(scores.astype(np.float32))
        used.append(how)
    evaluation = folder / "evaluation"
    evaluation.mkdir(parents=True, exist_ok=True)
    predictions, losses = {}, {}
    for split in SPLITS:
        table = Table(tables[split][0], copy=True)
        table.remove_columns([name for name in _OF_ONE_RUN if name in table.colnames])
        score = np.mean(fused[split], axis=0)
        table["score"] = score
        if len(used) > 1:
            table[SPREAD] = np.std(fused[split], axis=0, ddof=1)
        predictions[split] = table
        right = np.where(np.asarray(table["label"]) == 1, score, 1 - score)
        losses[split] = {"loss": float(-np.mean(np.log(np.maximum(right, 1e-30))))}
        write_table(evaluation / f"predictions_{split}", table)
    classes = ("other", "cluster")
    metrics = split_metrics(predictions, losses, classes)
    headline = make_headline(predictions["test"], metrics, method.replace("_", " "), classes)
    if len(used) > 1:
        stacked = {split: np.stack([1 - np.array(fused[split]).T, np.array(fused[split]).T], -1) for split in SPLITS}
        headline = show_members(evaluation, predictions, stacked, headline, classes)
    with replacing(evaluation / "headline.ecsv") as partial:
        headline.write(partial, format="ascii.ecsv", overwrite=True)
    config = read_config(folders[0] / "config.json")
    config = dataclasses.replace(config, name=folder.name, model=ModelConfig(f"{method}({', '.join(names)})"))
    write_text(folder / "config.json", to_json(config))
    made_from = read_json(folders[0] / "evaluation" / "metrics.json")["made_from"]
    fusion = {"runs": [str(each) for each in folders], "observers": list(names), "method": method}
    fusion["slopes"] = [how.slopes.tolist() for how in used]
    fusion["intercepts"] = [how.intercept for how in used]
    write_json(evaluation / "metrics.json", {"made_from": {"data": made_from["data"], **fusion}, **metrics})
    print(headline_text(headline), flush=True)
    say(f"{method}: {folder}")
    return folder
