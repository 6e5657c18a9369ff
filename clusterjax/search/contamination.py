"""False candidates against the threshold, and with a completeness how pure a catalogue is."""

from collections.abc import Sequence

import numpy as np
from astropy import units as u
from astropy.table import Column, Table
from jaxtyping import Float
from scipy import stats

from clusterjax.odds import logistic
from clusterjax.search.completeness import CompletenessModel
from clusterjax.search.inject import Finder
from clusterjax.sky.skymap import ProbabilityMap

_ONE_SIGMA = (0.158655, 0.841345)


def false_log_odds(finder: Finder, controls: Sequence[ProbabilityMap]) -> tuple[Float[np.ndarray, " n"], float]:
    """(log-odds of all that is found on maps without clusters, the area searched in deg2)."""
    found = [np.asarray(finder.detect(control)["log_odds"], float) for control in controls]
    return np.concatenate([np.zeros(0), *found]), float(sum(control.area_deg2 for control in controls))


def contamination_table(
    log_odds: Float[np.ndarray, " n"], area_deg2: float | int, cuts: Float[np.ndarray, " m"]
) -> Table:
    """False candidates per deg2 at each cut in log-odds, with 68.3 % Poisson intervals (Garwood 1936)."""
    number = np.array([(log_odds >= cut).sum() for cut in cuts])
    low = np.where(number, stats.chi2.ppf(_ONE_SIGMA[0], 2 * np.maximum(number, 1)) / 2, 0.0)
    high = stats.chi2.ppf(_ONE_SIGMA[1], 2 * (number + 1)) / 2
    columns = [
        Column(logistic(np.asarray(cuts)), name="threshold", description="a score"),
        Column(np.asarray(cuts, float), name="log_odds"),
        Column(number, name="num_false", description="above it, on maps without clusters"),
    ]
    for name, values in (("false_per_deg2", number), ("false_low", low), ("false_high", high)):
        columns.append(Column(values / area_deg2, name=name, unit=u.deg**-2))
    return Table(columns, meta={"area_deg2": area_deg2})


def purity_table(
    contamination: Table,
    models: Sequence[CompletenessModel],
    m500c_msun: Float[np.ndarray, " mass"],
    redshift: Float[np.ndarray, " z"],
    density: Float[np.ndarray, "mass z"],
    *,
    complete_above_msun: float | int,
) -> Table:
    """Completeness above a mass, clusters found and purity, at each threshold of ``contamination`` with its model.

    ``density`` is the number of clusters per deg2 in each cell of ``m500c_msun`` and ``redshift``. A found one of any
    mass counts as true.
    """
    massive = np.where(m500c_msun >= complete_above_msun, 1.0, 0.0)[:, None] * density
    found, completeness = [], []
    for model in models:
        chance = model.probability(m500c_msun[:, None], redshift[None, :])
        found.append((chance * density).sum())
        completeness.append((chance * massive).sum() / max(massive.sum(), 1e-300))
    true = np.array(found)
    false = np.asarray(contamination["false_per_deg2"], float)
    table = contamination["threshold", "log_odds"].copy()
    table.meta = {}
    table["completeness"] = Column(completeness, description=f"of clusters above {complete_above_msun:.3g} Msun")
    table["found_per_deg2"] = Column(true, unit=u.deg**-2, description="clusters of any mass, expected")
    table["false_per_deg2"] = Column(false, unit=u.deg**-2)
    # The more false ones, the less pure: the interval's ends change places.
    for name, source in (("purity", "false_per_deg2"), ("purity_low", "false_high"), ("purity_high", "false_low")):
        wrong = np.asarray(contamination[source], float)
        table[name] = np.divide(true, true + wrong, out=np.full(len(true), np.nan), where=true + wrong > 0)
    return table
