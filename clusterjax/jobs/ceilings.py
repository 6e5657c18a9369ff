"""The job evaluate's ceilings: what the best observer that there can be makes of the same microwave test cutouts.

Of clusters against random sky alone: what else the data set holds has no likelihood of a closed form.
"""

from collections.abc import Callable, Sequence

import numpy as np
from astropy.table import Table, vstack

from clusterjax.evaluation.curves import auc
from clusterjax.evaluation.headline import RANDOM_SKY, Observer, binary_headline
from clusterjax.evaluation.leak import above_bound
from clusterjax.evaluation.likelihood_ratio import Signals, make_likelihood_ratio
from clusterjax.jobs.session import say
from clusterjax.simulation.cutout import POSITIVE_TYPE
from clusterjax.simulation.knobs import MicrowaveSky
from clusterjax.simulation.microwave.likelihood import cluster_signals, cutout_lag_covariance

RATIO, BOUND = "likelihood_ratio", "source_free_ratio"  # columns of the predictions


def add_ceilings(builder, test: Table, score: Callable[[Callable], np.ndarray]) -> None:
    """Add the columns ``likelihood_ratio`` and ``source_free_ratio`` where the test split allows it.

    The first is ln of the Bayes likelihood ratio of a cluster, with point sources as if they were Gaussian, of every
    cutout; ``score`` gives what an observer of images says of each. The second is that of the same cutouts without
    point sources, exact; infinite for clusters with a radio galaxy of their own, as for an observer who is told so.
    No score of clusters against random sky can have a greater AUC in the mean over test sets. NaN for other objects.
    """
    config = builder.builder_config
    sky = getattr(config, "sky", None)
    if not isinstance(sky, MicrowaveSky) or builder.info.features["label"].num_classes != 2:
        return
    rows = on_random_sky(test)
    varied = sky.beam_error or sky.cirrus_scatter
    if varied or config.simulated_size % 2 or len(np.unique(np.asarray(test["label"])[rows])) < 2:
        say("no ceilings: they need clusters, random sky, microwave.beam_error=0 and cirrus_scatter=0, an even size")
        return
    size = config.simulated_size
    say("ceilings: the Bayes likelihood ratio of the test cutouts, and of the same without point sources")
    signals = Signals(*cluster_signals(sky, size))
    test[RATIO] = score(make_likelihood_ratio(cutout_lag_covariance(sky, size, with_sources=True), signals))
    observer = make_likelihood_ratio(cutout_lag_covariance(sky, size, with_sources=False), signals)
    images, own_sources = builder.without_sources("test", np.asarray(test["index"])[rows].tolist())
    test[BOUND] = np.full(len(test), np.nan)
    test[BOUND][rows] = np.where(own_sources, np.inf, observer(images))


def on_random_sky(test: Table) -> np.ndarray:
    """The rows that ceilings are of: clusters and random sky."""
    return np.isin(np.asarray(test["object_type"]).astype(str), [POSITIVE_TYPE, "random"])


def ceiling_figures(test: Table) -> dict:
    """For metrics.json: the ceilings' AUCs, and by how much the network is above the bound, which would be a leak."""
    if BOUND not in test.colnames:
        return {}
    rows = test[on_random_sky(test)]
    label, score = np.asarray(rows["label"]), np.asarray(rows["score"], float)
    ratio, bound = (np.asarray(rows[name], float) for name in (RATIO, BOUND))
    figures = {
        "num_cutouts": len(rows),
        "auc": auc(label, score),
        "auc_likelihood_ratio": auc(label, ratio),
        "auc_source_free_bound": auc(label, bound),
        **above_bound(label, score, bound),
    }
    if figures["leak_suspected"]:
        say(f"warning: {leak_text(figures)}")
    return {"ceilings": figures}


def leak_text(figures: dict) -> str:
    return (
        f"of clusters against random sky the network's AUC is {figures['auc_above_bound']:.4f} ± "
        f"{figures['auc_above_bound_error']:.4f} above what is possible without knowing the answer: something in the "
        "data gives the labels away"
    )


def with_ceilings(headline: Table, test: Table, observers: Sequence[Observer]) -> Table:
    """The headline table with the rows of the same observers and the ceilings, on clusters and random sky alone."""
    if BOUND not in test.colnames:
        return headline
    rows = on_random_sky(test)
    label = np.asarray(test["label"])[rows]
    # The log-odds are even where the ratio makes up for the two classes' numbers.
    even = np.log(np.mean(label == 0) / np.mean(label == 1))
    ceilings = [
        Observer("Bayes likelihood ratio", np.asarray(test[RATIO], float), threshold=even),
        Observer("source-free bound", np.asarray(test[BOUND], float), threshold=even),
    ]
    subset = [Observer(one.name, one.score[rows], one.threshold) for one in (*observers, *ceilings)]
    added = binary_headline(label, subset, redshift=np.asarray(test["redshift"], float)[rows])
    added["draws"] = [RANDOM_SKY] * len(added)
    # A figure that only one of the two tables has is nan in the other.
    return vstack([headline, added], metadata_conflicts="silent").filled(np.nan)
