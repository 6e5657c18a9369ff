"""Numbers as text: one way to write a figure, its error and its absence, on the page and on the console."""

import numbers
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from astropy.coordinates import Angle
from astropy.table import Table

DASH = "–"
_MAX_ROWS = 200  # of a table on a page; its file holds all

_HEADLINE_NAMES = {
    "accuracy": "Accuracy",
    "auc": "AUC",
    "macro_auc": "Mean AUC",
    "precision": "Precision",
    "recall": "Recall",
    "recall_high_redshift": "Recall z>1.1",
    "f1": "F1",
    "f2": "F2",
    "fpr": "FPR",
    "balanced_accuracy": "Balanced acc.",
    "macro_precision": "Mean precision",
    "macro_f1": "Mean F1",
}
_COLUMN_NAMES = {
    "detection_id": "No.",
    "ra_deg": "RA / deg",
    "dec_deg": "Dec / deg",
    "m500c_msun": "M500c / 10¹⁴ M☉",
    "num": "number",
    "lr": "learning rate",
    "fpr": "false-positive rate",
    "auc": "AUC",
    "f1": "F1",
    "f2": "F2",
    "brier": "Brier score",
    "ece": "calibration error",
    "ece_error": "± 1σ",
    "ece_if_perfect": "if perfect",
}
# Of a headline row's draws: its mark, and what that says below the table
MARKS = {
    "other": ("*", "other draws of the same task; between draws accuracy moves by 0.006, AUC by 0.003"),
    "random sky": (
        "†",
        "clusters and random sky among these draws; the bound is of the same cutouts without point "
        "sources, and who is above it knows the answer from elsewhere",
    ),
}
_UNITS = ("arcmin2", "arcmin", "arcsec", "deg2", "deg", "pixels", "msun")


class HeadlineRow(NamedTuple):
    """``kind`` is measured, distance or published; ``cells`` hold (value, error), error empty where there is none."""

    observer: str
    kind: str
    draws: str
    cells: list[tuple[str, str]]

    @property
    def name(self) -> str:
        """The observer, marked if the draws are not simply these."""
        return f"{self.observer} {MARKS[self.draws][0]}" if self.draws in MARKS else self.observer


def headline_notes(rows: list[HeadlineRow]) -> list[str]:
    """What the marks in a headline table mean."""
    notes = [f"{mark} {text}" for draws, (mark, text) in MARKS.items() if any(row.draws == draws for row in rows)]
    if any(row.kind == "members" for row in rows):
        notes.insert(0, "Of one member: mean and standard deviation over the members")
    return notes


def headline_cells(headline: Table) -> tuple[list[str], list[HeadlineRow]]:
    """Column names and rows of the headline table as text; distances carry their sign."""
    columns = [name for name in _HEADLINE_NAMES if name in headline.colnames]
    rows = []
    for row in headline:
        signed = row["kind"] == "distance"
        cells = []
        for name in columns:
            value, error = float(row[name]), float("nan")
            if f"{name}_error" in headline.colnames:
                error = float(row[f"{name}_error"])
            shown = np.isfinite(value)
            text = f"{value:+.3f}".replace("-", "−") if signed else f"{value:.3f}"
            cells.append((text if shown else DASH, f"± {error:.3f}" if shown and np.isfinite(error) else ""))
        rows.append(HeadlineRow(str(row["observer"]), str(row["kind"]), str(row["draws"]), cells))
    return [_HEADLINE_NAMES[name] for name in columns], rows


def column_name(name: str) -> str:
    """A column's name as a heading: ``false_per_deg2`` -> 'false per deg²', ``area_arcmin2`` -> 'area / arcmin²'."""
    if name in _COLUMN_NAMES:
        return _COLUMN_NAMES[name]
    if "_per_" in name:
        what, _, per = name.partition("_per_")
        return f"{what.replace('_', ' ')} per {per.replace('deg2', 'deg²')}"
    for unit in _UNITS:
        if name.endswith(f"_{unit}"):
            what = name.removesuffix(f"_{unit}").replace("_", " ")
            return f"{what} / {unit.replace('2', '²')}"
    return name.replace("_", " ")


def format_value(value, name: str = "") -> str:
    """One value as text, by its type and its column's name; NaN, None and masked values are a dash."""
    if value is None or np.ma.is_masked(value):
        return DASH
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, numbers.Integral):
        if name.endswith("_id"):
            return str(int(value))
        return f"{value:,}"
    if not isinstance(value, numbers.Real):
        return str(value).replace("_", " ") if name in ("object_type", "class_name") else str(value)
    value = float(value)
    if not np.isfinite(value):
        return DASH if np.isnan(value) else str(value)
    if name.endswith("_msun"):
        return f"{value / 1e14:.2f}"
    if name == "ra_deg":
        return f"{value:.5f}"
    if name == "dec_deg":
        return f"{value:+.5f}".replace("-", "−")
    if name.endswith(("_arcmin", "_arcsec", "redshift")):
        return f"{value:.2f}"
    if name in ("threshold", "score", "peak_score", "probability", "log_loss", "brier") or name.startswith(
        ("ece", "accuracy_", "auc_")
    ):
        return f"{value:.4f}".replace("-", "−")
    magnitude = abs(value)
    if value and (magnitude < 1e-3 or magnitude >= 1e5):
        return f"{value:.2e}"
    return f"{value:.3f}" if magnitude < 10 else f"{value:.1f}"


def sexagesimal(ra_deg: float, dec_deg: float) -> str:
    """'02 00 14.3 +05 12 41', J2000 style, to a tenth of a second of time and a second of arc."""
    hours = Angle(ra_deg, "deg").to_string(unit="hourangle", sep=" ", precision=1, pad=True)
    degrees = Angle(dec_deg, "deg").to_string(unit="deg", sep=" ", precision=0, pad=True, alwayssign=True)
    return f"{hours} {degrees}".replace("-", "−")


def table_text(table: Table, columns: Sequence[str] | None) -> dict:
    """Headings, whether each column is of numbers, and rows of text."""
    names = list(table.colnames if columns is None else columns)
    rows = [[format_value(row[name], name) for name in names] for row in table[:_MAX_ROWS]]
    return {
        "headings": [column_name(name) for name in names],
        "numeric": [table[name].dtype.kind in "iuf" for name in names],
        "rows": rows,
        "left": max(len(table) - _MAX_ROWS, 0),
    }
