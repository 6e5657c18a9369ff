"""The job compare: one table and one page over finished runs, whatever their models and data sets."""

import dataclasses
import itertools
import pathlib
from collections.abc import Sequence

import numpy as np
from astropy.table import Table, vstack

from clusterjax.config import ExperimentConfig
from clusterjax.errors import InputError
from clusterjax.evaluation.breakdown import recall_in_bins
from clusterjax.evaluation.paired import accuracy_difference, paired_auc
from clusterjax.evaluation.published import PUBLISHED_ACCURACY, WARNING
from clusterjax.jobs.comparing_purity import purity_tables, scored
from clusterjax.jobs.session import open_workdir, read_config, read_json, say
from clusterjax.report.contents import Comparison, LrRange, Report
from clusterjax.report.html import write_report
from clusterjax.report.plots_learning import plot_lr_ranges
from clusterjax.report.theme import to_png
from clusterjax.sky.catalogues import read_table, write_table
from clusterjax.writing import write_bytes

_LEAST_TO_BIN = 20  # clusters with a redshift


@dataclasses.dataclass(frozen=True)
class _Run:
    name: str
    config: ExperimentConfig
    data: str  # the data set's full name
    figures: dict[str, float]  # of the test split
    predictions: Table
    evaluation: pathlib.Path  # the folder

    @property
    def is_binary(self) -> bool:
        return "score" in self.predictions.colnames

    @property
    def right(self) -> np.ndarray:
        """Whether each test cutout was called what it is."""
        label = np.asarray(self.predictions["label"])
        if self.is_binary:
            return (np.asarray(self.predictions["score"]) >= 0.5) == label.astype(bool)
        scores = [self.predictions[name] for name in self.predictions.colnames if name.startswith("score_")]
        return np.argmax(np.stack(scores, axis=1), axis=1) == label


def compare(folders: Sequence[pathlib.Path], workdir: pathlib.Path) -> None:
    """Write comparison.ecsv, differences.ecsv and report/index.html of the runs in ``folders`` into ``workdir``.

    Raises InputError with fewer than two runs that were evaluated.
    """
    runs = [run for folder in folders if (run := _read_run(folder)) is not None]
    if len(runs) < 2:
        raise InputError(
            f"{len(runs)} of {len(folders)} folders hold an evaluated run; --job=compare needs two or more, "
            "as in --job=compare runs/alexnet_ir runs/baseline_ir"
        )
    open_workdir(workdir)
    if len({run.name for run in runs}) < len(runs):
        raise InputError(f"two runs are both called {_repeated(runs)}; rename a folder")
    runs.sort(key=lambda run: (run.data, -run.figures["accuracy"]))
    table, differences = _figures(runs), _differences(runs)
    purity = _purity(runs)
    write_table(workdir / "comparison", table)
    if len(differences):
        write_table(workdir / "differences", differences)
    for name, each in zip(("purity", "purity_differences"), purity, strict=True):
        if len(each):
            write_table(workdir / name, each)
    page = write_report(
        workdir / "report",
        Report(
            title=f"{len(runs)} runs compared",
            subtitle=f"{len({run.data for run in runs})} data sets, {len({r.config.model.name for r in runs})} models",
            comparison=Comparison(table, differences, _recalls(runs), *purity),
            warnings=[WARNING] if np.isfinite(table["published_accuracy"]).any() else [],
        ),
    )
    shown = table["run", "model", "accuracy", "auc", "published_accuracy"]
    for name in shown.colnames[2:]:
        shown[name].format = ".4f"
    print("\n".join(shown.pformat(max_lines=-1)), flush=True)
    say(f"comparison: {page}")


def show_learning_rates(folders: Sequence[pathlib.Path], workdir: pathlib.Path) -> None:
    """The LR range tests that lie in ``folders``: lr_range.ecsv, a row a run, and lr_range.png, a panel a run."""
    results = {}
    for folder in folders:
        path = folder / "lr_range" / "lr_range.json"
        if path.exists():
            values = read_json(path)
            results[folder.name] = LrRange(**{name: value for name, value in values.items() if name != "made_from"})
    if not results:
        return
    rates = [np.nan if result.suggestion is None else result.suggestion for result in results.values()]
    reasons = [result.reason for result in results.values()]
    write_table(workdir / "lr_range", Table({"run": list(results), "learning_rate": rates, "reason": reasons}))
    write_bytes(workdir / "lr_range.png", to_png(plot_lr_ranges(results)))
    say(f"learning rates of {len(results)} runs: {workdir / 'lr_range.png'}")


