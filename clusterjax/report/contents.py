"""What a run can hand over to its report. Every part may be missing: the report shows what there is."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from astropy.table import Table
from jaxtyping import Real

from clusterjax.evaluation.headline import Ceiling
from clusterjax.report.blocks import Section
from clusterjax.sky.reader import MapReader
from clusterjax.sky.skymap import ProbabilityMap, SkyMap


@dataclasses.dataclass(frozen=True)
class LrRange:
    """The LR range test: one entry a step; ``suggestion`` is the rate that training took, ``reason`` says why."""

    learning_rates: Sequence[float]
    losses: Sequence[float]
    smoothed: Sequence[float] = ()
    suggestion: float | None = None
    reason: str = ""


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Scores of the test split.

    ``table`` has a row a cutout: label, and ``score`` (two classes) or ``score_<class>`` for each of
    ``class_names``; optionally object_type, redshift, m500c_msun, object_id, ra_deg, dec_deg (what does not apply is
    NaN), and ``classical`` names the column of the classical observer's score, which decides at
    ``classical_threshold``. Label ``positive`` is what a high score stands for. Columns probability (or
    probability_<class>) are calibrated scores. ``calibration`` and ``prior`` are the tables that the job evaluate
    writes: the calibrations side by side, and the object types' fractions in the data set and on the sky.
    """

    table: Table
    class_names: Sequence[str]
    network_name: str = "network"
    threshold: float = 0.5
    classical: str | None = "aperture_count"
    classical_name: str = "aperture count"
    classical_threshold: float = 0.5
    ceiling: Ceiling | None = None
    calibration: Table | None = None
    prior: Table | None = None
    plane: tuple[str, str] | None = None  # the columns of the plane of who finds what

    @property
    def is_binary(self) -> bool:
        return "score" in self.table.colnames

    @property
    def label(self) -> np.ndarray:
        return np.asarray(self.table["label"]).astype(np.int64)

    @property
    def probabilities(self) -> np.ndarray:
        """(cutout, class) scores, for two classes (1 - score, score)."""
        return self._by_class("score")

    @property
    def calibrated(self) -> np.ndarray | None:
        """(cutout, class) probabilities; None where nothing was calibrated."""
        names = self.table.colnames
        return self._by_class("probability") if any(name.startswith("probability") for name in names) else None

    def _by_class(self, kind: str) -> np.ndarray:
        if self.is_binary:
            positive = self.column(kind)
            return np.stack([1 - positive, positive], axis=1)
        return np.stack([self.column(f"{kind}_{name}") for name in self.class_names], axis=1)

    def column(self, name: str) -> np.ndarray | None:
        """A column as floats, masked as NaN; None if it is absent or holds nothing at all."""
        if name not in self.table.colnames:
            return None
        values = np.ma.filled(np.ma.asarray(self.table[name], dtype=float), np.nan)
        return values if np.isfinite(values).any() or not len(values) else None


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Cutouts to show under one heading: ``images`` (n, y, x, band) in flux units and a line or two on each.

    With ``band_names`` each band is shown by itself too, and then the ``saliency``.
    """

    title: str
    images: Real[np.ndarray, "n y x band"]
    captions: Sequence[str]
    description: str = ""
    band_names: Sequence[str] = ()
    saliency: "Saliency | None" = None


@dataclasses.dataclass(frozen=True)
class Saliency:
    """On the pixels of the cutouts of a gallery, NaN where the network does not see: Grad-CAM (0 or above), and each
    pixel's attribution by integrated gradients (what speaks against the class is negative), of all bands together."""

    grad_cam: Real[np.ndarray, "n y x"]
    attribution: Real[np.ndarray, "n y x"]


@dataclasses.dataclass(frozen=True)
class ActivationMaps:
    """What chosen ``filters`` of chosen layers make of one cutout: by layer, ``maps`` (y, x, filter)."""

    caption: str
    image: Real[np.ndarray, "y x band"]
    maps: Mapping[str, Real[np.ndarray, "_ _ _"]]
    filters: Mapping[str, Sequence[int]]


