"""Infrared and microwave alone and fused, on pairs of simulated maps: completeness and purity of the candidates.

    python benchmarks/fusion.py --runs runs/fusion --maps 16 --processes 8

``--runs`` is a finished sweep of configs/sweeps/fusion.py, of ensembles or of single networks. Each window of a pair is
scored by every network, by the stacking and the product of odds of the parents (as fitted on their validation split)
and by the classical observers; candidates are the peaks of each one's map. Their purity is that of the true mass
function: matched candidates count a ``--cluster_boost``-th. Errors and p-values are of a bootstrap of the pairs, std is
that over an ensemble's members. ``--classical`` makes the classical observers' maps alone, which need no network.
"""

import argparse
import concurrent.futures
import functools
import multiprocessing
import pathlib
from collections.abc import Callable, Iterator

import jax
import numpy as np
from accuracy import curve
from astropy.table import Table
from tqdm import tqdm

from clusterjax.config import ExperimentConfig, from_json
from clusterjax.evaluation.fusion import METHODS, fuse_scores
from clusterjax.experiment import MEMBERS, load_network, make_builder
from clusterjax.jobs.scoring import CLASSICAL, fit_classical
from clusterjax.parallel import make_mesh
from clusterjax.recipes_joint import PARENTS
from clusterjax.search.pairs import PairedMaps
from clusterjax.simulation.joint.maps import simulate_maps
from clusterjax.sky.catalogues import read_table
from clusterjax.sky.fits import read_probability_map, write_probability_map
from clusterjax.sky.skymap import ProbabilityMap

NETWORKS = (*PARENTS, "joint")
FUSED = ("joint", *METHODS)
CLASSICAL_COLUMNS = ("aperture_count", "matched_filter", "classical_fusion")
COMPLETENESS = (0.3, 0.5, 0.7, 0.8)
RATES = (0.3, 1, 3)  # false candidates per deg2
_BATCH = 1024  # windows
_DRAWS = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs/fusion"))
    parser.add_argument("--maps", type=int, default=4, help="pairs of maps")
    parser.add_argument("--side", type=int, default=2048, help="pixels of the infrared map")
    parser.add_argument("--stride", type=int, default=2, help="pixels of the microwave map, of 0.5'")
    parser.add_argument("--cluster_boost", type=float, default=8.0)
    parser.add_argument("--smoothing_pixels", type=float, default=1.5, help="of 0.5'")
    parser.add_argument("--complete_above_msun", type=float, default=2e14)
    parser.add_argument("--processes", type=int, default=1, help="each scores a pair at a time")
    parser.add_argument("--classical", action="store_true", help="the classical observers' maps alone")
    parser.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("runs/fusion_maps"))
    args = parser.parse_args()
    args.workdir.mkdir(parents=True, exist_ok=True)
    curves = list(tqdm(each_pair(args), total=args.maps, desc="pairs of maps", unit="pair"))
    if args.classical:
        return
    # (pair, figure, threshold) of each observer, by kind
    stacked = {name: np.array([pair[name] for pair in curves]) for name in curves[0]}
    kinds = {kind: [stacked[name] for name in stacked if name.split(" ")[0] == kind] for kind in (*NETWORKS, *METHODS)}
    kinds |= {name: [stacked[name]] for name in CLASSICAL_COLUMNS}
    for name, table in (("fusion", figures(args, kinds)), ("fusion_differences", differences(args, kinds))):
        for column in table.colnames:
            if table[column].dtype.kind == "f":
                table[column].format = ".3f"
        print("\n".join(table.pformat(max_lines=-1, max_width=-1)))
        table.write(args.workdir / f"{name}.ecsv", format="ascii.ecsv", overwrite=True)


def each_pair(args) -> Iterator[dict[str, np.ndarray]]:
    """What :func:`curves_of_pair` says of one pair after the other."""
    of_pair = functools.partial(curves_of_pair, args)
    if args.processes == 1:
        yield from map(of_pair, range(args.maps))
        return
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(args.processes, mp_context=context) as pool:
        yield from pool.map(of_pair, range(args.maps))


