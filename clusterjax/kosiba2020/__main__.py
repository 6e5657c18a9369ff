"""Every setup of Kosiba et al. (2020), seed after seed, on the simulated data; then their tables beside ours.

    python -m clusterjax.kosiba2020 --workdir=runs/kosiba2020 [--seeds=10] [--smoke]

For a GPU: a seed of the custom network takes 153 000 steps. Stopped, the same command goes on where it was. With
``--smoke`` every room is gone through once in minutes; its figures mean nothing.
"""

import argparse
import functools
import pathlib
import signal
import sys

import numpy as np

from clusterjax.errors import InputError
from clusterjax.jobs import run
from clusterjax.jobs.session import open_workdir, say
from clusterjax.kosiba2020.setups import BINARY, FIVE_CLASSES, Setup
from clusterjax.kosiba2020.tables import (
    binary_figures,
    data_format_curves,
    five_class_figures,
    read_predictions,
    setup_table,
    votes_table,
)
from clusterjax.report.blocks import FigureBlock, Section, TableBlock
from clusterjax.report.contents import Report
from clusterjax.report.html import write_report
from clusterjax.report.plots_extent import plot_extent_plane
from clusterjax.report.plots_scores import plot_roc
from clusterjax.training.interruption import Interrupted

_WARNING = (
    "The published figures are of real candidates of X-CLASS (170 for testing), ours of simulated ones: to be looked "
    "at side by side, not compared."
)
_FORMATS = {"X-ray and optical": "cn_experts", "X-ray": "cn_xray", "optical": "cn_optical"}


def main(arguments: list[str] | None = None) -> None:
    """Raises :class:`InputError` for whatever the user can mend."""
    parser = argparse.ArgumentParser(prog="clusterjax.kosiba2020", description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("runs/kosiba2020"))
    parser.add_argument("--data_dir", default="runs/datasets")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args(arguments)
    if options.seeds < 1:
        raise InputError(f"--seeds={options.seeds} must be 1 or more")
    seeds = range(1 if options.smoke else options.seeds)
    open_workdir(options.workdir)
    train_all(options.workdir, seeds, data_dir=options.data_dir, smoke=options.smoke)
    page = write_tables(options.workdir, seeds)
    say(f"tables: {page}")


def train_all(workdir: pathlib.Path, seeds: range, *, data_dir: str, smoke: bool) -> None:
    """Train and evaluate what is not yet; a seed of every setup before the next seed."""
    setups = (*BINARY, *FIVE_CLASSES)
    for seed in seeds:
        for number, setup in enumerate(setups, start=1):
            say(f"seed {seed + 1} of {len(seeds)}, setup {number} of {len(setups)}: {setup.name}")
            config = setup.config(seed, data_dir=data_dir, smoke=smoke)
            for job in ("train", "evaluate"):
                run(job, config, workdir=run_folder(workdir, setup, seed))


def run_folder(workdir: pathlib.Path, setup: Setup, seed: int) -> pathlib.Path:
    return workdir / setup.folder / f"seed_{seed}"


def write_tables(workdir: pathlib.Path, seeds: range) -> pathlib.Path:
    """``workdir``/report/index.html with its tables and figures, from the runs of all setups."""
    binary = {setup: [binary_figures(run_folder(workdir, setup, seed)) for seed in seeds] for setup in BINARY}
    five = {setup: [five_class_figures(run_folder(workdir, setup, seed)) for seed in seeds] for setup in FIVE_CLASSES}
    curves, areas = data_format_curves({name: workdir / folder / "seed_0" for name, folder in _FORMATS.items()})
    test = read_predictions(workdir / _FORMATS["X-ray and optical"] / "seed_0")
    plane = functools.partial(
        plot_extent_plane,
        np.asarray(test["extent_arcsec"], float),
        np.asarray(test["extension_likelihood"], float),
        np.asarray(test["label"]).astype(bool),
        np.asarray(test["score"], float) >= 0.5,
    )
    blocks = [
        TableBlock("binary", setup_table(binary), "Cluster or not: mean and standard deviation over seeds."),
        TableBlock("five_classes", setup_table(five), "Five classes, each against the rest; means over the classes."),
        TableBlock("votes", votes_table(), "What volunteers decide: theirs on 404 objects, ours simulated."),
        FigureBlock(
            "roc_data_formats", functools.partial(plot_roc, curves, areas), "ROC curves by data format",
            "The custom network on both images and on either alone, first seed.",
        ),
        FigureBlock(
            "extent_plane", plane, "Extent and extension likelihood of clusters and others",
            "Where the custom network is right and wrong, beside XAmin's classes C1 and C2; first seed.",
        ),
    ]  # fmt: skip
    section = Section("kosiba2020", "Kosiba et al. (2020)", _WARNING, blocks)
    report = Report(
        title="Kosiba et al. (2020) on simulated data",
        subtitle=f"{len(BINARY) + len(FIVE_CLASSES)} setups, {len(seeds)} seed{'s' * (len(seeds) > 1)} each",
        sections=[section],
        warnings=[_WARNING],
    )
    return write_report(workdir / "report", report)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda signum, _frame: sys.exit(128 + signum))
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except (Interrupted, KeyboardInterrupt):
        print("\ninterrupted; the same command goes on from there", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
