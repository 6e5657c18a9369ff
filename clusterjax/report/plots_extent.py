"""The plane in which XAmin selects: extent and extension likelihood, and what a network says of who lies where."""

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.figure import Figure

from clusterjax.report.theme import Theme, themed

_LEAST_LIKELIHOOD, _LEAST_EXTENT = 0.3, 1.5  # where zeros are drawn, on logarithmic axes
# Classes of clusters: C1, hardly contaminated, and C2 (Pacaud et al. 2006)
_C1, _C2 = (5.0, 33.0), (5.0, 15.0)


@themed
def plot_extent_plane(
    extent_arcsec: Float[np.ndarray, " n"],
    likelihood: Float[np.ndarray, " n"],
    is_cluster: Bool[np.ndarray, " n"],
    called_cluster: Bool[np.ndarray, " n"],
    *,
    theme: Theme,
) -> Figure:
    """Clusters filled, others open; what the network got wrong in another colour; the limits of classes C1 and C2."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.add_subplot()
    rng = np.random.default_rng(0)  # extents are steps of a grid
    x = np.maximum(extent_arcsec, _LEAST_EXTENT) * np.exp(rng.normal(0, 0.05, len(extent_arcsec)))
    y = np.maximum(likelihood, _LEAST_LIKELIHOOD)
    right = is_cluster == called_cluster
    for chosen, label, colour, filled in (
        (is_cluster & right, "cluster, found", theme.good, True),
        (~is_cluster & right, "other, rejected", theme.muted, False),
        (is_cluster & ~right, "cluster, missed", theme.bad, True),
        (~is_cluster & ~right, "other, called a cluster", theme.bad, False),
    ):
        face = colour if filled else "none"
        axes.scatter(x[chosen], y[chosen], s=14, facecolors=face, edgecolors=colour, linewidths=0.9, label=label)
    for (least_extent, least), name in ((_C1, "C1"), (_C2, "C2")):
        axes.plot([least_extent, least_extent, 200], [1e6, least, least], color=theme.text, linewidth=0.9)
        axes.text(170, least * 1.15, name, ha="right", fontsize=8)
    axes.set(xscale="log", yscale="log", xlim=(1.2, 200), ylim=(0.2, 3e5))
    axes.set(xlabel="extent / arcsec", ylabel="extension likelihood")
    axes.legend(loc="upper left")
    return figure