def _read_run(folder: pathlib.Path) -> _Run | None:
    evaluation = folder / "evaluation"
    needed = (folder / "config.json", evaluation / "metrics.json", evaluation / "predictions_test.fits")
    missing = [path for path in needed if not path.exists()]
    if missing:
        say(f"{folder} is left out: it has no {missing[0].relative_to(folder)}")
        return None
    config, metrics = read_config(needed[0]), read_json(needed[1])
    figures = dict(metrics["test"])
    if (evaluation / "calibration.fits").exists():
        used = [row for row in read_table(evaluation / "calibration.fits") if row["used"]]
        figures |= {name: float(row[name]) for row in used for name in ("ece", "ece_error")}
    if (evaluation / "members.fits").exists():
        members = {str(row["member"]): row for row in read_table(evaluation / "members.fits")}
        figures["num_members"] = len(members) - 3  # mean, std and ensemble
        for name in ("accuracy", "auc"):
            column = name if name in members["mean"].colnames else f"macro_{name}"
            figures |= {f"member_{name}": members["mean"][column], f"member_{name}_std": members["std"][column]}
    return _Run(folder.name, config, metrics["made_from"]["data"], figures, read_table(needed[2]), evaluation)


def _repeated(runs: Sequence[_Run]) -> str:
    names = [run.name for run in runs]
    return next(name for name in names if names.count(name) > 1)


def _figures(runs: Sequence[_Run]) -> Table:
    """A row a run: its figures on its own test split, nan for what does not apply, and the published accuracy."""
    names = ("accuracy", "accuracy_error", "auc", "auc_error", "precision", "recall", "f1", "fpr", "loss", "ece")
    table = Table(
        {
            "run": [run.name for run in runs],
            "model": [run.config.model.name for run in runs],
            "num_test": [len(run.predictions) for run in runs],
        }
    )
    for name in names:
        table[name] = [float(run.figures.get(name, run.figures.get(f"macro_{name}", np.nan))) for run in runs]
    if any("num_members" in run.figures for run in runs):
        table["num_members"] = [int(run.figures.get("num_members", 1)) for run in runs]
        for name in ("member_accuracy", "member_accuracy_std", "member_auc", "member_auc_std"):
            alone = name.removeprefix("member_")
            table[name] = [float(run.figures.get(name, run.figures.get(alone, np.nan))) for run in runs]
    table["published_accuracy"] = [
        PUBLISHED_ACCURACY.get((run.config.data.builder, run.config.model.name), np.nan) for run in runs
    ]
    table["data_set"] = [run.data for run in runs]
    return table


def _differences(runs: Sequence[_Run]) -> Table:
    """Of every two runs on the same test cutouts: the better one's accuracy and AUC less the other's."""
    rows = []
    for run, other in itertools.combinations(runs, 2):
        if not _same_cutouts(run, other):
            continue
        row = {"run": run.name, "less": other.name}
        row |= {
            f"accuracy_{name}": value for name, value in accuracy_difference(run.right, other.right)._asdict().items()
        }
        if run.is_binary:
            label = np.asarray(run.predictions["label"])
            scores = (np.asarray(each.predictions["score"], float) for each in (run, other))
            row |= {f"auc_{name}": value for name, value in paired_auc(label, *scores)._asdict().items()}
        rows.append(row | {"data_set": run.data})
    names = list(dict.fromkeys(name for row in rows for name in row))
    return Table({name: [row.get(name, np.nan) for row in rows] for name in names})


def _same_cutouts(run: _Run, other: _Run) -> bool:
    return (
        run.data == other.data
        and len(run.predictions) == len(other.predictions)
        and run.is_binary == other.is_binary
        and all(np.array_equal(run.predictions[name], other.predictions[name]) for name in ("object_id", "label"))
    )


def _purity(runs: Sequence[_Run]) -> tuple[Table, Table]:
    """Purity at equal completeness: of each observer, and differences of pairs, by groups of the same test cutouts."""
    groups: list[list[_Run]] = []
    for run in runs:
        if run.is_binary and "object_id" in run.predictions.colnames:
            group = next((each for each in groups if _same_cutouts(each[0], run)), None)
            if group is None:
                groups.append([run])
            else:
                group.append(run)
    tables = [
        purity_tables(
            group[0].predictions,
            [scored(run.name, run.predictions, run.evaluation) for run in group],
            group[0].config,
            {"data_set": group[0].data},
        )
        for group in groups
        if len(group) > 1
    ]
    if not tables:
        return Table(), Table()
    return tuple(vstack(list(parts), metadata_conflicts="silent") for parts in zip(*tables, strict=True))


def _recalls(runs: Sequence[_Run]) -> dict[str, dict[str, Table]]:
    """By data set and run: recall in bins of redshift, of the runs that have redshifts."""
    recalls: dict[str, dict[str, Table]] = {}
    for run in runs:
        if not run.is_binary or "redshift" not in run.predictions.colnames:
            continue
        redshift = np.ma.filled(np.ma.asarray(run.predictions["redshift"], dtype=float), np.nan)
        label, score = (np.asarray(run.predictions[name]) for name in ("label", "score"))
        redshift = np.where(redshift > 0, redshift, np.nan)
        known = int(np.isfinite(redshift[label == 1]).sum())
        if known >= _LEAST_TO_BIN:
            table = recall_in_bins(redshift, label, score, num_quantiles=min(10, known // 10))
            recalls.setdefault(run.data, {})[run.name] = table
    return recalls
