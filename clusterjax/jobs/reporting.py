"""The job report: what the other jobs left in the workdir, as one page."""

import dataclasses
import datetime
import json
import pathlib
import platform

import jax
import numpy as np
from astropy.table import Table

from clusterjax import __version__
from clusterjax.config import ExperimentConfig, from_json
from clusterjax.data.sources import Source, open_source
from clusterjax.errors import InputError
from clusterjax.evaluation.headline import PUBLISHED
from clusterjax.experiment import make_builder
from clusterjax.jobs.scoring import CLASSICAL, classical_column
from clusterjax.jobs.searching import COMPLETE_ABOVE_MSUN
from clusterjax.jobs.session import Session
from clusterjax.report.console import headline_text, paths_text
from clusterjax.report.contents import Gallery, LrRange, Predictions, Report, Survey
from clusterjax.report.galleries import choose_examples, make_gallery
from clusterjax.report.html import write_report
from clusterjax.sky.catalogues import read_table
from clusterjax.sky.fits import read_probability_map
from clusterjax.sky.open_map import open_map
from clusterjax.training.writer import read_metrics


def report(session: Session) -> None:
    """Write report/index.html from what there is; end the console with the headline table and the paths."""
    workdir = session.workdir
    made = _report_of(workdir, session.config)
    index = write_report(workdir / "report", made)
    if made.headline is not None:
        print("\n" + headline_text(made.headline), flush=True)
    paths = {
        "report": index,
        "scores of the test split": workdir / "evaluation" / "predictions_test.fits",
        "probability map": workdir / "scan" / "score.fits",
        "candidates": workdir / "scan" / "candidates.fits",
        "checkpoints": workdir / "checkpoints",
    }
    print("\n" + paths_text({name: path for name, path in paths.items() if path.exists()}), flush=True)


def _report_of(workdir: pathlib.Path, config: ExperimentConfig) -> Report:
    run_config = from_json((workdir / "config.json").read_text()) if (workdir / "config.json").exists() else config
    history = read_metrics(workdir)
    metrics = _read_json(workdir / "evaluation" / "metrics.json")
    if not history and metrics is None and not (workdir / "scan" / "summary.json").exists():
        raise InputError(f"nothing to report in {workdir}; run --job=train, evaluate or scan first")
    predictions, galleries = _scores(workdir, run_config, metrics)
    headline = workdir / "evaluation" / "headline.ecsv"
    return Report(
        title=run_config.name,
        subtitle=f"{run_config.model.name} on {run_config.data.builder}",
        provenance=_provenance(run_config, metrics),
        headline=read_table(headline) if headline.exists() else None,
        metrics=metrics and {name: figures for name, figures in metrics.items() if name != "made_from"},
        history=history,
        lr_range=_lr_range(workdir),
        predictions=predictions,
        galleries=galleries,
        natural_colour=run_config.data.builder in ("labelled_images", "xray_optical_cutouts"),
        survey=_survey(workdir, config),
    )


def _read_json(path: pathlib.Path) -> dict | None:
    return json.loads(path.read_text()) if path.exists() else None


def _optional_table(path: pathlib.Path) -> Table | None:
    return read_table(path) if path.exists() else None


def _lr_range(workdir: pathlib.Path) -> LrRange | None:
    values = _read_json(workdir / "lr_range" / "lr_range.json")
    if values is None:
        return None
    return LrRange(**{name: value for name, value in values.items() if name != "made_from"})


def _scores(workdir, config, metrics) -> tuple[Predictions | None, list[Gallery]]:
    path = workdir / "evaluation" / "predictions_test.fits"
    if metrics is None or not path.exists():
        return None, []
    builder = make_builder(config)
    table = read_table(path)
    column = classical_column(table)
    predictions = Predictions(
        table=table,
        class_names=tuple(builder.info.features["label"].names),
        network_name=config.model.name,
        classical=column,
        classical_name=CLASSICAL.get(column, ""),
        classical_threshold=metrics[column]["threshold"] if column else 0.5,
        ceiling=PUBLISHED.get(column),
        calibration=_optional_table(path.with_name("calibration.fits")),
        prior=_optional_table(path.with_name("prior.fits")),
    )
    source = open_source(builder, "test")
    return predictions, [
        make_gallery(predictions, group, rows, _images(source, table, rows))
        for group, rows in choose_examples(predictions).items()
        if len(rows)
    ]


def _images(source: Source, table: Table, rows: np.ndarray) -> np.ndarray:
    return np.stack([source[int(table["index"][row])]["image"] for row in rows])


def _survey(workdir: pathlib.Path, config: ExperimentConfig) -> Survey | None:
    folder = workdir / "scan"
    summary = _read_json(folder / "summary.json")
    if summary is None:
        return None
    made_from = summary.pop("made_from")
    search = made_from["search"]

    images = search["images"] or [folder / "simulated_map.fits"]
    boost = search["cluster_boost"]
    description = (
        "A real map: " + ", ".join(search["images"])
        if search["images"]
        else "A fresh simulated map, of sky that no cutout was drawn from. Haloes above 1.2e14 solar masses are "
        f"{boost:g} times as dense as on the real sky, so that completeness can be measured; the false candidates "
        "per square degree are those of a true field, purity is not."
    )
    return Survey(
        probability_map=read_probability_map(folder / "score.fits"),
        detections=read_table(folder / "candidates.fits"),
        sky_map=open_map(images),
        sources=_optional_table(folder / "sources.fits"),
        summary=summary,
        completeness_curve=_optional_table(folder / "completeness_curve.fits"),
        classical_curve=_optional_table(folder / "completeness_curve_classical.fits"),
        completeness_by_mass=_optional_table(folder / "completeness_by_mass.fits"),
        threshold=search["threshold"],
        complete_for=f"M500c above {COMPLETE_ABOVE_MSUN:.0e} solar masses",
        target=None if search["images"] else (1.0, 0.8),
        description=description,
        verdicts=("known", "new") if search["images"] else ("true", "false"),
    )


def _provenance(config: ExperimentConfig, metrics: dict | None) -> dict:
    return {
        "software": {
            "clusterjax": __version__,
            "jax": jax.__version__,
            "python": platform.python_version(),
            "devices": f"{jax.device_count()} {jax.devices()[0].device_kind}",
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        },
        "made from": (metrics or {}).get("made_from", {}),
        "config": dataclasses.asdict(config),
    }
