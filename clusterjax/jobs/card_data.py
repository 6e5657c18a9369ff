"""What a model card says of a run's data, and its figures."""

import dataclasses

import numpy as np
from astropy.table import Table

from clusterjax.config import ExperimentConfig
from clusterjax.data.sources import open_source
from clusterjax.evaluation.breakdown import confusion_by_object_type, recall_in_bins
from clusterjax.evaluation.multiclass import per_class_table
from clusterjax.experiment import DatasetFacts
from clusterjax.jobs.provenance import fingerprint
from clusterjax.report.contents import Predictions
from clusterjax.report.model_card import CardSection, CardTable

_MOST_READ = 2000  # training examples that are read, evenly spaced
RANGED = {"redshift": ("redshift", 1.0), "m500c_msun": ("M500c / 10¹⁴ M☉", 1e14)}
_LEAST_TO_BIN = 20
_HEADLINE = (
    "observer", "accuracy", "accuracy_error", "auc", "auc_error", "macro_auc", "precision", "recall", "fpr",
    "recall_high_redshift", "recall_high_redshift_error",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Run:
    """What a card is made from; ``train`` holds columns of evenly spaced training examples."""

    config: ExperimentConfig
    builder: object
    facts: DatasetFacts
    metrics: dict
    predictions: Predictions
    headline: Table
    train: dict[str, np.ndarray]
    provenance: list[dict]

    @property
    def positive(self) -> str:
        return self.facts.class_names[1] if self.predictions.is_binary else "each class"

    @property
    def is_sky(self) -> bool:
        return (self.builder.info.metadata or {}).get("input_kind") == "sky"


def training_columns(builder) -> dict[str, np.ndarray]:
    """label, and what is known of type, redshift and mass, of up to 2000 examples."""
    source = open_source(builder, "train")
    rows = [source[int(i)] for i in np.unique(np.linspace(0, len(source) - 1, min(len(source), _MOST_READ)).round())]
    return {
        name: np.array([row[name] for row in rows]) for name in rows[0] if name in ("label", "object_type", *RANGED)
    }


def training_data(run: Run) -> CardSection:
    info, config = run.builder.info, run.config
    counts = ", ".join(f"{split.num_examples:,} {name}" for name, split in info.splits.items())
    simulated = config.sky is not None
    tables = []
    kind = "object_type" if "object_type" in run.train else "label"
    types, number = np.unique(run.train[kind], return_counts=True)
    shares = Table({"type": np.asarray(info.features[kind].names)[types], "fraction": number / number.sum()})
    tables.append(CardTable("What the training split is made of.", shares))
    ranges = [{"what": name, **_range(values / scale)} for column, (name, scale) in RANGED.items()
              if (values := positive_values(run.train, column)) is not None]  # fmt: skip
    if ranges:
        tables.append(CardTable(f"What training saw of the class {run.positive}.", Table(ranges)))
    statistics = run.facts.preprocess.statistics
    unit = f", in {run.facts.units}" if run.facts.units else ""
    bands = Table({"band": statistics.bands, "location": statistics.location, "scale": statistics.scale})
    tables.append(CardTable(f"Pixels of the training split: median and robust sigma{unit}.", bands))
    return CardSection(
        "Training data",
        f"{info.full_name}, fingerprint {fingerprint(run.builder.data_dir)}: {counts}. "
        + ("Simulated; the formulas are those of clusterjax.simulation, the settings below. " if simulated else "")
        + ("Splits share no block of sky." if run.is_sky else "Splits share no image."),
        tables=tables,
    )


def positive_values(columns: dict[str, np.ndarray], name: str) -> np.ndarray | None:
    if name not in columns:
        return None
    values = np.asarray(columns[name], float)
    values = values[(columns["label"] == 1) & np.isfinite(values) & (values > 0)]
    return values if len(values) else None


def _range(values: np.ndarray) -> dict[str, float]:
    quantiles = np.quantile(values, [0, 0.05, 0.5, 0.95, 1])
    return dict(zip(("least", "5 %", "median", "95 %", "largest"), quantiles.tolist(), strict=True))


def evaluation_data(run: Run) -> CardSection:
    test = run.metrics["test"]
    held_out = [name for name in run.builder.info.splits if name.startswith("test_")]
    also = f" Catalogues that were held out: {', '.join(held_out)}." if held_out else ""
    threshold = " and the classical observer's threshold" if run.predictions.classical else ""
    return CardSection(
        "Evaluation data",
        f"{test['num']:,} cutouts of the test split of the same data set, which no training step has seen; the "
        f"validation split chose the checkpoint, and fitted the calibration{threshold}.{also}",
    )


def analyses(run: Run) -> CardSection:
    columns = [name for name in _HEADLINE if name in run.headline.colnames]
    measured = run.headline[np.asarray(run.headline["kind"]) == "measured"]
    tables = [CardTable("The test split.", measured, columns)]
    predictions = run.predictions
    if predictions.is_binary:
        label, score = predictions.label, predictions.probabilities[:, 1]
        if "object_type" in predictions.table.colnames:
            types = np.asarray(predictions.table["object_type"]).astype(str)
            columns = ("object_type", "num", "fraction_called_positive", "fraction_low", "fraction_high")
            table = confusion_by_object_type(types, label, score, threshold=predictions.threshold)
            tables.append(CardTable(f"The fraction of each type that is called {run.positive}.", table, columns))
        for name, (words, scale) in RANGED.items():
            values = predictions.column(name)
            if values is not None and np.sum((label == 1) & np.isfinite(values)) >= _LEAST_TO_BIN:
                table = recall_in_bins(values / scale, label, score, threshold=predictions.threshold, num_quantiles=5)
                table.remove_columns(["median", "num_recovered"])
                tables.append(CardTable(f"Recall in bins of {words}.", table))
    else:
        table = per_class_table(predictions.label, predictions.probabilities, run.facts.class_names)
        tables.append(CardTable("Each class against the rest; intervals are 1σ.", table))
    if predictions.calibration is not None:
        tables.append(CardTable("Calibrations, on the test split.", predictions.calibration))
    return CardSection("Quantitative analyses", "Figures and curves are in index.html beside this card.", tables=tables)
