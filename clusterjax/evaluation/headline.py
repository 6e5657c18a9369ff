"""The headline table: the network, the classical observer, the published ceiling, and the distances."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from astropy.table import Table
from jaxtyping import Float, Num

from clusterjax.evaluation.binary import binary_metrics
from clusterjax.evaluation.curves import Labels, Valid, auc_difference
from clusterjax.evaluation.multiclass import Probabilities, called_class, multiclass_metrics
from clusterjax.evaluation.valid import keep_valid

RANDOM_SKY = "random sky"  # ``draws`` of a row that is of the clusters and the random sky among these draws alone
HIGH_REDSHIFT = 1.1  # the last bin of the published figures


@dataclasses.dataclass(frozen=True)
class Observer:
    """Something that scores cutouts: its name in the table, its scores, and the threshold that decides."""

    name: str
    score: Float[np.ndarray, " n"]
    threshold: float = 0.5


@dataclasses.dataclass(frozen=True)
class Ceiling:
    """What was reached, or can be reached, on other draws of the same task."""

    name: str
    figures: Mapping[str, float]  # column of the headline table -> value
    recall_by_redshift: Sequence[tuple[float, float, float]] = ()  # low, high, recall


# The published figures of the hard infrared mock: 64 px windows, 5 000 training cutouts, a small network.
# Between draws of the test set such figures move by 0.006 in accuracy and 0.003 in AUC.
INFRARED_HARD_MOCK = Ceiling(
    name="published, 5k cutouts",
    figures={"accuracy": 0.919, "auc": 0.973, "fpr": 0.087, "recall_high_redshift": 0.82},
    recall_by_redshift=(
        (0.1, 0.3, 0.86),
        (0.3, 0.5, 0.94),
        (0.5, 0.8, 0.95),
        (0.8, 1.1, 0.93),
        (1.1, 1.6, 0.82),
    ),
)

# By the classical observer that the same draws are scored with. The microwave figures that were published are of
# clusters against random sky alone: there the matched filter on the same draws is the ceiling.
PUBLISHED = {"aperture_count": INFRARED_HARD_MOCK}

_BINARY_COLUMNS = (
    "accuracy", "accuracy_error", "auc", "auc_error", "average_precision", "precision", "recall", "f1", "f2",
    "fpr", "recall_high_redshift", "recall_high_redshift_error",
)  # fmt: skip
_MULTICLASS_COLUMNS = (
    "accuracy",
    "accuracy_error",
    "macro_auc",
    "balanced_accuracy",
    "macro_precision",
    "macro_f1",
)


def _build_table(rows: list[dict], columns: Sequence[str]) -> Table:
    """Rows of dicts with observer, kind, draws and some of the columns; what a row lacks is nan."""
    table = Table({name: [row[name] for row in rows] for name in ("observer", "kind", "draws")})
    for name in columns:
        values = np.array([row.get(name, np.nan) for row in rows], float)
        if np.isfinite(values).any():
            table[name] = values
    return table


def _difference(name: str, row: Mapping, other: Mapping, columns: Sequence[str], draws: str) -> dict:
    plain = (column for column in columns if not column.endswith("_error"))
    return {
        "observer": name,
        "kind": "distance",
        "draws": draws,
        **{column: row.get(column, np.nan) - other.get(column, np.nan) for column in plain},
    }


def _paired_error(difference: Num[np.ndarray, " n"]) -> float:
    """Standard error of the mean of a per-cutout difference."""
    return float(difference.std(ddof=1) / np.sqrt(len(difference))) if len(difference) > 1 else float("nan")


def binary_headline(
    label: Labels,
    observers: Sequence[Observer],
    *,
    redshift: Float[np.ndarray, " n"] | None = None,
    ceiling: Ceiling | None = None,
    valid: Valid = None,
) -> Table:
    """Each observer of the same draws, the network first; its distance to each other; then the ceiling.

    Columns observer, kind ('measured', 'distance' or 'published'), draws ('these' or 'other'), accuracy, auc,
    precision, recall, f1, f2, fpr, average_precision, and recall_high_redshift (z > 1.1) where redshifts are
    given. Errors (``_error`` columns, 1 sigma) are over draws of the test set; those of a distance are
    paired: binomial for accuracy and recall, DeLong for AUC. A figure that a row does not have is nan; a
    column that no row has is left out.
    """
    (label,) = keep_valid(valid, label)
    scores = [keep_valid(valid, observer.score)[0] for observer in observers]
    far = np.zeros(len(label), bool)
    if redshift is not None:
        (redshift,) = keep_valid(valid, redshift)
        far = (label == 1) & (redshift > HIGH_REDSHIFT)
    called = [score >= observer.threshold for score, observer in zip(scores, observers, strict=True)]
    rows = []
    for observer, score, calls in zip(observers, scores, called, strict=True):
        row = {"observer": observer.name, "kind": "measured", "draws": "these"}
        row |= binary_metrics(label, score, threshold=observer.threshold)
        if far.any():
            recall = float(calls[far].mean())
            error = float(np.sqrt(recall * (1 - recall) / far.sum()))
            row |= {"recall_high_redshift": recall, "recall_high_redshift_error": error}
        rows.append(row)
    network = rows[0]
    right = [(calls == label.astype(bool)).astype(float) for calls in called]
    for i in range(1, len(observers)):
        row = _difference(f"{network['observer']} − {rows[i]['observer']}", network, rows[i], _BINARY_COLUMNS, "these")
        row["auc"], row["auc_error"] = auc_difference(label, scores[0], scores[i])
        row["accuracy_error"] = _paired_error(right[0] - right[i])
        row["recall_high_redshift_error"] = _paired_error((right[0] - right[i])[far])
        rows.append(row)
    if ceiling is not None:
        published = {"observer": ceiling.name, "kind": "published", "draws": "other", **ceiling.figures}
        distance = f"{network['observer']} − published"
        rows += [published, _difference(distance, network, published, _BINARY_COLUMNS, "other")]
    return _build_table(rows, _BINARY_COLUMNS)


def multiclass_headline(
    name: str,
    label: Labels,
    probabilities: Probabilities,
    class_names: Sequence[str],
    *,
    valid: Valid = None,
) -> Table:
    """The network, the observer that always calls the commonest class, and the distance.

    Columns observer, kind, draws, accuracy and its error, macro_auc, balanced_accuracy, macro_precision,
    macro_f1.
    """
    metrics = multiclass_metrics(label, probabilities, class_names, valid=valid)
    label, probabilities = keep_valid(valid, label, probabilities)
    network = {"observer": name, "kind": "measured", "draws": "these", **metrics}
    num_classes = len(class_names)
    majority = {
        "observer": "commonest class",
        "kind": "measured",
        "draws": "these",
        "accuracy": metrics["majority_accuracy"],
        "macro_auc": 0.5,
        "balanced_accuracy": 1 / num_classes,
    }
    distance = _difference(f"{name} − commonest class", network, majority, _MULTICLASS_COLUMNS, "these")
    if len(label):
        commonest = np.argmax(np.bincount(label, minlength=num_classes))
        right = (called_class(probabilities) == label).astype(float)
        distance["accuracy_error"] = _paired_error(right - (label == commonest))
    return _build_table([network, majority, distance], _MULTICLASS_COLUMNS)


def with_members(headline: Table, members: Table, number: int) -> Table:
    """The headline of an ensemble, with the figures of its members (as from ``ensemble.member_table``) below its own.

    Their row is of the kind 'members': means, and as errors the standard deviations over the ``number`` members.
    """
    row_of = {str(row["member"]): row for row in members}
    row: dict = {"observer": f"one of its {number} members", "kind": "members", "draws": "these"}
    for figure in members.colnames[1:]:
        row |= {figure: row_of["mean"][figure], f"{figure}_error": row_of["std"][figure]}
    errors = [f"{name}_error" for name in members.colnames[1:] if name in headline.colnames]
    columns = list(dict.fromkeys([*headline.colnames[3:], *errors]))
    first = {name: headline[0][name] for name in headline.colnames} | {"observer": f"{headline[0]['observer']}, mean"}
    rest = [{name: each[name] for name in headline.colnames} for each in headline[1:]]
    return _build_table([first, row, *rest], columns)
