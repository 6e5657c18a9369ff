"""Infrared and microwave alone and fused, on pairs of simulated maps: completeness and purity of the candidates.

    python benchmarks/fusion.py --runs runs/fusion --maps 2

``--runs`` is a finished sweep of configs/sweeps/fusion.py, or folders with infrared, microwave and joint in them, one
a seed. Each window of the pair is scored by all networks, by the stacking and the product of odds of the parents (as
fitted on their validation split) and by the classical observers; candidates are the peaks of each one's map. Their
purity is that of the true mass function: matched candidates count a ``--cluster_boost``-th.
"""

import argparse
import pathlib

import numpy as np
from accuracy import curve
from astropy.table import Table

from clusterjax.classifier import Classifier
from clusterjax.evaluation.fusion import METHODS, fuse_scores
from clusterjax.experiment import make_builder
from clusterjax.jobs.scoring import CLASSICAL, fit_classical
from clusterjax.search.pairs import PairedMaps
from clusterjax.simulation.joint.maps import simulate_maps
from clusterjax.sky.catalogues import read_table
from clusterjax.sky.fits import read_probability_map, write_probability_map

NETWORKS = ("infrared", "microwave", "joint")
COMPLETENESS = (0.3, 0.5, 0.7)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=pathlib.Path, nargs="+", required=True)
    parser.add_argument("--maps", type=int, default=2)
    parser.add_argument("--side", type=int, default=2048, help="pixels of the infrared map")
    parser.add_argument("--cluster_boost", type=float, default=8.0)
    parser.add_argument("--smoothing_pixels", type=float, default=1.5, help="of 0.5'")
    parser.add_argument("--complete_above_msun", type=float, default=2e14)
    parser.add_argument("--data_dir", default=None)
    parser.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("runs/fusion_maps"))
    args = parser.parse_args()
    args.workdir.mkdir(parents=True, exist_ok=True)

    observers, config = {}, None
    for folder in args.runs:
        for name in NETWORKS:
            network = Classifier.load(folder / name, batch_size=256)
            observers[f"{folder.name} {name}"] = network.predict
            config = network.network.config
    config.data.data_dir = args.data_dir or config.data.data_dir
    classical = fit_classical(make_builder(config))[1]
    pairs = [scan_pair(args, config, number, observers, classical) for number in range(args.maps)]
    names = [name for name in pairs[0] if name != "truth"]
    rows = []
    for name in names:
        scans = [(pair[name], pair["truth"], pair[names[0]]) for pair in pairs]
        points = curve(config.search, scans, args.smoothing_pixels, 1e14, complete_above_msun=args.complete_above_msun)
        rows.append({"observer": name, **figures(points, args.cluster_boost), "num": points[0]["num_massive"]})
    table = Table(rows)
    for name in table.colnames[1:-1]:
        table[name].format = ".3f"
    print("\n".join(table.pformat(max_lines=-1, max_width=-1)))
    table.write(args.workdir / "fusion.ecsv", format="ascii.ecsv", overwrite=True)


def scan_pair(args, config, number: int, observers, classical) -> dict:
    """Each observer's map of the pair ``number``, kept in the workdir, and the truth."""
    infrared, microwave, truth = simulate_maps(
        config.sky, seed=200 + number, side=args.side, ra_deg=30.0, dec_deg=5.0, cluster_boost=args.cluster_boost
    )
    folder = args.workdir / f"pair_{args.side}_{args.cluster_boost:g}_{number}"
    folder.mkdir(exist_ok=True)

    def path(name):
        return folder / f"{name.replace(' ', '_')}.fits"

    columns = [name for name in CLASSICAL if name in ("classical_fusion", "aperture_count", "matched_filter")]
    missing = {name: score for name, score in observers.items() if not path(name).exists()}
    if missing or not path(columns[0]).exists():
        kept = {}

        def of_column(name):
            def score(windows):
                if name == columns[0]:
                    kept.clear()
                    kept.update(classical.columns(windows))
                return kept[name]

            return score

        wanted = missing | ({} if path(columns[0]).exists() else {name: of_column(name) for name in columns})
        for name, found in PairedMaps(infrared, microwave).score(wanted).items():
            write_probability_map(path(name), found)
    maps = {name: read_probability_map(path(name)) for name in (*observers, *columns)}
    return {**maps, **fused(args, maps), "truth": truth}


def fused(args, maps: dict) -> dict:
    """The parents' maps as one, of each seed and by each method."""
    result = {}
    for folder in args.runs:
        parents = [maps[f"{folder.name} {name}"] for name in NETWORKS[:2]]
        tables = [read_table(folder / name / "evaluation" / "predictions_validation.fits") for name in NETWORKS[:2]]
        validation = np.stack([np.asarray(table["score"], float) for table in tables], axis=1)
        positive = np.asarray(tables[0]["label"]) == 1
        seen = np.isfinite(parents[0].score)
        for method in METHODS:
            score = np.full(parents[0].shape, np.nan)
            both = np.stack([parent.score[seen] for parent in parents], axis=1)
            score[seen] = fuse_scores(method, both, validation, positive)[0]
            result[f"{folder.name} {method}"] = type(parents[0])(
                score, parents[0].valid_fraction, parents[0].wcs, parents[0].window_pixels, parents[0].stride_pixels
            )
    return result


def figures(points: list[dict], boost: float) -> dict:
    """Completeness at fixed rates of false candidates, and purity at fixed completeness."""
    row = {}
    for rate in (0.3, 1, 3):
        allowed = [point for point in points if point["false_per_deg2"] <= rate]
        row[f"completeness_at_{rate:g}"] = max(point["completeness"] for point in allowed)
    for level in COMPLETENESS:
        enough = [point for point in points if point["completeness"] >= level]
        best = 0.0
        for point in enough:
            true = (point["candidates_per_deg2"] - point["false_per_deg2"]) / boost
            best = max(best, true / max(true + point["false_per_deg2"], 1e-9))
        row[f"purity_at_{level:g}"] = best
    return row


if __name__ == "__main__":
    main()