def curves_of_pair(args, number: int) -> dict[str, np.ndarray]:
    """Of each observer, (figure, threshold): massive clusters found, how many there are, false and matched candidates
    per deg2. Scored maps are kept in the workdir."""
    config = from_json((args.runs / NETWORKS[0] / "config.json").read_text())
    infrared, microwave, truth = simulate_maps(
        config.sky, seed=200 + number, side=args.side, ra_deg=30.0, dec_deg=5.0, cluster_boost=args.cluster_boost
    )
    pair = PairedMaps(infrared, microwave, stride=args.stride)
    folder = args.workdir / f"pair_{args.side}_{args.stride}_{args.cluster_boost:g}_{number}"
    folder.mkdir(exist_ok=True)

    def scored(names, observe: Callable) -> dict[str, ProbabilityMap]:
        paths = {name: folder / f"{name.replace(' ', '_')}.fits" for name in names}
        if not all(path.exists() for path in paths.values()):
            found = pair.score(observe, show_progress=args.processes == 1)
            for name, path in paths.items():
                write_probability_map(path, found[name])
        return {name: read_probability_map(path) for name, path in paths.items()}

    maps = scored(CLASSICAL_COLUMNS, lambda windows: fitted_classical(args.runs).columns(windows))
    if args.classical:
        return {}
    members = range(max(len(list((args.runs / NETWORKS[0] / MEMBERS).glob("*/checkpoints"))), 1))
    of_networks = [f"{name} {i}" for name in NETWORKS for i in members]
    maps |= scored(of_networks, lambda windows: network_observer(args.runs)(windows))
    for i in members:
        maps |= fused_maps(args.runs, maps, i)
    covered = maps[of_networks[0]]
    return {name: as_curve(args, config, found, truth, covered) for name, found in maps.items()}


@functools.cache
def fitted_classical(runs: pathlib.Path):
    config = from_json((runs / NETWORKS[0] / "config.json").read_text())
    column, observer = fit_classical(make_builder(config))
    if column not in CLASSICAL:
        raise ValueError(f"{column} is no classical observer of both skies")
    return observer


