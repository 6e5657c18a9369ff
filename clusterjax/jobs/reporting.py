"""The job report: what the other jobs left in the workdir, as one page."""

import dataclasses
import pathlib

import numpy as np
from astropy.table import Table

from clusterjax.config import ExperimentConfig, ExplainConfig
from clusterjax.data.sources import open_source
from clusterjax.errors import InputError
from clusterjax.experiment import MEMBERS, make_builder
from clusterjax.jobs.ceilings import leak_text
from clusterjax.jobs.cross_validation import FOLDER as CROSS_VALIDATION
from clusterjax.jobs.data_card import write_data_card
from clusterjax.jobs.examples import read_images, read_predictions
from clusterjax.jobs.explained import read_explained
from clusterjax.jobs.finders import FILTER, NETWORK
from clusterjax.jobs.injecting import FOLDER as INJECTIONS
from clusterjax.jobs.injecting import selection_path
from clusterjax.jobs.model_card import make_model_card
from clusterjax.jobs.provenance import describe_hardware, describe_software
from clusterjax.jobs.searching import COMPLETE_ABOVE_MSUN
from clusterjax.jobs.session import Session, read_config, read_json
from clusterjax.report.blocks import Section
from clusterjax.report.console import headline_text, paths_text
from clusterjax.report.contents import CrossValidation, LrRange, Report, Survey
from clusterjax.report.galleries import choose_examples, make_gallery
from clusterjax.report.html import write_report
from clusterjax.report.model_card import write_model_card
from clusterjax.report.selection import selection_section
from clusterjax.search.selection import SelectionFunction
from clusterjax.sky.catalogues import read_table
from clusterjax.sky.fits import read_probability_map
from clusterjax.sky.open_map import open_map
from clusterjax.training.writer import read_metrics


def report(session: Session) -> None:
    """Write report/index.html from what there is; end the console with the headline table and the paths."""
    workdir = session.workdir
    made = _report_of(workdir, session.config)
    index = write_report(workdir / "report", made)
    card = _write_card(workdir, session.config, made)
    data_card = workdir / "data_card" / "index.html"
    if card is not None and not data_card.exists():
        write_data_card(session, make_builder(_config_of_run(workdir, session.config)))
    if made.headline is not None:
        print("\n" + headline_text(made.headline), flush=True)
    paths = {
        "report": index,
        "model card": card,
        "data card": data_card,
        "scores of the test split": workdir / "evaluation" / "predictions_test.fits",
        "probability map": workdir / "scan" / "score.fits",
        "candidates": workdir / "scan" / "candidates.fits",
        "selection function": selection_path(workdir / INJECTIONS, NETWORK),
        "checkpoints": workdir / ("checkpoints" if (workdir / "checkpoints").exists() else MEMBERS),
    }
    print("\n" + paths_text({name: path for name, path in paths.items() if path and path.exists()}), flush=True)


def _report_of(workdir: pathlib.Path, config: ExperimentConfig) -> Report:
    run_config = _config_of_run(workdir, config)
    history = _history(workdir)
    metrics = read_json(workdir / "evaluation" / "metrics.json")
    made = (workdir / "scan" / "summary.json", workdir / CROSS_VALIDATION / "folds.fits")
    if not history and metrics is None and not any(path.exists() for path in made):
        raise InputError(f"nothing to report in {workdir}; run --job=train, evaluate or scan first")
    headline = workdir / "evaluation" / "headline.ecsv"
    return Report(
        title=run_config.name,
        subtitle=f"{run_config.model.name} on {run_config.data.builder}",
        provenance=_provenance(run_config, metrics),
        headline=read_table(headline) if headline.exists() else None,
        metrics=metrics and {name: figures for name, figures in metrics.items() if name != "made_from"},
        history=history,
        lr_range=_lr_range(workdir),
        natural_colour=run_config.data.builder in ("labelled_images", "xray_optical_cutouts"),
        survey=_survey(workdir, config),
        members=_optional_table(workdir / "evaluation" / "members.fits"),
        cross_validation=_cross_validation(workdir / CROSS_VALIDATION),
        warnings=leak_warnings(metrics),
        sections=_selection(workdir / INJECTIONS),
        **shown_scores(workdir, run_config, config.explain, metrics),
    )


