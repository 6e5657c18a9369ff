"""Who finds what: of two observers, which cutouts are called positive by both, by one, by none."""

from collections.abc import Mapping

import numpy as np
from astropy.table import Table
from jaxtyping import Bool, Int

from clusterjax.evaluation.breakdown import binomial_interval
from clusterjax.evaluation.curves import Labels

Calls = Mapping[str, Bool[np.ndarray, " n"]]


def found_by(calls: Calls) -> tuple[list[str], Int[np.ndarray, " n"]]:
    """Names of the groups, and each cutout's group. ``calls`` are of one observer or two, by name.

    Groups of two are: both, only the first, only the second, none; of one: found by it, missed.
    """
    names = list(calls)
    if len(names) == 1:
        return [names[0], "missed"], np.where(calls[names[0]], 0, 1)
    first, second = (np.asarray(calls[name], bool) for name in names)
    return ["both", f"{names[0]} only", f"{names[1]} only", "none"], np.where(first, np.where(second, 0, 1), 3 - second)


def count_found_by(label: Labels, calls: Calls) -> Table:
    """A row a group: how many positives and others it has, and which fraction of them, with 1 sigma intervals."""
    groups, group = found_by(calls)
    positive = np.asarray(label).astype(bool)
    table = Table({"called_by": groups})
    for name, chosen in (("positives", positive), ("others", ~positive)):
        counts = np.bincount(group[chosen], minlength=len(groups))
        low, high = binomial_interval(counts, np.full(len(groups), chosen.sum()))
        table[f"num_{name}"] = counts
        table[f"fraction_of_{name}"] = counts / max(chosen.sum(), 1)
        table[f"fraction_of_{name}_low"], table[f"fraction_of_{name}_high"] = low, high
    return table
