"""Accuracy over seeds, and completeness against false candidates over simulated maps: mean and standard deviation.

    python benchmarks/accuracy.py --config configs/alexnet_ir.py --seeds 3 --maps 4

Trains the config once a seed (each in a workdir of its own; a run that is there is used), evaluates on the same test
draws beside the classical observer (aperture count or matched filter), then scans simulated maps with both.

    python benchmarks/accuracy.py --config configs/search_ir.py --padded --maps 0 --processes 3 --json padded.json

is of the same network, cutouts and recipe with zeros at the borders, as fast scans cannot have them. On an accelerator
whose memory several small networks share, ``--processes`` trains so many seeds side by side (with the environment's
``XLA_PYTHON_CLIENT_PREALLOCATE=false``).
"""

import argparse
import concurrent.futures
import importlib.util
import json
import multiprocessing
import pathlib
import time

import jax
import numpy as np
from astropy.table import Table, vstack

from clusterjax import jobs
from clusterjax.config import ExperimentConfig, SearchConfig
from clusterjax.experiment import load_network, make_builder
from clusterjax.jobs.scanning import search_map
from clusterjax.jobs.scoring import CLASSICAL, fit_classical
from clusterjax.jobs.searching import COMPLETE_ABOVE_MSUN
from clusterjax.parallel import make_mesh
from clusterjax.search.detect import find_detections
from clusterjax.search.match import match_detections, match_radii
from clusterjax.search.windows import WindowGrid
from clusterjax.simulation.knobs import MicrowaveSky
from clusterjax.simulation.microwave.filters import cluster_snr
from clusterjax.simulation.skies import simulation_of
from clusterjax.sky.catalogues import read_table
from clusterjax.sky.fits import read_probability_map, write_probability_map
from clusterjax.sky.skymap import ProbabilityMap, SkyMap

FIGURES = ("accuracy", "auc", "recall", "fpr", "recall_high_redshift")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="configs/alexnet_ir.py")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--first_seed", type=int, default=0)
    parser.add_argument("--padded", action="store_true", help="the config's network with padding")
    parser.add_argument("--processes", type=int, default=1, help="seeds at once, each in a process of its own")
    parser.add_argument("--json", type=pathlib.Path, default=None, help="the figures of each seed go there too")
    parser.add_argument("--maps", type=int, default=4)
    parser.add_argument("--map_size", type=int, default=None, help="pixels a side; None: the config's")
    parser.add_argument("--cluster_boost", type=float, default=None)
    parser.add_argument("--smoothing_pixels", type=float, nargs="*", default=[None])
    parser.add_argument("--data_dir", default=None)
    parser.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("runs/accuracy"))
    args = parser.parse_args()

    workdirs = [args.workdir / f"{make_config(args).name}_{args.first_seed + index}" for index in range(args.seeds)]
    if args.processes > 1:
        context = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(args.processes, mp_context=context) as executor:
            runs = list(executor.map(train_and_evaluate, [args] * args.seeds, range(args.seeds), workdirs))
    else:
        runs = [train_and_evaluate(args, index, workdir) for index, workdir in enumerate(workdirs)]
    rows = [read_table(workdir / "evaluation" / "headline.ecsv")[:2] for workdir in workdirs]
    figures = {}
    for index, name in enumerate(("network", rows[0]["observer"][1])):
        values = figures[name] = {figure: [float(row[figure][index]) for row in rows] for figure in FIGURES}
        print(f"{name:16s}" + "  ".join(f"{figure} {_mean_and_spread(numbers)}" for figure, numbers in values.items()))
    if args.json:
        about = {"config": args.config, "padded": args.padded, "first_seed": args.first_seed, "runs": runs}
        args.json.write_text(json.dumps(about | {"figures": figures}, indent=2) + "\n")
    if args.maps:
        scan_maps(args, make_config(args), workdirs)