def _history(workdir: pathlib.Path) -> list[dict]:
    """The rows of metrics.jsonl; of an ensemble the mean over the members that took the step."""
    folders = sorted((workdir / MEMBERS).glob("[0-9]*"))
    if not folders:
        return read_metrics(workdir)
    rows: dict[tuple, list[dict]] = {}
    for folder in folders:
        for row in read_metrics(folder):
            rows.setdefault((row["step"], row["split"]), []).append(row)
    return [
        {
            name: value if isinstance(value, str) else float(np.mean([row[name] for row in same]))
            for name, value in same[0].items()
        }
        for _, same in sorted(rows.items(), key=lambda item: item[0])
    ]


def _cross_validation(folder: pathlib.Path) -> CrossValidation | None:
    if not (folder / "folds.fits").exists():
        return None
    return CrossValidation(read_table(folder / "predictions.fits"), read_table(folder / "folds.fits"))


def leak_warnings(metrics: dict | None) -> list[str]:
    """What metrics.json says of a score above the bound, as a sentence for the reader."""
    ceilings = (metrics or {}).get("ceilings", {})
    if not ceilings.get("leak_suspected"):
        return []
    text = leak_text(ceilings)
    return [text[0].upper() + text[1:] + "."]


def _write_card(workdir: pathlib.Path, config: ExperimentConfig, made: Report) -> pathlib.Path | None:
    """None without an evaluation."""
    if made.predictions is None or made.headline is None:
        return None
    run_config = _config_of_run(workdir, config)
    metrics = read_json(workdir / "evaluation" / "metrics.json")
    builder = make_builder(run_config)
    return write_model_card(
        workdir / "report", make_model_card(workdir, run_config, builder, metrics, made.predictions, made.headline)
    )


def _config_of_run(workdir: pathlib.Path, config: ExperimentConfig) -> ExperimentConfig:
    path = workdir / "config.json"
    return read_config(path) if path.exists() else config


def _optional_table(path: pathlib.Path) -> Table | None:
    return read_table(path) if path.exists() else None


def _selection(folder: pathlib.Path) -> list[Section]:
    """Of the job inject, where it was done."""
    summary = read_json(folder / "summary.json")
    if summary is None:
        return []
    paths = {name: selection_path(folder, name) for name in (NETWORK, FILTER)}
    selections = {
        name.replace("_", " "): SelectionFunction.read(path) for name, path in paths.items() if name in summary
    }
    return [selection_section(selections, excluded_fraction=summary["excluded_fraction"])]


def _lr_range(workdir: pathlib.Path) -> LrRange | None:
    values = read_json(workdir / "lr_range" / "lr_range.json")
    if values is None:
        return None
    return LrRange(**{name: value for name, value in values.items() if name != "made_from"})


def shown_scores(workdir, config: ExperimentConfig, explain: ExplainConfig, metrics: dict | None) -> dict:
    """The report's predictions, galleries and explanations, of what there is."""
    if metrics is None or not (workdir / "evaluation" / "predictions_test.fits").exists():
        return {}
    builder = make_builder(config)
    predictions = read_predictions(workdir, dataclasses.replace(config, explain=explain), metrics, builder)
    explained = read_explained(workdir, metrics)
    places = np.asarray(predictions.table["index"])
    if explained is None:
        chosen = {group: places[rows] for group, rows in choose_examples(predictions, num=explain.num_cutouts).items()}
    else:
        chosen = explained.groups
    source = open_source(builder, "test")
    order = np.argsort(places)
    galleries = [
        make_gallery(
            predictions,
            group,
            order[np.searchsorted(places, index, sorter=order)],
            read_images(source, index),
            band_names=builder.info.metadata["band_statistics"]["bands"],
            saliency=None if explained is None else explained.saliency(group),
        )
        for group, index in chosen.items()
    ]
    return {
        "predictions": predictions,
        "galleries": galleries,
        "explanations": None if explained is None else explained.for_report(predictions),
    }


def _survey(workdir: pathlib.Path, config: ExperimentConfig) -> Survey | None:
    folder = workdir / "scan"
    summary = read_json(folder / "summary.json")
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
        "software": describe_software(),
        "hardware": describe_hardware(),
        "made from": (metrics or {}).get("made_from", {}),
        "config": dataclasses.asdict(config),
    }
