"""From the scores of the validation split to probabilities: in the tables of predictions, in maps, of candidates."""

import pathlib

import numpy as np
from astropy.table import Table

from clusterjax.config import ExperimentConfig
from clusterjax.evaluation.calibration import METHODS, Calibration, fit_calibration
from clusterjax.evaluation.prior_shift import fit_for_sky, sky_fractions, type_fractions
from clusterjax.evaluation.reliability import calibration_figures
from clusterjax.jobs.session import read_json, say, write_json
from clusterjax.sky.catalogues import write_table

FILE = "calibration.json"


def column_names(kind: str, class_names) -> list[str]:
    """Of the columns ``kind`` (score or probability): one for two classes, that of the second; else one a class."""
    return [kind] if len(class_names) == 2 else [f"{kind}_{name}" for name in class_names]


def scores_of(table: Table, class_names, kind: str = "score") -> np.ndarray:
    """(example, class) scores or probabilities of a predictions table."""
    columns = [np.asarray(table[name]) for name in column_names(kind, class_names)]
    return np.stack([1 - columns[0], columns[0]] if len(class_names) == 2 else columns, axis=1)


def calibrate(config: ExperimentConfig, tables: dict[str, Table], class_names, folder, made_from: dict) -> None:
    """Fit all methods to the validation split, judge them on the test split: calibration.json and calibration.ecsv.

    ``tables`` of predictions by split get the columns probability (or probability_<class>) of the method that the
    config asks for, in the data set's mix of objects.
    """
    wanted = config.evaluation.calibration
    validation, test = tables["validation"], tables["test"]
    label, scores = np.asarray(validation["label"]), scores_of(validation, class_names)
    fitted = {method: fit_calibration(method, label, scores) for method in METHODS}
    test_label, test_scores = np.asarray(test["label"]), scores_of(test, class_names)
    rows = [{"calibration": "none", **calibration_figures(test_label, test_scores)}]
    rows += [
        {"calibration": method, **calibration_figures(test_label, calibration(test_scores))}
        for method, calibration in fitted.items()
    ]
    table = Table(rows)
    table["used"] = [row["calibration"] == wanted for row in rows]
    write_table(folder / "calibration", table)
    for suffix in (".fits", ".ecsv"):
        (folder / f"prior{suffix}").unlink(missing_ok=True)  # of an earlier evaluation
    for_maps = None
    if wanted != "none":
        for split_table in tables.values():
            probabilities = fitted[wanted](scores_of(split_table, class_names))
            columns = probabilities[:, 1:] if len(class_names) == 2 else probabilities
            for name, column in zip(column_names("probability", class_names), columns.T, strict=True):
                split_table[name] = column.astype(np.float32)
        for_maps = _fit_for_maps(config, validation, class_names, folder)
    values = {"made_from": made_from, "for_maps": for_maps and for_maps.to_dict()}
    if wanted != "none":
        values["calibration"] = fitted[wanted].to_dict()
    write_json(folder / FILE, values)


def _fit_for_maps(config: ExperimentConfig, validation: Table, class_names, folder) -> Calibration | None:
    """Of the class that a scan looks for against all others: in the mix that the config gives, written to prior.ecsv
    and prior.fits, else in that of the data set. None where the network has no such class."""
    if config.search.positive_class not in class_names:
        return None
    method, densities = config.evaluation.calibration, config.evaluation.sky_density_per_deg2
    label = np.asarray(validation["label"])
    positive = class_names.index(config.search.positive_class)
    score = scores_of(validation, class_names)[:, positive]
    scores = np.stack([1 - score, score], axis=1)
    if not densities:
        return fit_calibration(method, label == positive, scores)
    if "object_type" in validation.colnames:
        types = np.asarray(validation["object_type"]).astype(str)
    else:
        types = np.asarray(class_names)[label]
    mix = type_fractions(types)
    sky = sky_fractions(densities, mix, radius_arcmin=config.search.match_radius_arcmin)
    prior = Table(
        {
            "object_type": list(mix),
            "density_per_deg2": [float(densities.get(name, np.nan)) for name in mix],
            "fraction_of_data_set": list(mix.values()),
            "fraction_of_windows": [sky[name] for name in mix],
        }
    )
    write_table(folder / "prior", prior)
    return fit_for_sky(method, label == positive, scores, types, sky)


def find_calibration(workdir: pathlib.Path, config: ExperimentConfig, source: str) -> Calibration | None:
    """For maps: of the evaluation of the checkpoint ``source``, in ``workdir`` or in that which it came from; or what a
    packed network brings along.

    None, said on the console, where there was no such evaluation.
    """
    if config.evaluation.calibration == "none":
        return None
    own = pathlib.Path(source).parent.parent  # may have been moved since
    for path, is_same in (
        (workdir / "evaluation" / FILE, lambda checkpoint: checkpoint == source),
        (own / "evaluation" / FILE, lambda checkpoint: pathlib.Path(checkpoint).name == pathlib.Path(source).name),
        (pathlib.Path(source) / FILE, lambda _: True),
    ):
        if path.exists():
            values = read_json(path)
            made_from = values["made_from"]
            if is_same(made_from["checkpoint"]) and made_from["calibration"] == calibration_inputs(config):
                return values["for_maps"] and Calibration.from_dict(values["for_maps"])
    say("no calibration for this checkpoint and config, so no probabilities: run --job=evaluate first")
    return None


def calibration_inputs(config: ExperimentConfig) -> dict:
    """What of the config the calibration depends on."""
    radius = config.search.match_radius_arcmin if config.evaluation.sky_density_per_deg2 else None
    return {
        "positive_class": config.search.positive_class,
        "method": config.evaluation.calibration,
        "sky_density_per_deg2": dict(config.evaluation.sky_density_per_deg2),
        "radius_arcmin": radius,
    }
