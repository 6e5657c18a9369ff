"""The predictions of the test split, and the cutouts that a report shows of them."""

import pathlib

import numpy as np

from clusterjax.config import ExperimentConfig
from clusterjax.data.sources import Source
from clusterjax.errors import InputError
from clusterjax.evaluation.headline import PUBLISHED
from clusterjax.jobs.scoring import CLASSICAL, classical_column
from clusterjax.report.contents import Predictions
from clusterjax.sky.catalogues import read_table

_PLANE = ("redshift", "m500c_msun")  # where the config names no columns


def read_predictions(workdir: pathlib.Path, config: ExperimentConfig, metrics: dict, builder) -> Predictions:
    """What the job evaluate left in ``workdir``; ``metrics`` are its figures. InputError for a missing column."""
    path = workdir / "evaluation" / "predictions_test.fits"
    table = read_table(path)
    column = classical_column(table)
    calibration, prior = (path.with_name(name) for name in ("calibration.fits", "prior.fits"))
    return Predictions(
        table=table,
        class_names=tuple(builder.info.features["label"].names),
        network_name=config.model.name,
        classical=column,
        classical_name=CLASSICAL.get(column, ""),
        classical_threshold=metrics[column]["threshold"] if column else 0.5,
        ceiling=PUBLISHED.get(column),
        calibration=read_table(calibration) if calibration.exists() else None,
        prior=read_table(prior) if prior.exists() else None,
        plane=_plane(config, table.colnames),
    )


def _plane(config: ExperimentConfig, columns: list[str]) -> tuple[str, str] | None:
    wanted = config.explain.plane_columns
    if not wanted:
        return _PLANE if set(_PLANE) <= set(columns) else None
    for name in wanted:
        if name not in columns:
            raise InputError(
                f"config.explain.plane_columns has {name!r}; the predictions of this data set have {', '.join(columns)}"
            )
    return wanted


def read_images(source: Source, index: np.ndarray) -> np.ndarray:
    """(n, y, x, band) raw images of these places in the split."""
    return np.stack([source[int(i)]["image"] for i in index])
