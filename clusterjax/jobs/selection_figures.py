"""From injected clusters and maps without any to a selection function with its tables."""

import dataclasses
import datetime
from collections.abc import Iterable, Sequence

import numpy as np
from astropy.table import Table

from clusterjax import __version__
from clusterjax.config import ExperimentConfig, fingerprint
from clusterjax.errors import InputError
from clusterjax.odds import log_odds
from clusterjax.search.completeness import CompletenessModel, fit_completeness, goodness_of_fit
from clusterjax.search.contamination import contamination_table, false_log_odds, purity_table
from clusterjax.search.inject import Finder
from clusterjax.search.recovery import binned_completeness, mass_limits, position_table
from clusterjax.search.selection import SelectionFunction
from clusterjax.simulation.haloes import cluster_cells
from clusterjax.sky.noise import make_noise_map
from clusterjax.sky.skymap import ProbabilityMap, SkyMap

_HIGHEST_QUANTILE = 0.9  # of the detections of injected clusters: thresholds beyond leave too few to fit


@dataclasses.dataclass(frozen=True)
class Control:
    """Maps without clusters, of one ``kind`` in words."""

    kind: str
    maps: Iterable[SkyMap]


def make_selection(
    finder: Finder,
    injected: Table,
    sky: SkyMap,
    base: ProbabilityMap,
    controls: Sequence[Control],
    config: ExperimentConfig,
    checkpoint: str,
) -> SelectionFunction:
    """Fit a model at each threshold and write down everything that a reader would ask of it."""
    noise, median = make_noise_map(sky, base, np.isfinite(base.score))
    injected = injected.copy()
    injected["relative_noise"] = noise.at(injected["ra_deg"], injected["dec_deg"])
    used = injected[np.asarray(injected["searched"], bool) & np.isfinite(injected["relative_noise"])]
    if not len(used):
        raise InputError(f"no injected cluster lies where the {finder.name} searched the map")
    truth = tuple(np.asarray(used[name], float) for name in ("m500c_msun", "redshift", "relative_noise"))
    height = np.asarray(used["log_odds"], float)
    cut = float(log_odds(np.array(finder.threshold)))
    cuts = _cuts(finder, height, cut, config.inject.num_thresholds)
    models = [fit_completeness(height >= one, *truth) for one in cuts]
    own = models[int(np.argmin(np.abs(cuts - cut)))]
    fit = goodness_of_fit(own, height >= cut, *truth)
    tables = {
        "INJECTIONS": injected,
        "COMPLETENESS": binned_completeness(used, own),
        "MASS_LIMITS": mass_limits(own, np.unique(truth[1])),
        "POSITIONS": position_table(used),
    }
    kind = ""
    for control in controls:
        tables |= _impure(finder, control, cuts, models, config)
        kind = control.kind
    facts = {
        "finder": finder.name,
        "num_injected": len(injected),
        "num_searched": len(used),
        "ceiling": own.ceiling,
        "deviance": fit.deviance,
        "num_cells": fit.num_cells,
        "p_value": fit.p_value,
        "bootstrap_sigma": np.sqrt(np.diag(fit.bootstrap_covariance)).tolist(),
        "noise": dict(zip(sky.bands, median.tolist(), strict=True)),
        "noise_unit": sky.units,
        "area_deg2": base.area_deg2,
        "contamination_from": kind,
    }
    provenance = {
        "finder": finder.name,
        "model": config.model.name,
        "checkpoint": checkpoint,
        "map": ", ".join(config.search.images) or "simulated",
        "config_sha256": fingerprint(config),
        "seed": config.inject.seed,
        "software": f"clusterjax {__version__}",
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    return SelectionFunction(models, cuts, cut, noise, tables, facts, provenance)


def _cuts(finder: Finder, height: np.ndarray, cut: float, number: int) -> np.ndarray:
    """Thresholds from the lowest to one that few of the found are above, the candidates' own among them."""
    low = float(log_odds(np.array(finder.lowest_threshold)))
    seen = height[np.isfinite(height)]
    high = max(np.quantile(seen, _HIGHEST_QUANTILE), cut) if len(seen) else cut
    return np.unique(np.append(np.linspace(low, high, number), cut))


def _impure(
    finder: Finder, control: Control, cuts: np.ndarray, models: Sequence[CompletenessModel], config: ExperimentConfig
) -> dict[str, Table]:
    heights, area = false_log_odds(finder, [finder.score(one) for one in control.maps])
    contamination = contamination_table(heights, area, cuts)
    mass, redshift, density = cluster_cells()
    purity = purity_table(
        contamination, models, mass, redshift, density, complete_above_msun=config.inject.complete_above_msun
    )
    return {"CONTAMINATION": contamination, "PURITY": purity}


def summary_of(selection: SelectionFunction, first: SelectionFunction) -> dict:
    """The figures of the header, and at each redshift the masses of which 50, 80 and 90 % are found.

    Of a finder other than the ``first``, also those at the threshold where it has no more false candidates.
    """
    limits = selection.tables["MASS_LIMITS"]
    summary = {**selection.facts, "threshold": selection.threshold, "mass_limits": _rows(limits)}
    rates = [_false_rate(one) for one in (selection, first)]
    if np.isfinite(rates).all():
        summary["false_per_deg2"] = rates[0]
        threshold = selection.threshold_of(rates[1])
        if selection is not first and np.isfinite(threshold):
            fair = mass_limits(selection.model(threshold), np.asarray(limits["redshift"], float))
            summary["no_more_false_than_the_first"] = {"threshold": threshold, "mass_limits": _rows(fair)}
    return summary


def _rows(table: Table) -> list[dict]:
    return [{name: float(row[name]) for name in table.colnames} for row in table]


def _false_rate(selection: SelectionFunction) -> float:
    """At the candidates' threshold; NaN without maps to tell."""
    if "CONTAMINATION" not in selection.tables:
        return np.nan
    table = selection.tables["CONTAMINATION"]
    own = int(np.argmin(np.abs(np.asarray(table["log_odds"], float) - selection.cut)))
    return float(table["false_per_deg2"][own])
