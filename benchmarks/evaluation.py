"""Seconds that all figures of the job evaluate and the report take for a million scored cutouts, stage by stage.

    taskset -c 0,1 python benchmarks/evaluation.py

Aim: under 30 s on 2 cores.
"""

import argparse
import time

import numpy as np

from clusterjax.evaluation.binary import binary_metrics, confusion_matrix, fit_threshold
from clusterjax.evaluation.breakdown import confusion_by_object_type, recall_in_bins
from clusterjax.evaluation.calibration import METHODS, fit_calibration
from clusterjax.evaluation.curves import precision_recall_curve, roc_curve
from clusterjax.evaluation.headline import Observer, binary_headline
from clusterjax.evaluation.operating import figures_at_false_positive_rates, figures_at_thresholds
from clusterjax.evaluation.prior_shift import fit_for_sky
from clusterjax.evaluation.reliability import calibration_figures, reliability_table
from clusterjax.odds import logistic

TYPES, FRACTIONS = ("cluster", "random", "galaxy", "star", "group"), (0.5, 0.3, 0.07, 0.07, 0.06)


def make_scores(num: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    kind = rng.choice(len(TYPES), num, p=FRACTIONS)
    label = (kind == 0).astype(np.int64)
    x = rng.normal(size=num) + np.array([2.0, -2.0, -1.5, -1.5, 0.0])[kind]
    return {
        "object_type": np.array(TYPES)[kind],
        "label": label,
        "score": logistic(2.5 * x).astype(np.float32).astype(np.float64),
        "classical": x + rng.normal(size=num),
        "redshift": np.where(label, rng.uniform(0.1, 1.6, num), np.nan),
        "m500c_msun": np.where(label, 1e14 * (1 + rng.pareto(2.5, num)), np.nan),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num", type=int, default=1_000_000)
    parser.add_argument("--num_validation", type=int, default=1_000_000)
    args = parser.parse_args()
    validation, test = make_scores(args.num_validation, 0), make_scores(args.num, 1)
    label, score = test["label"], test["score"]
    both, both_validation = (np.stack([1 - table["score"], table["score"]], axis=1) for table in (test, validation))
    sky = {"cluster": 0.001, "random": 0.969, "galaxy": 0.01, "star": 0.01, "group": 0.01}
    observers = [Observer("network", score), Observer("classical", test["classical"])]
    stages = {
        "threshold of the classical observer": lambda: fit_threshold(validation["label"], validation["classical"]),
        "figures of three observers": lambda: [
            binary_metrics(table["label"], table[name])
            for table, name in ((validation, "score"), (test, "score"), (test, "classical"))
        ],
        "headline": lambda: binary_headline(label, observers, redshift=test["redshift"]),
        "curves": lambda: [curve(label, test[name]) for curve in (roc_curve, precision_recall_curve)
                           for name in ("score", "classical")],
        "fixed thresholds and rates": lambda: (
            figures_at_thresholds(label, score), figures_at_false_positive_rates(label, score)
        ),
        "confusion, by object type": lambda: (
            confusion_matrix(label, score >= 0.5),
            [confusion_by_object_type(test["object_type"], label, test[name]) for name in ("score", "classical")],
        ),
        "recall in bins": lambda: [
            recall_in_bins(test[column], label, test[name])
            for column in ("redshift", "m500c_msun") for name in ("score", "classical")
        ],
        "calibrations": lambda: [
            calibration_figures(label, fit_calibration(method, validation["label"], both_validation)(both))
            for method in METHODS
        ],
        "reliability before and after": lambda: [reliability_table(label, score) for _ in range(2)],
        "the sky's prior": lambda: fit_for_sky(
            "platt", validation["label"], both_validation, validation["object_type"], sky
        ),
    }  # fmt: skip
    total = 0.0
    for name, stage in stages.items():
        started = time.perf_counter()
        stage()
        seconds = time.perf_counter() - started
        total += seconds
        print(f"{seconds:7.2f} s  {name}", flush=True)
    print(f"{total:7.2f} s  all, {args.num:,} test and {args.num_validation:,} validation cutouts")


if __name__ == "__main__":
    main()