def make_config(args, seed: int | None = None) -> ExperimentConfig:
    """The config that is asked for; with its own seed if none is given."""
    path, _, variant = args.config.partition(":")
    spec = importlib.util.spec_from_file_location("config", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config(variant)
    config.seed = config.seed if seed is None else seed
    config.data.data_dir = args.data_dir or config.data.data_dir
    config.evaluation.ceilings = False  # no figure of here
    if args.padded:
        if "padding" not in config.model.kwargs:
            raise SystemExit(f"{args.config} has padding as it is")
        del config.model.kwargs["padding"]
        config.name += "_padded"
    return config


def train_and_evaluate(args, index: int, workdir: pathlib.Path) -> dict:
    """What one seed took, and on what."""
    config = make_config(args, args.first_seed + index)
    start = time.perf_counter()
    jobs.run("train", config, workdir=workdir)
    trained = time.perf_counter()
    jobs.run("evaluate", config, workdir=workdir)
    return {
        "seed": config.seed,
        "device": jax.devices()[0].device_kind,
        "training_seconds": round(trained - start, 1),
        "evaluation_seconds": round(time.perf_counter() - trained, 1),
    }


def _mean_and_spread(numbers: list[float]) -> str:
    mean = f"{np.mean(numbers):.4f}"
    return f"{mean} ± {np.std(numbers, ddof=1):.4f}" if len(numbers) > 1 else mean


def scan_maps(args, config: ExperimentConfig, workdirs: list[pathlib.Path]) -> None:
    """Every network and the classical finder on the same maps; one curve each, over all maps together."""
    mesh, search = make_mesh(), config.search
    side, boost = args.map_size or search.map_size, args.cluster_boost or search.cluster_boost
    maps = [
        simulation_of(config.sky).simulate_map(
            config.sky, seed=seed, shape=(side, side), ra_deg=30.0, dec_deg=5.0, cluster_boost=boost
        )
        for seed in range(100, 100 + args.maps)
    ]
    networks = {workdir.name: load_network(workdir, mesh) for workdir in workdirs}
    column, observer = fit_classical(make_builder(next(iter(networks.values())).config))
    classical = CLASSICAL[column]

    def scan(name: str, number: int, sky: SkyMap) -> ProbabilityMap:
        path = args.workdir / "maps" / f"{name.replace(' ', '_')}_{boost:g}_{number}.fits"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            found = (
                search_map(networks[name], sky, search, mesh)
                if name in networks
                else scan_classically(config, observer, sky)
            )
            write_probability_map(path, found)
        return read_probability_map(path)

    curves = {}
    for name in (*networks, classical):
        # All are asked for the same sources: those that the networks' windows cover.
        scans = [
            (scan(name, number, sky), truth, scan(next(iter(networks)), number, sky))
            for number, (sky, truth) in enumerate(maps)
        ]
        # What counts as true: a halo above 1e14, or above half of that, which no observer can tell from it.
        for truth_mass in (1e14, 5e13):
            for smoothing in args.smoothing_pixels:
                points = curve(search, scans, smoothing, truth_mass)
                curves[f"{name}, smoothing {smoothing}, truth above {truth_mass:.0e}"] = points
    for name, points in curves.items():
        for rate in (1, 3, 10, 30):
            # The last point has no candidates at all.
            allowed = [point for point in points if point["false_per_deg2"] <= rate]
            best = max(allowed, key=lambda point: point["completeness"])
            print(
                f"{name}: at most {rate} false per deg2: completeness {best['completeness']:.3f} of "
                f"{best['num_massive']} above {COMPLETE_ABOVE_MSUN:.0e} at score {best['threshold']:.4f}"
            )
    (args.workdir / "completeness.json").write_text(json.dumps(curves))


def scan_classically(config: ExperimentConfig, observer, sky: SkyMap, size: int = 64) -> ProbabilityMap:
    """The matched filter's S/N at each pixel, or the aperture count's score of the windows that a network scans."""
    stride = config.search.stride
    if isinstance(config.sky, MicrowaveSky):
        # As far from the map's border as the windows' centres.
        inner = np.zeros(sky.shape, bool)
        inner[size // 2 : -size // 2, size // 2 : -size // 2] = True
        snr = cluster_snr(config.sky, sky, tsz_painted=True)
        return ProbabilityMap.from_log_odds(np.where(inner, snr, np.nan), sky)
    grid = WindowGrid(sky.shape, size, stride)
    overhang = [(0, padded - length) for padded, length in zip(grid.padded_shape, sky.shape, strict=True)]
    pixels = np.pad(sky.data, [*overhang, (0, 0)])
    starts = grid.starts(np.ones(grid.shape, bool))
    odds = []
    for part in np.array_split(starts, max(1, len(starts) // 1024)):
        windows = np.stack([pixels[y : y + size, x : x + size] for y, x in part])
        odds.append(observer.slope * observer.log_ratio(windows) + observer.intercept)
    score = 1 / (1 + np.exp(-np.clip(np.concatenate(odds), -15, 15)))
    valid = grid.valid_fraction(sky.valid)
    return ProbabilityMap(score.reshape(grid.shape).astype(np.float32), valid, grid.wcs(sky.wcs), size, stride)


def curve(
    search: SearchConfig,
    scans,
    smoothing: float | None,
    truth_mass_msun: float = 1e14,
    *,
    complete_above_msun: float = COMPLETE_ABOVE_MSUN,
) -> list[dict]:
    """Completeness and false rate over all maps at rising thresholds; matching as in the scan job.

    ``scans`` are (map of scores, truth, map of scores that says what was covered).
    """
    found: list[Table] = []
    sources: list[Table] = []
    area = 0.0
    for probability_map, truth, covered in scans:
        detections = find_detections(
            probability_map,
            threshold=0.2,
            min_separation_arcmin=search.min_separation_arcmin,
            smoothing_pixels=0 if probability_map.window_pixels == 1 else smoothing,
        )
        detections = detections[covered.contains(detections["ra_deg"], detections["dec_deg"])]
        truth = truth[np.nan_to_num(truth["m500c_msun"]) >= truth_mass_msun]
        matching = match_detections(
            detections,
            truth,
            radius_arcmin=match_radii(truth, search.match_radius_arcmin),
            probability_map=covered,
        )
        log_odds = np.append(detections["log_odds"], -np.inf)  # of a source without a detection, the last
        matching.sources["log_odds"] = np.where(
            matching.source_is_found, log_odds[matching.sources["detection_index"]], -np.inf
        )
        found.append(matching.detections)
        sources.append(matching.sources)
        area += covered.area_deg2
    detections, sources = vstack(found, metadata_conflicts="silent"), vstack(sources, metadata_conflicts="silent")
    massive = sources[(sources["m500c_msun"] >= complete_above_msun) & sources["searched"]]
    points = []
    for cut in (*np.linspace(-1, 16, 171), 17.0):
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