@functools.cache
def network_observer(runs: pathlib.Path) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Raw windows -> the score of each member of each network."""
    networks = {name: load_network(runs / name, make_mesh()) for name in NETWORKS}
    programs = {name: jax.jit(network.member_scores()) for name, network in networks.items()}

    def observe(windows: np.ndarray) -> dict[str, np.ndarray]:
        padded = np.zeros((_BATCH, *windows.shape[1:]), np.float32)
        padded[: len(windows)] = windows
        scores = {}
        for name, network in networks.items():
            found = programs[name](network.state.params, network.state.model_state, padded)
            for i, member in enumerate(np.asarray(found)[:, : len(windows), 1]):
                scores[f"{name} {i}"] = member
        return scores

    return observe


def fused_maps(runs: pathlib.Path, maps: dict[str, ProbabilityMap], i: int) -> dict[str, ProbabilityMap]:
    """The ``i``-th members of the parents as one, by each method."""
    parents = [maps[f"{name} {i}"] for name in PARENTS]
    validation = np.stack([validation_scores(runs / name / "evaluation", i)[0] for name in PARENTS], axis=1)
    positive = validation_scores(runs / NETWORKS[0] / "evaluation", i)[1]
    seen = np.isfinite(parents[0].score)
    both, result = np.stack([parent.score[seen] for parent in parents], axis=1), {}
    for method in METHODS:
        score = np.full(parents[0].shape, np.nan)
        score[seen] = fuse_scores(method, both, validation, positive)[0]
        result[f"{method} {i}"] = ProbabilityMap(
            score, parents[0].valid_fraction, parents[0].wcs, parents[0].window_pixels, parents[0].stride_pixels
        )
    return result


def validation_scores(evaluation: pathlib.Path, i: int) -> tuple[np.ndarray, np.ndarray]:
    """(scores, which are clusters) of a member of an ensemble, or of the only one."""
    path = evaluation / "members_validation.fits"
    table = read_table(path if path.exists() else evaluation / "predictions_validation.fits")
    return np.asarray(table[f"score_{i}" if path.exists() else "score"], float), np.asarray(table["label"]) == 1


def as_curve(args, config: ExperimentConfig, found: ProbabilityMap, truth: Table, covered: ProbabilityMap):
    points = curve(
        config.search,
        [(found, truth, covered)],
        args.smoothing_pixels,
        1e14,
        complete_above_msun=args.complete_above_msun,
    )
    number = points[0]["num_massive"]
    rows = [
        (
            point["completeness"] * number if number else 0.0,
            number,
            point["false_per_deg2"],
            point["candidates_per_deg2"] - point["false_per_deg2"],
        )
        for point in points
    ]
    return np.array(rows).T


def at_levels(curves: np.ndarray, counts: np.ndarray, boost: float) -> tuple[np.ndarray, np.ndarray]:
    """(purity at each completeness, completeness at each rate), each (draw, level): of curves (pair, figure, threshold)
    with each pair as often as ``counts`` (draw, pair) says."""
    mean = np.tensordot(counts, curves, axes=1) / counts.sum(axis=1)[:, None, None]
    found, number, false, matched = np.moveaxis(mean, 1, 0)
    completeness = found / np.maximum(number, 1e-9)
    purity = matched / boost / np.maximum(matched / boost + false, 1e-9)
    purities = np.zeros((len(counts), len(COMPLETENESS)))  # 0 where so much is not found
    for k, level in enumerate(COMPLETENESS):
        enough = completeness >= level  # falls with the threshold
        last = enough.sum(axis=1) - 1
        reached = last >= 0
        purities[reached, k] = purity[reached, last[reached]]
    best = [np.where(false <= rate, completeness, 0.0).max(axis=1) for rate in RATES]
    return purities, np.stack(best, axis=1)


def resampled(num_pairs: int) -> np.ndarray:
    """How often each bootstrap draws each pair; the first row is all of them once."""
    draws = np.random.default_rng(0).multinomial(num_pairs, np.full(num_pairs, 1 / num_pairs), _DRAWS)
    return np.concatenate([np.ones((1, num_pairs)), draws])


def figures(args, kinds: dict[str, list[np.ndarray]]) -> Table:
    """A row an observer: the mean over its members, their std, and the error of a bootstrap of the pairs."""
    rows = []
    for kind, members in kinds.items():
        counts = resampled(len(members[0]))
        both = [np.concatenate(at_levels(curves, counts, args.cluster_boost), axis=1) for curves in members]
        row = {"observer": kind, "members": len(members), "clusters": int(members[0][:, 1, 0].sum())}
        names = [f"purity_at_{level:g}" for level in COMPLETENESS] + [f"complete_at_{rate:g}" for rate in RATES]
        for k, name in enumerate(names):
            values = np.array(both)[:, :, k]
            row[name] = values[:, 0].mean()
            row[f"{name}_std"] = values[:, 0].std(ddof=1) if len(members) > 1 else np.nan
            row[f"{name}_error"] = values[:, 1:].mean(axis=0).std()
        rows.append(row)
    return Table(rows)


def differences(args, kinds: dict[str, list[np.ndarray]]) -> Table:
    """The purity of each fused observer less that of either parent, in the mean over members: 1 sigma interval and
    two-sided p-value of a bootstrap of the pairs, and of how many members it is above 0."""
    rows = []
    for kind in FUSED:
        for parent in PARENTS:
            counts = resampled(len(kinds[kind][0]))
            drawn = np.array(
                [
                    at_levels(curves, counts, args.cluster_boost)[0] - at_levels(other, counts, args.cluster_boost)[0]
                    for curves, other in zip(kinds[kind], kinds[parent], strict=True)
                ]
            )
            for k, level in enumerate(COMPLETENESS):
                samples = drawn[:, 1:, k].mean(axis=0)
                below, above = ((np.sum(tail) + 1) / (len(samples) + 1) for tail in (samples <= 0, samples >= 0))
                low, high = np.quantile(samples, [0.158655, 0.841345])
                rows.append(
                    {"observer": kind, "less": parent, "completeness": level, "difference": drawn[:, 0, k].mean(),
                     "low": low, "high": high, "p_value": min(2 * min(below, above), 1.0),
                     "members_above": int(np.sum(drawn[:, 0, k] > 0)), "members": len(drawn)}
                )  # fmt: skip
    return Table(rows)


if __name__ == "__main__":
    main()
