"""Accuracy over seeds, and completeness against false candidates over simulated maps: mean and standard deviation.

    python benchmarks/accuracy.py --config configs/alexnet_ir.py --seeds 3 --maps 4

Trains the config once a seed (each in a workdir of its own; a run that is there is used), evaluates on the same test
draws beside the aperture count, then scans simulated maps with each network.
"""

import argparse
import importlib.util
import json
import pathlib

import numpy as np
from astropy.table import Table, vstack

from clusterjax import jobs
from clusterjax.config import ExperimentConfig
from clusterjax.experiment import load_network
from clusterjax.jobs.searching import COMPLETE_ABOVE_MSUN, search_map
from clusterjax.parallel import make_mesh
from clusterjax.search.detect import find_detections
from clusterjax.search.match import match_detections
from clusterjax.simulation.maps import simulate_map
from clusterjax.sky.catalogues import read_table

FIGURES = ("accuracy", "auc", "recall", "fpr", "recall_high_redshift")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="configs/alexnet_ir.py")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--maps", type=int, default=4)
    parser.add_argument("--map_size", type=int, default=2048)
    parser.add_argument("--cluster_boost", type=float, default=8.0)
    parser.add_argument("--smoothing_pixels", type=float, nargs="*", default=[None])
    parser.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("runs/accuracy"))
    args = parser.parse_args()

    path, _, variant = args.config.partition(":")
    spec = importlib.util.spec_from_file_location("config", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    workdirs, rows = [], []
    for seed in range(args.seeds):
        config = module.get_config(variant)
        config.seed = seed
        workdir = args.workdir / f"{config.name}_{seed}"
        jobs.run("train", config, workdir=workdir)
        jobs.run("evaluate", config, workdir=workdir)
        workdirs.append(workdir)
        rows.append(read_table(workdir / "evaluation" / "headline.ecsv")[:2])
    for name, index in (("network", 0), ("aperture count", 1)):
        values = {figure: [float(row[figure][index]) for row in rows] for figure in FIGURES}
        print(f"{name:16s}" + "  ".join(f"{k} {np.mean(v):.4f} ± {np.std(v, ddof=1):.4f}" for k, v in values.items()))
    if args.maps:
        scan_maps(args, workdirs)


def scan_maps(args, workdirs: list[pathlib.Path]) -> None:
    """Every network on the same maps; one curve each, over all maps together."""
    config = ExperimentConfig()
    config.search.map_size = args.map_size
    mesh = make_mesh()
    curves: dict = {}
    for workdir in workdirs:
        network = load_network(workdir, mesh)
        scans = []
        for seed in range(100, 100 + args.maps):
            sky, truth = simulate_map(
                network.config.simulation,
                seed=seed,
                shape=(args.map_size, args.map_size),
                ra_deg=30.0,
                dec_deg=5.0,
                cluster_boost=args.cluster_boost,
            )
            scans.append((search_map(network, sky, config.search, mesh), truth))
        for smoothing in args.smoothing_pixels:
            points = curve(scans, smoothing)
            at_one = max((point for point in points if point["false_per_deg2"] <= 1.0), key=lambda p: p["completeness"])
            curves.setdefault(str(smoothing), []).append(at_one)
            print(f"{workdir.name} smoothing {smoothing}: {json.dumps(at_one)}")
    for smoothing, points in curves.items():
        values = [point["completeness"] for point in points]
        print(
            f"smoothing {smoothing}: completeness above {COMPLETE_ABOVE_MSUN:.0e} at <= 1 false candidate per deg2: "
            f"{np.mean(values):.3f} ± {np.std(values, ddof=1) if len(values) > 1 else 0:.3f}"
        )


def curve(scans, smoothing: float | None, truth_mass_msun: float = 1e14) -> list[dict]:
    """Completeness and false rate over all maps at rising thresholds; matching as in the scan job."""
    defaults = ExperimentConfig().search
    found: list[Table] = []
    sources: list[Table] = []
    area = 0.0
    for probability_map, truth in scans:
        detections = find_detections(
            probability_map,
            threshold=0.2,
            min_separation_arcmin=defaults.min_separation_arcmin,
            smoothing_pixels=smoothing,
        )
        truth = truth[np.nan_to_num(truth["m500c_msun"]) >= truth_mass_msun]
        matching = match_detections(
            detections, truth, radius_arcmin=defaults.match_radius_arcmin, probability_map=probability_map
        )
        matching.sources["log_odds"] = np.where(
            matching.source_is_found, np.asarray(detections["log_odds"])[matching.sources["detection_index"]], -np.inf
        )
        found.append(matching.detections)
        sources.append(matching.sources)
        area += probability_map.area_deg2
    detections, sources = vstack(found, metadata_conflicts="silent"), vstack(sources, metadata_conflicts="silent")
    massive = sources[(sources["m500c_msun"] >= COMPLETE_ABOVE_MSUN) & sources["searched"]]
    points = []
    for cut in np.linspace(-1, 12, 66):
        kept = detections["log_odds"] >= cut
        points.append(
            {
                "threshold": float(1 / (1 + np.exp(-cut))),
                "completeness": float(np.mean(massive["log_odds"] >= cut)),
                "num_massive": len(massive),
                "false_per_deg2": float(np.sum(kept & (detections["source_index"] < 0)) / area),
                "candidates_per_deg2": float(np.sum(kept) / area),
            }
        )
    return points


if __name__ == "__main__":
    main()