@dataclasses.dataclass(frozen=True)
class Explanations:
    """``table`` has a row an explained cutout: log-odds, and how much of them each band gives; ``description`` says how
    the saliency in the galleries was made."""

    table: Table
    activations: Sequence[ActivationMaps]
    description: str = ""


@dataclasses.dataclass(frozen=True)
class Survey:
    """A scanned map.

    ``detections`` as from ``find_detections``, or matched (with source_index and separation_arcmin); ``sources`` the
    catalogue they were matched with (with detection_index and searched). ``completeness_curve`` and
    ``completeness_by_mass`` as from ``search.match``, ``classical_curve`` that of the classical finder
    ``classical_name`` on the same map; ``complete_for`` says in words which sources they are of.
    ``target`` is (false candidates per deg2, completeness). ``cutout_pixels`` is the side of the thumbnails.
    ``verdicts`` are the words for a candidate with and without a source: ("known", "new") for a real catalogue.
    """

    probability_map: ProbabilityMap
    detections: Table
    sky_map: SkyMap | MapReader | None = None
    sources: Table | None = None
    summary: Mapping[str, Any] | None = None
    completeness_curve: Table | None = None
    classical_curve: Table | None = None
    classical_name: str = "matched filter"
    completeness_by_mass: Table | None = None
    threshold: float | None = None
    complete_for: str = "sources"
    target: tuple[float, float] | None = None
    cutout_pixels: int = 64
    description: str = ""
    verdicts: tuple[str, str] = ("true", "false")


@dataclasses.dataclass(frozen=True)
class DatasetCard:
    """A data set: ``counts`` as from ``report.dataset.count_types``, ``positions`` with ra_deg, dec_deg and split (or
    empty), ``pixels`` by band as (stored, normalised) samples, ``leak`` as from ``evaluation.leak``,
    of ``leak_features``."""

    description: str
    counts: Table
    positions: Table
    units: str = ""
    pixels: Mapping[str, tuple[np.ndarray, np.ndarray]] = dataclasses.field(default_factory=dict)
    leak: tuple[float, float] | None = None
    leak_features: str = ""
    examples: Sequence[Gallery] = ()
    augmented: Sequence[Gallery] = ()
    natural_colour: bool = False


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Several runs: ``figures`` a row a run, ``differences`` a row a pair on the same cutouts, by data set and run
    the recall in bins of redshift, and the purity at equal completeness."""

    figures: Table
    differences: Table
    recalls: Mapping[str, Mapping[str, Table]] = dataclasses.field(default_factory=dict)
    purity: Table = dataclasses.field(default_factory=Table)  # a row an observer
    purity_differences: Table = dataclasses.field(default_factory=Table)


@dataclasses.dataclass(frozen=True)
class CrossValidation:
    """``predictions`` of all folds (fold, label, score or score_<class>), ``figures`` a row a fold, mean and std."""

    predictions: Table
    figures: Table


@dataclasses.dataclass(frozen=True)
class Report:
    """One run, as its report tells it. Nested dicts in ``provenance`` become sections of the last table."""

    title: str
    subtitle: str = ""
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    headline: Table | None = None
    metrics: Mapping[str, Any] | None = None
    history: Sequence[Mapping[str, Any]] = ()
    lr_range: LrRange | None = None
    predictions: Predictions | None = None
    galleries: Sequence[Gallery] = ()
    explanations: Explanations | None = None
    natural_colour: bool = False  # three bands are red, green, blue, as in ordinary pictures
    survey: Survey | None = None
    dataset: DatasetCard | None = None
    comparison: Comparison | None = None
    members: Table | None = None  # of an ensemble, as from evaluation.ensemble.member_table
    cross_validation: CrossValidation | None = None
    sections: Sequence[Section] = ()  # further ones, after those
    warnings: Sequence[str] = ()
