"""Injected clusters in figures: what was found in each cell, where, and at which masses the finder ends."""

import numpy as np
from astropy import units as u
from astropy.table import Column, Table
from jaxtyping import Float
from scipy import stats

from clusterjax.search.completeness import CompletenessModel, binomial_interval

LIMITS = (0.5, 0.8, 0.9)
_QUANTILES = (0.5, 0.683, 0.9, 0.95, 0.99)


def binned_completeness(injected: Table, model: CompletenessModel) -> Table:
    """A row a mass and redshift: the fraction that was found, its intervals by Wilson and by Clopper and Pearson
    (68.3 %), and what the model has there in the mean of the noise."""
    rows = []
    chance = model.probability(*_truth(injected))
    mass, redshift, _ = _truth(injected)
    for z in np.unique(redshift):
        for m in np.unique(mass[redshift == z]):
            cell = (mass == m) & (redshift == z)
            number, found = int(cell.sum()), int(np.asarray(injected["found"])[cell].sum())
            intervals = (*binomial_interval(found, number), *binomial_interval(found, number, method="exact"))
            rows.append((m, z, number, found, found / number, *intervals, chance[cell].mean()))
    names = (
        "m500c_msun", "redshift", "num_injected", "num_found", "completeness", "wilson_low", "wilson_high",
        "exact_low", "exact_high", "model",
    )  # fmt: skip
    table = Table(rows=rows or None, names=names, dtype=[float, float, int, int, *[float] * 6])
    table["m500c_msun"].unit = u.Msun
    return table


def mass_limits(model: CompletenessModel, redshift: Float[np.ndarray, " n"], *, noise: float | int = 1.0) -> Table:
    """M500c of which 50, 80 and 90 % are found at each redshift, with errors; NaN above the ceiling."""
    table = Table({"redshift": np.asarray(redshift, float)})
    for probability in LIMITS:
        for name, values in zip(("", "_error"), model.mass_limit(probability, redshift, noise), strict=True):
            table[f"m{100 * probability:.0f}_msun{name}"] = Column(values, unit=u.Msun)
    return table


def position_table(injected: Table) -> Table:
    """Quantiles of the distance (arcmin) of what was found from the truth: all, and of each redshift.

    Beside them sigma, of the Rayleigh distribution of the same mean square, and how probable its greatest difference
    from the distances is (Kolmogorov and Smirnov; a little too high, for sigma is of the same distances). A Rayleigh
    distribution is what an error of equal Gaussians along both axes makes; the radius of the match cuts its tail off.
    """
    found = injected[np.asarray(injected["found"], bool)]
    redshift = np.asarray(found["redshift"], float)
    groups = [("all", np.ones(len(found), bool))] + [(f"z = {z:g}", redshift == z) for z in np.unique(redshift)]
    rows = []
    for name, chosen in groups:
        distance = np.asarray(found["separation_arcmin"], float)[chosen]
        if not len(distance):
            continue
        sigma = float(np.sqrt(np.mean(distance**2) / 2))
        p_value = stats.kstest(distance, stats.rayleigh(scale=sigma).cdf).pvalue if sigma > 0 else np.nan
        rows.append((name, len(distance), *np.quantile(distance, _QUANTILES), sigma, p_value))
    names = ("of", "num_found", *(f"q{100 * q:g}_arcmin" for q in _QUANTILES), "rayleigh_sigma_arcmin", "rayleigh_p")
    table = Table(rows=rows or None, names=names, dtype=[str, int, *[float] * (len(names) - 2)])
    for name in names[2:-1]:
        table[name].unit = u.arcmin
    return table


def _truth(injected: Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mass, redshift, relative noise."""
    return tuple(np.asarray(injected[name], float) for name in ("m500c_msun", "redshift", "relative_noise"))
