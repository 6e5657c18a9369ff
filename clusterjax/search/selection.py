"""The selection function: how probably a finder finds a cluster of a mass and redshift at a place of the sky."""

import dataclasses
import os
from collections.abc import Mapping, Sequence

import numpy as np
from astropy.table import Column, Table

from clusterjax.errors import InputError
from clusterjax.odds import log_odds, logistic
from clusterjax.search.completeness import CompletenessModel, Values
from clusterjax.sky.fits.collection import Collection, read_collection, write_collection
from clusterjax.sky.noise import NoiseMap

Numbers = Values | Sequence | np.generic  # that broadcast

_KIND, _IMAGE, _MODELS = "selection function", "RELATIVE_NOISE", "MODELS"


@dataclasses.dataclass(frozen=True, eq=False)
class SelectionFunction:
    """P(found | M500c, redshift, place), with errors, of one finder on one map.

    >>> from clusterjax import SelectionFunction
    >>> selection = SelectionFunction.read("runs/alexnet_ir/inject/selection.fits")
    >>> chance = selection([3e14, 6e14], 0.5, 30.0, 5.0)
    >>> error = selection.error([3e14, 6e14], 0.5, 30.0, 5.0)
    >>> mass, mass_error = selection.mass_limit(0.9, [0.3, 0.6])

    Masses are true M500c in solar masses, positions ICRS degrees; all are broadcast. Beyond the redshifts that were
    injected (``redshift_range``) that of the nearest is taken. ``thresholds`` are those for which there is a model;
    the candidates' own is ``threshold``. ``tables``: INJECTIONS, COMPLETENESS, MASS_LIMITS, POSITIONS, and where there
    were maps without clusters CONTAMINATION and PURITY.
    """

    models: Sequence[CompletenessModel]
    cuts: np.ndarray  # in log-odds, of each model, ascending
    cut: float  # of the candidates
    noise: NoiseMap
    tables: Mapping[str, Table] = dataclasses.field(default_factory=dict)
    facts: Mapping = dataclasses.field(default_factory=dict)
    provenance: Mapping = dataclasses.field(default_factory=dict)

    @property
    def thresholds(self) -> np.ndarray:
        """The scores above which a detection is a candidate, for which there is a model."""
        return logistic(self.cuts)

    @property
    def threshold(self) -> float:
        return float(logistic(np.array(self.cut)))

    @property
    def redshift_range(self) -> tuple[float, float]:
        return self.models[0].redshift_range

    def model(self, threshold: float | int | None = None) -> CompletenessModel:
        """That of the candidates' threshold, or of the nearest (in log-odds) that there is."""
        wanted = self.cut if threshold is None else float(log_odds(np.array(threshold)))
        return self.models[int(np.argmin(np.abs(self.cuts - wanted)))]

    def threshold_of(self, false_per_deg2: float | int) -> float:
        """The lowest threshold that there is a model for with no more false candidates per deg2; NaN for none."""
        if "CONTAMINATION" not in self.tables:
            return float("nan")
        table = self.tables["CONTAMINATION"]
        allowed = np.asarray(table["threshold"], float)[np.asarray(table["false_per_deg2"], float) <= false_per_deg2]
        return float(allowed.min()) if len(allowed) else float("nan")

    def __call__(
        self,
        m500c_msun: Numbers,
        redshift: Numbers,
        ra_deg: Numbers,
        dec_deg: Numbers,
        *,
        threshold: float | int | None = None,
    ) -> np.ndarray:
        """The probability; 0 where the map was not searched."""
        return self._where_searched(self.model(threshold).probability, m500c_msun, redshift, ra_deg, dec_deg)

    def error(
        self,
        m500c_msun: Numbers,
        redshift: Numbers,
        ra_deg: Numbers,
        dec_deg: Numbers,
        *,
        threshold: float | int | None = None,
    ) -> np.ndarray:
        """The standard deviation of the probability, as the fit has it; 0 where the map was not searched."""
        return self._where_searched(self.model(threshold).error, m500c_msun, redshift, ra_deg, dec_deg)

    def mass_limit(
        self,
        probability: float | int,
        redshift: Numbers,
        *,
        relative_noise: Numbers = 1.0,
        threshold: float | int | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """(M500c of which such a part is found, its error), at a noise in the map's median; NaN where it never is."""
        redshift, noise = (np.asarray(values, float) for values in (redshift, relative_noise))
        return self.model(threshold).mass_limit(probability, redshift, noise)

    def _where_searched(self, function, mass, redshift, ra, dec) -> np.ndarray:
        mass, redshift, ra, dec = np.broadcast_arrays(*(np.asarray(v, float) for v in (mass, redshift, ra, dec)))
        if (mass <= 0).any() or (redshift < 0).any():
            raise InputError("masses must be above 0 solar masses, and redshifts 0 or above")
        noise = self.noise.at(ra, dec)
        searched = np.isfinite(noise)
        values = np.zeros(mass.shape)
        values[searched] = function(mass[searched], redshift[searched], noise[searched])
        return values

    def write(self, path: str | os.PathLike) -> None:
        """One FITS file with all of it; see :meth:`read`."""
        models = Table(
            {
                "log_odds": Column(np.asarray(self.cuts, float), description="threshold of the model"),
                "threshold": Column(self.thresholds, description="the same as a score"),
                "parameters": Column(
                    [model.parameters for model in self.models],
                    description="ln M50/3e14 in powers of ln(1+z), ln slope, its change, b, logit ceiling, noise power",
                ),
                "covariance": Column([model.covariance for model in self.models]),
            }
        )
        first = self.models[0]
        facts = {
            **self.facts,
            "candidates_log_odds": self.cut,
            "degree": first.degree,
            "fits_noise": first.fits_noise,
            "redshift_range": list(first.redshift_range),
        }
        tables = {_MODELS: models, **self.tables}
        collection = Collection(tables, self.noise.relative_noise, self.noise.wcs, facts, self.provenance)
        write_collection(path, _KIND, _IMAGE, collection)

    @classmethod
    def read(cls, path: str | os.PathLike) -> "SelectionFunction":
        """Of a file that the job ``inject`` wrote. Raises :class:`~clusterjax.errors.InputError` for any other."""
        stored = read_collection(path, _KIND, _IMAGE)
        facts = dict(stored.facts)
        table = stored.tables[_MODELS]
        shared = (facts["degree"], tuple(facts["redshift_range"]), facts["fits_noise"])
        models = [
            CompletenessModel(np.asarray(row["parameters"], float), np.asarray(row["covariance"], float), *shared)
            for row in table
        ]
        return cls(
            models,
            np.asarray(table["log_odds"], float),
            facts["candidates_log_odds"],
            NoiseMap(stored.image, stored.wcs),
            {name: one for name, one in stored.tables.items() if name != _MODELS},
            facts,
            stored.provenance,
        )
